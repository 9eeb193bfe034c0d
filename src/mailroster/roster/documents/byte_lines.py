"""Logical lines in bytes that are read lazily, by offset.

A *start* is an offset at which a logical line begins. It is *sure* if the bytes around it prove
that, without the lines before. In formats with continued lines, a line that begins with a blank is
no start.
"""

from collections.abc import Callable
from typing import TypeVar

from mailroster.roster.documents.format import Format

E = TypeVar("E")

#: Reads the bytes from one offset to another.
Read = Callable[[int, int], bytes]

_LINE_BYTES = 512
_CHUNK_BYTES = 1 << 16
#: The first bytes of physical lines that may continue a logical line.
_NO_START = (b" ", b"\t", b"\r", b"\n", b"#", b"\xef")


def lines_of(format: Format[E], text: str) -> list[str]:
    """The logical lines of a text, without the empty one behind the last line feed."""
    lines = format.split(text)
    return lines[:-1] if text.endswith("\n") or not text else lines


def length(line: str) -> int:
    """The length of a line in the file, in octets."""
    return len(line.encode("utf-8", "surrogateescape"))


def line_at(format: Format[E], read: Read, size: int, start: int) -> tuple[str, int]:
    """The logical line that begins at an offset, and the offset of the next line."""
    wanted = _LINE_BYTES
    while True:
        raw = read(start, min(size, start + wanted))
        end = _first_end(format, raw, whole=start + wanted >= size)
        if end or start + wanted >= size:  # or the file has become shorter
            text = raw[:end].decode("utf-8", "surrogateescape")
            line = format.split(text)[0]
            return line, min(start + length(line) + 1, size)
        wanted *= 8


def _first_end(format: Format[E], raw: bytes, *, whole: bool) -> int:
    """The end of the first logical line in some bytes; 0 if more bytes are needed. `whole`: no
    bytes follow."""
    line_feed = raw.find(b"\n")
    while line_feed >= 0:
        if not format.continued or raw[line_feed + 1 : line_feed + 2] not in (b"", *_NO_START):
            return line_feed + 1
        line_feed = raw.find(b"\n", line_feed + 1)
    return len(raw) if whole else 0


def is_start(format: Format[E], read: Read, size: int, offset: int) -> bool:
    """Whether an offset is a sure start."""
    if offset in (0, size):
        return offset == 0 or read(offset - 1, offset) == b"\n"
    before, at = (read(offset - 1, offset + 1)[n : n + 1] for n in (0, 1))
    return before == b"\n" and not (format.continued and at in _NO_START)


def start_before(format: Format[E], read: Read, size: int, offset: int) -> int:
    """The last sure start at an offset or before it."""
    if is_start(format, read, size, offset):
        return offset
    while offset > 0:
        low = max(0, offset - _CHUNK_BYTES)
        raw = read(low, offset)
        line_feed = raw.rfind(b"\n", 0, len(raw) - 1)
        while line_feed >= 0:
            if is_start(format, read, size, low + line_feed + 1):
                return low + line_feed + 1
            line_feed = raw.rfind(b"\n", 0, line_feed)
        offset = low + 1 if low else 0
    return 0


def start_behind(format: Format[E], read: Read, size: int, offset: int) -> int:
    """The first sure start at an offset or behind it; the end counts as one."""
    while offset < size and not is_start(format, read, size, offset):
        raw = read(offset, min(size, offset + _CHUNK_BYTES))
        if not raw:  # the file has become shorter while it was read
            return size
        line_feed = raw.find(b"\n")
        offset = offset + line_feed + 1 if line_feed >= 0 else offset + len(raw)
    return min(offset, size)


def cut(format: Format[E], read: Read, size: int, start: int, end: int) -> list[tuple[int, str]]:
    """The logical lines between two sure starts, each with its offset."""
    raw = read(start, end)
    text = raw.decode("utf-8", "surrogateescape")
    lines = []
    is_ascii = text.isascii()
    for line in lines_of(format, text):
        lines.append((start, line))
        start += 1 + (len(line) if is_ascii else length(line))
    return lines


def lines_before(read: Read, offset: int, count: int) -> int:
    """The offset of the physical line that is `count` lines before an offset."""
    length = _LINE_BYTES
    while True:
        low = max(0, offset - length)
        raw = read(low, offset)
        line_feed = len(raw)
        for _ in range(count + 1):
            line_feed = raw.rfind(b"\n", 0, line_feed)
            if line_feed < 0:
                break
        if line_feed >= 0 or low == 0:
            return low + line_feed + 1
        length *= 8


def lines_behind(read: Read, size: int, offset: int, count: int) -> int:
    """The offset behind `count` physical lines that begin at an offset."""
    length = _LINE_BYTES
    while True:
        raw = read(offset, min(size, offset + length))
        line_feed = -1
        for _ in range(count):
            line_feed = raw.find(b"\n", line_feed + 1)
            if line_feed < 0:
                break
        if line_feed >= 0:
            return offset + line_feed + 1
        if offset + length >= size:
            return size
        length *= 8


def feeds(read: Read, start: int, end: int) -> int:
    """The number of line feeds between two offsets."""
    count = 0
    while start < end:
        raw = read(start, min(end, start + (1 << 22)))
        count += raw.count(b"\n")
        start += len(raw) or end
    return count
