"""`postfix-sender-logins.cf`."""

import pytest

from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.sender_logins import SENDER_LOGINS


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("press@x.com a@x.com", ("press@x.com", ("a@x.com",))),
        (
            "Press@X.com\tA@x.com ,b@x.com,, c@x.com\r",
            ("press@x.com", ("a@x.com", "b@x.com", "c@x.com")),
        ),
        ("press@x.com a@x.com A@X.com", ("press@x.com", ("a@x.com",))),
        ("@x.com a@y.org", ("@x.com", ("a@y.org",))),
        ("press+news@x.com a@x.com", ("press+news@x.com", ("a@x.com",))),
        ("press@x.com a@x.com\n  b@x.com", ("press@x.com", ("a@x.com", "b@x.com"))),
        ("info@bücher.de a@bücher.de", ("info@xn--bcher-kva.de", ("a@xn--bcher-kva.de",))),
    ],
)  # fmt: skip
def test_a_line_is_a_grant(line: str, entry: tuple[str, tuple[str, ...]]) -> None:
    assert SENDER_LOGINS.parse(line) == entry
    assert SENDER_LOGINS.key(line) == entry[0]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("press@x.com", "no-account"),
        ("press@x.com ,", "no-account"),
        ("press a@x.com", "malformed-address"),
        ("press@x.com a", "malformed-address"),
        ("press@x.com @x.com", "malformed-address"),
        ("press@x.com a+tag@x.com", "malformed-address"),
        ("press@x.com a@x.co\ufeffm", "malformed-address"),
        ("press@x.com a@x.com\0", "control-character"),
        (" press@x.com a@x.com", "lost-continuation"),
    ],
)
def test_what_is_wrong_has_a_code(line: str, code: str) -> None:
    with pytest.raises(ParseError) as found:
        SENDER_LOGINS.parse(line)
    assert found.value.code == code


def test_the_first_of_two_lines_counts() -> None:
    document = Document(SENDER_LOGINS, "p@x.com a@x.com\nP@x.com b@x.com\n")
    entry = document.get("p@x.com")
    assert entry is not None
    assert entry.accounts == ("a@x.com",)
    assert [f.code for f in document.findings()] == ["duplicate-entry"]
