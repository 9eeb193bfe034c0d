"""`postfix-send-access.cf`, `postfix-receive-access.cf`."""

import pytest

from mailroster.base import address
from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.access import RECEIVE_ACCESS, SEND_ACCESS
from tests.support.access_keys import UNKNOWN, WITHOUT_EFFECT


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("a@x.com REJECT", ("a@x.com", "REJECT")),
        ("A@X.com\t  REJECT 5.7.1 go away \r", ("a@x.com", "REJECT 5.7.1 go away")),
        ("x.com OK", ("x.com", "OK")),
        ("user@ REJECT", ("user@", "REJECT")),
        ("a@x.com REJECT\n  because", ("a@x.com", "REJECT because")),
        ("<> REJECT", ("<>", "REJECT")),
        ("[192.0.2.1] REJECT", ("[192.0.2.1]", "REJECT")),
        ("a@[192.0.2.1] REJECT", ("a@[192.0.2.1]", "REJECT")),
        ("top REJECT", ("top", "REJECT")),
        ("x_y.com REJECT", ("x_y.com", "REJECT")),
        ("a@x_y.com REJECT", ("a@x_y.com", "REJECT")),
        ("a@M\u00fcller.example REJECT", ("a@xn--mller-kva.example", "REJECT")),
        ("m\u00fcller.example REJECT", ("xn--mller-kva.example", "REJECT")),
        ("\ufeffa@x.com REJECT", ("a@x.com", "REJECT")),
        ("a+b@x.com reject", ("a+b@x.com", "reject")),
        ("a@x.com 550 5.1.1 no", ("a@x.com", "550 5.1.1 no")),
        ("a@x.com 1", ("a@x.com", "1")),
        ("a@x.com\tDEFER\tlater", ("a@x.com", "DEFER\tlater")),
        ("a@x.com REDIRECT b@x.com", ("a@x.com", "REDIRECT b@x.com")),
        ("a@x.com FILTER smtp:[127.0.0.1]:1", ("a@x.com", "FILTER smtp:[127.0.0.1]:1")),
        ("a@x.com permit_mynetworks, reject", ("a@x.com", "permit_mynetworks, reject")),
    ],
)
def test_a_line_is_a_restriction(line: str, entry: tuple[str, str]) -> None:
    assert SEND_ACCESS.parse(line) == entry
    assert SEND_ACCESS.key(line) == entry[0]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("a@x.com", "missing-action"),
        (" a@x.com REJECT", "lost-continuation"),
        ("a@x.com REJECT\0", "control-character"),
        ("a@x.com REJECT \udcff", "not-utf-8"),
        ("a@x.com\xa0REJECT", "odd-blank"),
        *((f"{key} REJECT", "key-without-effect") for key in WITHOUT_EFFECT),
        *((f"a@x.com {action}", "unknown-action") for action in UNKNOWN),
        ("a b@x.com REJECT", "unknown-action"),
        ("a@x.com ,REJECT", "unknown-action"),
        ("a@x.com: REJECT", "malformed-address"),
        ("<a@x.com> REJECT", "malformed-address"),
        ("@@ REJECT", "malformed-address"),
        ("j\u00f6rg@x.com REJECT", "malformed-address"),
        ("a@x..com REJECT", "malformed-address"),
        ("/^a/ REJECT", "malformed-address"),
    ],
)
def test_what_is_wrong_has_a_code(line: str, code: str) -> None:
    with pytest.raises(ParseError) as found:
        SEND_ACCESS.parse(line)
    assert found.value.code == code


def test_each_file_reports_under_its_own_name() -> None:
    found = Document(RECEIVE_ACCESS, "a@x.com REJECT\n\nA@x.com OK\n").findings()
    assert [str(finding.where) for finding in found] == ["postfix-receive-access.cf:3"]


def test_a_line_with_a_fault_is_not_served() -> None:
    document = Document(SEND_ACCESS, "@x.com REJECT\na@x.com DENY\nb@x.com REJECT\n")
    assert list(document.counted()) == ["b@x.com"]
    assert [finding.code for finding in document.findings()] == [
        "key-without-effect",
        "unknown-action",
    ]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("müller.example", "xn--mller-kva.example"),
        ("MÜLLER.example", "xn--mller-kva.example"),
        ("mu\u0308ller.example", "xn--mller-kva.example"),
        ("joe@müller.example", "joe@xn--mller-kva.example"),
        ("example.com", "example.com"),
        ("joe@", "joe@"),
    ],
)
def test_a_domain_is_a_key_in_every_spelling(written: str, key: str) -> None:
    assert SEND_ACCESS.key(f"{written} REJECT") == key
    assert SEND_ACCESS.parse(f"{written} REJECT").key == key
    if written != "joe@":
        assert address.access(written) == key


def test_a_key_that_is_no_domain_is_an_error() -> None:
    with pytest.raises(ParseError):
        address.access("mü ller.example")
    assert SEND_ACCESS.key("jörg..x REJECT") == "jörg..x"
