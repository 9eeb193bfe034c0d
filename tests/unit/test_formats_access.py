"""`postfix-send-access.cf`, `postfix-receive-access.cf`."""

import pytest

from mailroster import address
from mailroster.document import Document
from mailroster.finding import Fault
from mailroster.formats.access import RECEIVE_ACCESS, SEND_ACCESS


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("a@x.com REJECT", ("a@x.com", "REJECT")),
        ("A@X.com\t  REJECT 5.7.1 go away \r", ("a@x.com", "REJECT 5.7.1 go away")),
        ("x.com OK", ("x.com", "OK")),
        ("user@ REJECT", ("user@", "REJECT")),
        ("a@x.com REJECT\n  because", ("a@x.com", "REJECT because")),
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
    ],
)
def test_what_is_wrong_has_a_code(line: str, code: str) -> None:
    with pytest.raises(Fault) as found:
        SEND_ACCESS.parse(line)
    assert found.value.code == code


def test_each_file_reports_under_its_own_name() -> None:
    found = Document(RECEIVE_ACCESS, "a@x.com REJECT\n\nA@x.com OK\n").findings()
    assert [str(finding.where) for finding in found] == ["postfix-receive-access.cf:3"]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("müller.example", "xn--mller-kva.example"),
        ("MÜLLER.example", "xn--mller-kva.example"),
        (".mu\u0308ller.example", ".xn--mller-kva.example"),
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
    with pytest.raises(Fault):
        address.access("mü ller.example")
    assert SEND_ACCESS.key("jörg..x REJECT") == "jörg..x"
