"""Logical lines in bytes that lie elsewhere, and are read where they are needed.

A *start* is an offset at which a logical line begins; it is *sure* if that can be seen at the place
itself, whatever stands before it. Where lines are continued, one that begins with a blank is none.
"""

from collections.abc import Callable
from typing import TypeVar

from mailroster.roster.documents.document import Format

E = TypeVar("E")

#: Bytes from one offset to another.
Read = Callable[[int, int], bytes]

_LINE_BYTES = 512
_CHUNK_BYTES = 1 << 16
#: What may begin a physical line that does not begin a logical one, if lines are continued.
_NO_START = (b" ", b"\t", b"\r", b"\n", b"#", b"\xef")


def lines_of(format: Format[E], text: str) -> list[str]:
    """Logical lines of whole lines of a file, without the empty one behind the last line feed."""
    lines = format.split(text)
    return lines[:-1] if text.endswith("\n") or not text else lines


def length(line: str) -> int:
    """The octets of a line in the file."""
    return len(line.encode("utf-8", "surrogateescape"))


def line_at(format: Format[E], read: Read, size: int, start: int) -> tuple[str, int]:
    """The logical line that begins at an offset, and the offset behind it."""
    wanted = _LINE_BYTES
    while True:
        raw = read(start, min(size, start + wanted))
        end = _first_end(format, raw, whole=start + wanted >= size)
        if end or start + wanted >= size:  # none is whole if the file has become shorter
            text = raw[:end].decode("utf-8", "surrogateescape")
            line = format.split(text)[0]
            return line, min(start + length(line) + 1, size)
        wanted *= 8


def _first_end(format: Format[E], raw: bytes, *, whole: bool) -> int:
    """Where in some bytes their first logical line has surely ended; 0: more are wanted."""
    place = raw.find(b"\n")
    while place >= 0:
        if not format.continued or raw[place + 1 : place + 2] not in (b"", *_NO_START):
            return place + 1
        place = raw.find(b"\n", place + 1)
    return len(raw) if whole else 0


def is_start(format: Format[E], read: Read, size: int, offset: int) -> bool:
    """Whether a logical line surely begins at an offset, whatever stands before it."""
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
        place = raw.rfind(b"\n", 0, len(raw) - 1)
        while place >= 0:
            if is_start(format, read, size, low + place + 1):
                return low + place + 1
            place = raw.rfind(b"\n", 0, place)
        offset = low + 1 if low else 0
    return 0


def start_behind(format: Format[E], read: Read, size: int, offset: int) -> int:
    """The first sure start at an offset or behind it; the end counts as one."""
    while offset < size and not is_start(format, read, size, offset):
        raw = read(offset, min(size, offset + _CHUNK_BYTES))
        if not raw:  # the file has become shorter while it was read
            return size
        place = raw.find(b"\n")
        offset = offset + place + 1 if place >= 0 else offset + len(raw)
    return min(offset, size)


def cut(format: Format[E], read: Read, size: int, start: int, end: int) -> list[tuple[int, str]]:
    """The logical lines between two sure starts, each with its offset."""
    raw = read(start, end)
    text = raw.decode("utf-8", "surrogateescape")
    found = []
    plain = text.isascii()
    for line in lines_of(format, text):
        found.append((start, line))
        start += 1 + (len(line) if plain else length(line))
    return found


def lines_before(read: Read, offset: int, count: int) -> int:
    """Where the physical line begins that stands some lines before the one at an offset."""
    length = _LINE_BYTES
    while True:
        low = max(0, offset - length)
        raw = read(low, offset)
        place = len(raw)
        for _ in range(count + 1):
            place = raw.rfind(b"\n", 0, place)
            if place < 0:
                break
        if place >= 0 or low == 0:
            return low + place + 1
        length *= 8


def lines_behind(read: Read, size: int, offset: int, count: int) -> int:
    """The offset behind some physical lines from an offset on."""
    length = _LINE_BYTES
    while True:
        raw = read(offset, min(size, offset + length))
        place = -1
        for _ in range(count):
            place = raw.find(b"\n", place + 1)
            if place < 0:
                break
        if place >= 0:
            return offset + place + 1
        if offset + length >= size:
            return size
        length *= 8


def feeds(read: Read, start: int, end: int) -> int:
    """How many line feeds there are between two offsets."""
    count = 0
    while start < end:
        raw = read(start, min(end, start + (1 << 22)))
        count += raw.count(b"\n")
        start += len(raw) or end
    return count
