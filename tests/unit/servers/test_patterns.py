"""What Postfix is asked about patterns, and what is made of its answers; the real postmap."""

import os
from pathlib import Path

import pytest

from mailroster.base.findings import ServerError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.servers import patterns
from mailroster.servers.doveadm_quota import usages_of
from mailroster.servers.patterns import (
    NoPcre,
    PatternMatcher,
    ask_regexp,
    captors,
    findings_of,
    prefetch,
    regexp_findings,
)
from mailroster.system.programs import run

RULES = "/^a(.)@x\\.com$/ $1@y.com\n!/@x\\.com$/ rest@x.com, other@x.com\n"


def test_addresses_get_what_the_first_rule_makes_of_them() -> None:
    answers = ask_regexp(RULES, ["ab@x.com", "AB@X.COM", "zz@x.com", "q@z.com", ""])
    assert answers.results == {
        "ab@x.com": "b@y.com",
        "AB@X.COM": "B@y.com",
        "q@z.com": "rest@x.com, other@x.com",
    }
    assert answers.findings == []


@pytest.mark.parametrize(
    ("text", "line"),
    [("/a(/ b@x.com\n", 1), ("# one\n/a/ b@x.com\n/c/ $2@x.com\n", 3), ("/[b-a]/ x@x.com\n", 1)],
    ids=["syntax", "no such group", "bad range"],
)
def test_a_bad_pattern_is_a_finding_of_its_line(text: str, line: int) -> None:
    found = regexp_findings(Document(REGEXP, text))
    assert [(f.where.file, f.where.line, f.code) for f in found] == [
        ("postfix-regexp.cf", line, "bad-pattern")
    ]
    assert "/proc/" not in found[0].message


@pytest.mark.parametrize("number", ["", "-1", "²", "9" * 5000, "1 "])
def test_a_warning_without_a_line_number_is_no_finding(number: str) -> None:
    assert findings_of(f"postmap: warning: pcre map T, line {number}: bad\n", "T") == []


def test_what_postmap_says_can_be_shown() -> None:
    (found,) = findings_of("postmap: warning: pcre map T, line 3: \x1b[2J\udcff\u2028!\n", "T")
    assert found.where.line == 3
    assert found.message == r"\x1b[2J\udcff\u2028!"


QUOTAS = """\
Username\tQuota name\tType\tValue\tLimit\t%
a@x.com\tUser quota\tSTORAGE\t12\t5242880\t1
a@x.com\tUser quota\tMESSAGE\t3\t-\t0
b@x.com\tUser quota\tSTORAGE\t0\t-\t
c@x.com\tUser quota\tSTORAGE\t²\t-\t0
d@x.com\tUser quota\tSTORAGE\t1\t²\t1%
e@x.com\tUser quota\tSTORAGE
"""


def test_use_and_limits_are_read_and_what_makes_no_sense_is_not() -> None:
    assert usages_of(QUOTAS) == {
        "a@x.com": (12 << 10, 5242880 << 10, 1),
        "b@x.com": (0, 0, 0),
        "d@x.com": (1 << 10, 0, 0),
    }
    assert usages_of("") == {}


def test_each_address_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    real = run

    def counted(
        argv: list[str], stdin: str, fds: list[int], timeout_s: float
    ) -> tuple[int, str, str]:
        asked.append(stdin.split())
        return real(argv, stdin, fds, timeout_s)

    monkeypatch.setattr(patterns, "run", counted)
    captures = PatternMatcher(Document(REGEXP, RULES))
    captures.evaluate(["ab@x.com", "zz@x.com"])
    assert [captures(a) for a in ("ab@x.com", "zz@x.com", "ab@x.com")] == [
        "b@y.com",
        None,
        "b@y.com",
    ]
    assert len(asked) == 1
    assert PatternMatcher(Document(REGEXP, "# none\n"))("a@x.com") is None
    assert len(asked) == 1


def test_where_nobody_knows_pcre_nothing_is_captured_and_the_check_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Postfix without postfix-pcre, and no Postfix at all."""
    (tmp_path / "main.cf").write_text(f"compatibility_level = 3.6\nmeta_directory = {tmp_path}\n")
    (tmp_path / "dynamicmaps.cf").touch()
    os.utime(tmp_path / "main.cf", (1, 1))
    for name, value in (
        ("_any_config", lambda: (str(tmp_path), "")),
        ("program", lambda name: None),
    ):
        monkeypatch.setattr(patterns, name, value)
        with pytest.raises(NoPcre):
            regexp_findings(Document(REGEXP, RULES))
        assert PatternMatcher(Document(REGEXP, RULES))("ab@x.com") is None


def test_a_postmap_that_fails_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_any_config", lambda: (str(tmp_path / "nowhere"), ""))
    with pytest.raises(ServerError, match="postmap"):
        PatternMatcher(Document(REGEXP, RULES))("ab@x.com")


def test_of_each_address_the_rule_is_told_that_takes_it() -> None:
    text = (
        "# one\nno rule\n/^a@/ $2\n/^a@/ x@x.com\nif /@y\\.com$/\n/^b@/\n  z@x.com, y@x.com\n"
        "endif\n!/@x\\.com$/ r@x.com\n"
    )
    document = Document(REGEXP, text)
    found = captors(document, ["a@x.com", "b@x.com", "b@y.com", "c@y.com"])
    lines = {address: document.number(position) for address, position in found.items()}
    assert lines == {"a@x.com": 4, "b@y.com": 6, "c@y.com": 9}
    assert captors(document, []) == {}
    assert captors(Document(REGEXP, "# none\n"), ["a@x.com"]) == {}


def test_what_the_rules_make_of_many_addresses_is_asked_for_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    real = run

    def counted(
        argv: list[str], stdin: str, fds: list[int], timeout_s: float
    ) -> tuple[int, str, str]:
        calls.append(stdin)
        return real(argv, stdin, fds, timeout_s)

    monkeypatch.setattr(patterns, "run", counted)
    rules = "/^(.*)@old\\.com$/ $1@new.com\n/^(.*)@new\\.com$/ $1@newer.com, all@x.com\n"
    lines = "".join(f"alias{n}@x.com User{n}@old.com\n" for n in range(50))
    roster = Roster(virtual=Document(VIRTUAL, lines), regexp=Document(REGEXP, rules))
    router = Router(roster, "x.com", PatternMatcher(roster.regexp))
    prefetch(router, roster.virtual.index, ["b@old.com"])
    asked = len(calls)
    assert asked <= 4
    assert router.expand("alias7@x.com") == ["User7@newer.com", "all@x.com"]
    assert router.expand("b@old.com") == ["b@newer.com", "all@x.com"]
    assert len(calls) == asked
