"""A large copy with an index, as the base of a large document, and what the index records of it."""

import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from mailroster.base.address import is_idna, split
from mailroster.base.findings import ParseError
from mailroster.roster.documents.byte_lines import (
    cut,
    is_start,
    length,
    line_at,
    start_before,
    start_behind,
)
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format, mentions
from mailroster.system.files import opened

if TYPE_CHECKING:
    from mailroster.publish.index import CopyInfo, Index, IndexEntry

#: From so many recorded offsets on, all lines are searched.
_MANY = 256
_CHUNK_BYTES = 1 << 23


class IndexedFile:
    """A file that is read where the index points. It implements `roster.documents.base.Base`."""

    def __init__(
        self, format: Format[Any], field: str, path: str, index: "Index", info: "CopyInfo"
    ):
        self._format, self._field, self._index, self._info = format, field, index, info
        self._file = opened(path)
        self.fd = self._file.fileno()
        self.size, self.entries, self.faulty = info.size, info.entries, info.faulty
        self.token: Hashable = (field, info.serial)

    def read(self, start: int, end: int) -> bytes:
        return os.pread(self.fd, end - start, start)

    def claiming(self, key: str) -> list[int]:
        recorded = self._index.claiming(self._field, key)
        needles = () if is_idna(split(key)[1]) else (key,)
        return self._offsets(recorded, needles, lambda line: self._format.key(line) == key)

    def mentioning(self, user: str, domain: str) -> list[int]:
        def matches(line: str) -> bool:
            try:
                entry = self._format.parse(line) if self._format.key(line) else None
            except ParseError:
                return False
            return entry is not None and mentions(self._format, entry, user, domain)

        recorded = self._index.mentioning(self._field, user, domain)
        return self._offsets(recorded, self._format.needles(user, domain), matches)

    def keys_in(self, domain: str) -> Iterator[str]:
        return self._index.keys_in(self._field, domain)

    def _offsets(
        self, recorded: list[int], needles: Sequence[str], matches: Callable[[str], bool]
    ) -> list[int]:
        """The offsets of the lines that match. Each of them contains one of the needles, if there
        are any."""
        if len(recorded) > _MANY and self._info.low != self._info.high:
            lines = lines_in(self._format, self.read, self.size)
        else:
            lines = (line for offset in recorded for line in self._near(offset, needles))
        return sorted({offset for offset, line in lines if matches(line)})

    def _near(self, recorded: int, needles: Sequence[str]) -> Iterable[tuple[int, str]]:
        """The lines that may have been recorded with an offset."""
        low, high = recorded + self._info.low, recorded + self._info.high
        if low == high and is_start(self._format, self.read, self.size, recorded):
            return [(recorded, line_at(self._format, self.read, self.size, recorded)[0])]
        low, high = max(0, low), min(high + 1, self.size)
        if low >= high:
            return []
        start = start_before(self._format, self.read, self.size, low)
        end = start_behind(self._format, self.read, self.size, high)
        return lines_with(self._format, self.read(start, end), start, needles)


def lines_with(
    format: Format[Any], raw: bytes, start: int, needles: Sequence[str]
) -> Iterator[tuple[int, str]]:
    """The logical lines that contain one of the needles, in any case, with their offsets. `raw` is
    whole lines from the offset `start`. All lines, if a search in the bytes can't find them."""

    def read(low: int, high: int) -> bytes:
        return raw[low:high]

    if not (raw.isascii() and needles and all(needles)):
        for offset, line in cut(format, read, len(raw), 0, len(raw)):
            yield start + offset, line
        return
    lower = raw.lower()
    for needle in map(str.encode, needles):
        position = lower.find(needle)
        while position >= 0:
            low = start_before(format, read, len(raw), position)
            end = start_behind(format, read, len(raw), position + 1)
            for offset, line in cut(format, read, len(raw), low, end):
                yield start + offset, line
            position = lower.find(needle, end)


def lines_in(
    format: Format[Any], read: Callable[[int, int], bytes], size: int
) -> Iterator[tuple[int, str]]:
    """All logical lines of a file with their offsets. Reads it in parts."""
    start = 0
    while start < size:
        end = start_behind(format, read, size, min(size, start + _CHUNK_BYTES))
        yield from cut(format, read, size, start, end)
        start = end


def entries_of(format: Format[Any], lines: Iterable[tuple[int, str]]) -> Iterator["IndexEntry"]:
    """What the index records of lines with their offsets."""
    from mailroster.publish.index import IndexEntry

    for offset, line in lines:
        if not (key := format.key(line)):
            continue
        try:
            yield IndexEntry(offset, key, tuple(format.mentions(format.parse(line))), False)
        except ParseError:
            yield IndexEntry(offset, key, (), True)


def all_entries(document: Document[Any]) -> Iterator["IndexEntry"]:
    """What the index records of a whole document, whose lines are not parsed a second time."""
    from mailroster.publish.index import IndexEntry

    format, lines = document.format, document.lines
    lengths = map(len, lines) if document.text.isascii() else map(length, lines)
    offsets = list(accumulate((octets + 1 for octets in lengths), initial=0))
    unreadable, make_entry = document.unreadable(), IndexEntry._make
    has_mentions = type(format).mentions is not Format.mentions
    for key, position in document.claims():
        faulty = position in unreadable
        parse = has_mentions and not faulty
        mentioned = tuple(format.mentions(document.entry_at(position))) if parse else ()
        yield make_entry((offsets[position], key, mentioned, faulty))
