"""Laws of `check`: it never fails, its findings are about the lines there are and show no hash,
and lines that have nothing to do with a finding leave it as it was."""

from collections import Counter
from random import Random
from typing import Any

from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from mailroster.analysis.checks import check
from mailroster.analysis.checks.pattern_shape import Pattern
from mailroster.analysis.checks.subject import Subject
from mailroster.base.findings import ERROR, WARNING, Finding
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from tests.support.large_documents import indexed
from tests.support.texts import FORMATS, HASH, plain, raw

ORIGIN = "x.com"
FIELDS = {document.format.file: field for field, document in Roster().documents()}
SECRET = "s3cretS3cret"

#: Comments that allow something, and nearly so, and what rules are made of.
pieces = st.sampled_from(
    (
        b"\n# mailroster: allow dangling-alias\n", b"# mailroster: allow\n",
        b"#mailroster: allow a b", b"\n\n", b"/^a.b@x.com$/ c@x.com\n", b"/[/ a@x.com\n",
        b"/(?:a|b)+\\/@/iA $1@x.com\n",
        b"!/a/ b\n", b"a@x.com a@x.com, c@x.com\n", b"@x.com @x.com\n", b"a b\nb a\n",
        b"a@xample.com|{PLAIN}!x\n", b"@example.com b@exampel.com\n", b"{.}x", b"|{X.B64}y",
        b"a@x.com|{CRYPT}|nologin\n", b"a@x.com|$1$x\n",
    )
)  # fmt: skip
contents = st.lists(raw | pieces | plain.map(lambda line: line + b"\n"), max_size=5).map(b"".join)
rosters = st.tuples(*[contents] * len(FORMATS))


#: What is above it belongs to no line that comes behind.
END = b"\n\n"


def made(texts: tuple[bytes, ...]) -> Roster:
    """Of the first formats, as many as there are texts."""
    documents: dict[str, Any] = {
        FIELDS[format.file]: Document.from_bytes(format, content)
        for format, content in zip(FORMATS, texts, strict=False)
    }
    return Roster(**documents)


def found(roster: Roster, captured: str | None = None) -> list[Finding]:
    """What is found if the rules make this of every address that begins with an `a`."""
    router = Router(roster, ORIGIN, lambda address: captured if address[:1] == "a" else None)
    rules = [n for n, line in enumerate(roster.regexp.lines) if roster.regexp.readable(line)]
    taken = [key for key in roster.accounts.counted() if key[:1] == "a"]
    captors = {key: rules[0] for key in taken if rules}
    modes = {"postfix-accounts.cf": 0o644}
    return check(Subject(router.remembering(), captors, modes))


@given(rosters, st.sampled_from([None, "b@x.com", "a@x.com", "", "c@x.com, a+b@x.com"]))
def test_any_folder_is_checked(texts: tuple[bytes, ...], captured: str | None) -> None:
    roster = made(texts)
    heights = {d.format.file: 1 + d.text.count("\n") for _, d in roster.documents()}
    for finding in found(roster, captured):
        assert 0 <= finding.where.line <= heights[finding.where.file]
        assert str(finding).isprintable()
        assert finding.code


def test_folders_with_many_kinds_of_findings_are_drawn() -> None:
    """Else the laws here would hold of nothing."""
    seen = Counter[str]()

    def is_enough(texts: tuple[bytes, ...]) -> bool:
        seen.update({finding.severity for finding in found(made(texts))})
        return min(seen[severity] for severity in (ERROR, WARNING)) > 2

    find(rosters, is_enough, settings=settings(phases=[Phase.generate]), random=Random(1))


@given(contents, contents)
def test_a_file_that_is_read_by_its_index_has_the_same_findings(
    accounts: bytes, virtual: bytes
) -> None:
    roster = made((accounts, b"", virtual))
    large = roster._replace(
        accounts=indexed(roster.accounts.format, accounts),
        virtual=indexed(roster.virtual.format, virtual),
    )
    router = Router(large, ORIGIN, lambda address: None)
    plain = Router(roster, ORIGIN, lambda address: None)
    assert check(Subject(router)) == check(Subject(plain))


@given(rosters, st.sampled_from(["# a comment\n", "\n", " \t\n", "# more\n\n# and more\n"]))
def test_comments_at_the_end_change_nothing(texts: tuple[bytes, ...], more: str) -> None:
    texts = tuple(text + b"\n" for text in texts)  # a comment must not join a last line
    before = found(made(texts))
    assert found(made(tuple(text + more.encode() for text in texts))) == before


@given(contents, contents, contents)
def test_entries_of_another_domain_change_nothing(
    accounts: bytes, virtual: bytes, quotas: bytes
) -> None:
    """They have nothing to do with what is there, nor look like it."""
    roster = made((accounts + END, quotas + END, virtual + END))
    more = roster._replace(
        accounts=roster.accounts.append(f"someone@unrelated.invalid|{HASH}"),
        virtual=roster.virtual.append("info@unrelated.invalid someone@unrelated.invalid"),
        quotas=roster.quotas.append("someone@unrelated.invalid:5G"),
    )
    assert found(more) == found(roster)


@given(contents, st.sampled_from(["{PLAIN}", "{SHA512-CRYPT}", "{X}", "$1$", "{CRYPT}", "{A.B}"]))
def test_no_hash_is_shown(before: bytes, scheme: str) -> None:
    line = f"\nz@x.com|{scheme}{SECRET}\n".encode()
    for field in (0, 4):
        texts = [b""] * len(FORMATS)
        texts[field] = before + line
        assert SECRET not in "".join(map(str, found(made(tuple(texts)))))


@given(st.text("^$.*+?()[]|\\/!@ab-{}Q:i ", max_size=20), st.sampled_from(["", "i", "Ax"]))
def test_any_pattern_can_be_read(body: str, flags: str) -> None:
    pattern = Pattern.of(f"/{body}/{flags}")
    assert (pattern.negated, pattern.body, pattern.flags) == (False, body, flags)
    assert "".join(pattern.tokens()) == body
    pattern.has_open_start(), pattern.has_open_end(), pattern.bare_dots(), pattern.domain()
    assert not pattern.whole_domain() or pattern.lies_in(pattern.whole_domain())
