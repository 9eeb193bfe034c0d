"""`postfix-send-access.cf`, `postfix-receive-access.cf`."""

import pytest

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
