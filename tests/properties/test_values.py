"""Laws of the words in the files: each has one spelling; and no hash is ever shown."""

from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from mailroster.base import address
from mailroster.base.address import Address
from mailroster.base.findings import ParseError, Refused
from mailroster.base.sizes import SIZE_MAX_BYTES, UNITS, human_size, normal_size, size_bytes
from mailroster.edits import accounts
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format
from mailroster.roster.documents.text import content
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.credentials import hidden
from mailroster.roster.formats.masters import MASTERS
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.plan import diff, plan
from mailroster.roster.roster import Roster
from tests.support.texts import raw

SECRET = "s3cretS3cret"
WITH_HASHES: tuple[Format[Any], ...] = (ACCOUNTS, MASTERS)

letters = st.sampled_from("aZ0.-_'$&{}=#|@ü ß\u200d\t\ud800") | st.characters()
locals = st.text(st.sampled_from("abcXYZ019.-_'$&{}=#?^`~"), min_size=1, max_size=12)
domains = st.sampled_from(
    ["x.com", "X.Com", "bücher.de", "BÜCHER.de", "xn--bcher-kva.de", "a", "ß.at"]
)
addresses = st.one_of(st.builds("{}@{}".format, locals, domains), st.text(letters, max_size=20))
hashes = st.sampled_from(["{PLAIN}", "{SHA512-CRYPT}$6$", "$6$", "{ARGON2ID}$argon2id$v=19$"])


@given(addresses)
@example("a$b$c@x.com")
@example("a{1}@x.com")
def test_an_account_has_one_spelling_that_every_reader_agrees_on(text: str) -> None:
    folded = address.fold(text)
    assert address.fold(folded) == folded
    try:
        login = address.account(text)
    except ParseError:
        assume(False)
    assert login == address.account(login) == folded
    assert address.alias(login) == login
    assert address.recipient(login) == login
    assert ACCOUNTS.parse(f"{login}|{{PLAIN}}x").address == login


@given(addresses | domains.map("@{}".format) | locals)
def test_an_alias_has_one_spelling(text: str) -> None:
    try:
        key = address.alias(text)
    except ParseError:
        assume(False)
    assert key == address.alias(key) == address.fold(text)
    assert address.recipient(key) == key


@given(st.integers(0, SIZE_MAX_BYTES), st.sampled_from([*UNITS, "K", "g", ""]), st.integers(0, 3))
def test_a_size_has_one_normal_form(number: int, unit: str, zeros: int) -> None:
    try:
        normal = normal_size(f" {'0' * zeros}{number}{unit}\r")
    except ParseError:
        assert (not unit and number) or number * UNITS[known(unit)] > SIZE_MAX_BYTES
        return
    assert normal_size(normal) == normal
    assert size_bytes(normal) == number * UNITS[known(unit)]


def known(unit: str) -> str:
    return next(name for name in UNITS if name.lower() == (unit or "B").lower())


@given(st.integers(0, SIZE_MAX_BYTES), st.integers(0, SIZE_MAX_BYTES))
def test_a_size_for_people_is_short_and_never_too_small(one: int, other: int) -> None:
    assert len(human_size(one)) <= 5
    assert shown(one) >= one
    if one <= other:
        assert shown(one) <= shown(other)


def shown(count_bytes: int) -> float:
    text = human_size(count_bytes)
    return float(text.rstrip("KMGTPE")) * 1024.0 ** (
        " KMGTPE".find(text[-1]) if text[-1] > "9" else 0
    )


@given(
    st.sampled_from(
        ["a@x.com", "info", " A@X.com ", "# a@x.com", "", "a$b$c@x.com", "\ufeffa@x.com"]
    ),
    st.sampled_from(["|", " |", "||", "|\t"]),
    hashes,
    st.sampled_from(["", " ", "|home=/x", "\r", "|nologin\r", "\udcff", "}"]),
)
def test_no_hash_behind_a_bar_is_shown(name: str, bar: str, hash: str, tail: str) -> None:
    line = f"{name}{bar}{hash}{SECRET}{tail}"
    if bar != "||":  # what stands there is an extra field
        assert SECRET not in hidden(line)
    for format in WITH_HASHES:
        assert SECRET not in "".join(map(str, Document(format, line).findings()))


@given(st.sampled_from(["a@x.com", "info", ""]), st.sampled_from([" ", ":", "", "\t"]), hashes)
def test_no_hash_in_a_bad_line_is_shown(name: str, blank: str, hash: str) -> None:
    for tail in ("", "|more", f"|{{PLAIN}}{SECRET}"):
        line = f"{name}{blank}{hash}{SECRET}{tail}"
        assert SECRET not in hidden(line)
        for format in WITH_HASHES:
            assert SECRET not in "".join(map(str, Document(format, line).findings()))


@given(raw, hashes, raw)
def test_no_diff_of_an_edit_shows_a_hash(before: bytes, hash: str, behind: bytes) -> None:
    line = f"\na@x.com|{hash}{SECRET}\n".encode()
    document = Document.from_bytes(ACCOUNTS, before + line + line + behind)
    roster, login = Roster(accounts=document), Address("a@x.com")
    try:
        after = accounts.set_password(roster, login, f"{{PLAIN}}{SECRET}new")
        removed = accounts.delete_accounts(roster, [login])
    except Refused:
        assume(False)
    for changed in (after, removed):
        text = diff(plan(roster, changed))
        assert "a@x.com|" in text.lower()
        assert SECRET not in text
        assert text.replace("\n", "").replace("\t", "").isprintable()


@given(
    st.sampled_from(["", "!", "! "]), st.sampled_from("/|~"), raw, st.sampled_from(["", "i", "im"])
)
def test_a_rule_is_its_line(bang: str, delimiter: str, middle: bytes, flags: str) -> None:
    text = middle.decode("utf-8", "surrogateescape").split("\n")[0]
    line = f"{bang}{delimiter}{text}{delimiter}{flags} a@x.com"
    try:
        rule = REGEXP.parse(line)
    except ParseError:
        assume(False)
    assert rule.kind == "match"
    assert content(line).startswith(rule.pattern)
    assert content(line).endswith(rule.result)
    assert content(line)[len(rule.pattern) :].strip() == rule.result
