"""`postfix-accounts.cf`: lines into accounts, and what is found wrong with others."""

import pytest

from mailroster.base.address import Address, account
from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS, Account, add, set_password

HASH = "{SHA512-CRYPT}$6$abc$def"
A = Address("a@x.com")


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        pytest.param(f"a@x.com|{HASH}", (A, HASH, ""), id="two fields"),
        pytest.param(f"A@X.Com|{HASH}\r", (A, HASH, ""), id="upper case and CRLF"),
        pytest.param(f" a@x.com | {HASH} ", (A, HASH, ""), id="blanks around"),
        pytest.param(f"\ufeffa@x.com|{HASH}", (A, HASH, ""), id="a byte order mark"),
        pytest.param("a@x.com|$6$abc$def", (A, "$6$abc$def", ""), id="a hash without a scheme"),
        pytest.param(f"a@x.com|{HASH}|fail nologin", (A, HASH, "fail nologin"), id="extra fields"),
        pytest.param(
            f"a@x.com|{HASH}|fail=1|", (A, HASH, "fail=1|"), id="a bar in the extra fields"
        ),
        pytest.param(f"a@x.com|{HASH}|", (A, HASH, ""), id="no extra fields behind a bar"),
    ],
)
def test_a_line_is_an_account(line: str, parsed: tuple[str, str, str]) -> None:
    assert ACCOUNTS.parse(line) == parsed
    assert ACCOUNTS.key(line) == A


@pytest.mark.parametrize("login", ["a$b$c@x.com", "$6$@x.com", "a{1}@x.com", "{.}@x.com"])
def test_an_account_may_look_like_a_hash(login: str) -> None:
    assert account(login) == login
    assert ACCOUNTS.parse(f"{login}|{HASH}").address == login


@pytest.mark.parametrize("line", ["", " ", "\r", "\t", "#", " # a@x.com|x", "\ufeff# comment"])
def test_blank_lines_and_comments_are_no_entries(line: str) -> None:
    assert ACCOUNTS.key(line) == ""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("a@x.com", "missing-password"),
        ("a@x.com|", "missing-password"),
        ("a@x.com| |x=1", "missing-password"),
        ("a@x.com|secret", "malformed-hash"),
        ("a@x.com|{PLAIN}", "malformed-hash"),
        ("a@x.com|{PLAIN", "malformed-hash"),
        ("a@x.com|{}x", "malformed-hash"),
        ("a@x.com|{PLAIN}a b", "malformed-hash"),
        ("a@x.com|{PLAIN}a:b", "malformed-hash"),
        (f"broken|{HASH}", "malformed-address"),
        (f"|{HASH}", "malformed-address"),
        (f"../../etc@x.com|{HASH}", "malformed-address"),
        (f"a@x.com:{{PLAIN}}owned|{HASH}", "malformed-login"),
        (f"a@x.com|{HASH}\0", "control-character"),
        (f"a@x.com|{HASH}\x1b[2J", "control-character"),
        (f"a@x.com|{HASH}\r|x", "control-character"),
        (f"a@x.com|{HASH}|x\udcff", "not-utf-8"),
        (f"a@x.com|{HASH}|a=\u2028b", "odd-blank"),
    ],
)
def test_what_is_wrong_has_a_code(line: str, code: str) -> None:
    with pytest.raises(ParseError) as found:
        ACCOUNTS.parse(line)
    assert found.value.code == code


@pytest.mark.parametrize(
    "line",
    [
        "a@x.com {PLAIN}secret",
        "a@x.com:{PLAIN}secret",
        "a@x.com{PLAIN}secret",
        "a@x.com$6$salt$secret",
        "a@x.com$6$salt$secret|{PLAIN}secret",
        "$6$salt$secret|a@x.com",
        "a@x.com:{PLAIN}secret:5000:5000|{PLAIN}secret",
        "{PLAIN}secret|a@x.com",
        "{PLAIN}secret",
        "$6$secret",
        "a@x.com|secret",
        "a@x.com|{PLAIN}secret|\0",
        "a@x.com|{PLAIN secret",
        "a@x.com|{PLAIN}secret secret",
    ],
)
def test_no_finding_shows_a_password(line: str) -> None:
    findings = Document(ACCOUNTS, line).findings()
    assert findings
    assert all("secret" not in str(finding) for finding in findings)


def test_every_fault_of_a_file_is_found_with_its_line() -> None:
    text = f"# ours\nbad\na@x.com|{HASH}\n\nA@X.com|{{PLAIN}}x\nb@x.com|no\nb@x.com|{HASH}\n"
    found = Document(ACCOUNTS, text).findings()
    assert [(f.where.line, f.severity, f.code) for f in found] == [
        (2, "error", "missing-password"),
        (5, "warning", "duplicate-entry"),
        (6, "error", "malformed-hash"),
    ]
    assert str(found[1]).startswith("postfix-accounts.cf:5: warning: 'a@x.com' is a duplicate")
    assert "line 3" in found[1].hint


def test_of_two_lines_the_first_that_can_be_read_counts() -> None:
    document = Document(ACCOUNTS, "a@x.com|bad\nA@x.com|{PLAIN}1\na@x.com|{PLAIN}2\n")
    found = document.get(A)
    assert found is not None
    assert found.password == "{PLAIN}1"
    assert document.position(A) == 1
    assert list(document.items()) == [(A, found)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "a@x.com|{S}n\n"),
        ("b@x.com|{S}o", "b@x.com|{S}o\na@x.com|{S}n\n"),
        ("b@x.com|{S}o\r\n", "b@x.com|{S}o\r\na@x.com|{S}n\r\n"),
        ("b@x.com|{S}o\r\nc@x.com|{S}o", "b@x.com|{S}o\r\nc@x.com|{S}o\r\na@x.com|{S}n\r\n"),
        ("# only a comment", "# only a comment\na@x.com|{S}n\n"),
        ("\n\n", "\n\na@x.com|{S}n\n"),
    ],
)
def test_a_new_account_is_a_line_of_its_own_at_the_end(before: str, after: str) -> None:
    assert add(Document(ACCOUNTS, before), Account(A, "{S}n")).text == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a@x.com|{S}o\n", "a@x.com|{S}n\n"),
        ("a@x.com|{S}o|allow_nets=10.0.0.0/8\n", "a@x.com|{S}n|allow_nets=10.0.0.0/8\n"),
        (" A@X.com |  {S}o\t| fail  nologin \r\nb", " A@X.com |  {S}n\t| fail  nologin \r\nb"),
        ("# a@x.com|{S}o\na@x.com|{S}o", "# a@x.com|{S}o\na@x.com|{S}n"),
        ("a@x.com|{S}o|reason={S}o\n", "a@x.com|{S}n|reason={S}o\n"),
    ],
)
def test_a_new_password_leaves_the_rest_of_the_line(before: str, after: str) -> None:
    assert set_password(Document(ACCOUNTS, before), A, "{S}n").text == after


def test_extra_fields_are_pairs_and_a_bare_name_is_set_to_nothing() -> None:
    found = Account(A, HASH, "userdb_mail=mbox:~/m:INBOX=~/i  nologin\tx=")
    assert found.fields() == [
        ("userdb_mail", "mbox:~/m:INBOX=~/i"),
        ("nologin", ""),
        ("x", ""),
    ]
