"""`dovecot-masters.cf`."""

import pytest

from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.masters import MASTERS, master_name


@pytest.mark.parametrize(
    ("line", "name"),
    [("admin|{S}h", "admin"), (" Admin | {S}h\r", "admin"), ("root@x.com|{S}h", "root@x.com")],
)
def test_a_line_is_a_master(line: str, name: str) -> None:
    assert MASTERS.parse(line) == (name, "{S}h")
    assert MASTERS.key(line) == name


@pytest.mark.parametrize("text", ["", "a b", "a*b", "a|b", "a:b", "-a", ".a", "ä", "a%u", "a/b"])
def test_a_name_that_dovecot_would_read_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ParseError) as found:
        master_name(text)
    assert found.value.code == "malformed-name"


def test_findings_of_a_file() -> None:
    text = "#\na|{S}h\nA|{S}i\nb|{S}h|x\nc\n*|{S}h\n"
    found = [(f.where.line, f.code) for f in Document(MASTERS, text).findings()]
    assert found == [
        (3, "duplicate-entry"),
        (4, "malformed-line"),
        (5, "missing-password"),
        (6, "malformed-name"),
    ]
