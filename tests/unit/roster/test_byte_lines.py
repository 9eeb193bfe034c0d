"""Lines of a file that another process truncates while it is read: every search ends."""

import pytest

from mailroster.roster.documents.byte_lines import (
    cut,
    feeds,
    line_at,
    lines_before,
    lines_behind,
    start_before,
    start_behind,
)
from mailroster.roster.documents.format import Format
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.virtual import VIRTUAL

CONTENT = b"a@x.com b@x.com\n" * 20_000
SIZE = len(CONTENT)


@pytest.mark.parametrize("there", [0, 100, 69_999])
@pytest.mark.parametrize("format", [ACCOUNTS, VIRTUAL], ids=["plain lines", "continued lines"])
def test_a_file_that_becomes_shorter_ends_each_search(format: Format[object], there: int) -> None:
    def read(start: int, end: int) -> bytes:
        return CONTENT[:there][start:end]

    for offset in (there, there + 1, SIZE - 1, SIZE):
        assert line_at(format, read, SIZE, offset) == ("", min(offset + 1, SIZE))
        assert start_behind(format, read, SIZE, offset) == (0 if offset == 0 else SIZE)
        assert 0 <= start_before(format, read, SIZE, offset) <= there
        assert cut(format, read, SIZE, offset, SIZE) == []
        assert lines_behind(read, SIZE, offset, 3) == SIZE
        assert 0 <= lines_before(read, offset, 3) <= offset
        assert feeds(read, offset, SIZE) == 0
