"""What differs between two large files: the places where other lines stand."""

from typing import NamedTuple, TypeVar

from mailroster.roster.documents.byte_lines import Read, cut, is_start, start_before, start_behind
from mailroster.roster.documents.document import Format

E = TypeVar("E")

_BLOCK_BYTES = 1 << 11
#: How far a search for the next common line looks, at most.
_WINDOW_BYTES = 1 << 22
#: With more places than this, two files are compared as wholes.
SPLICES_MAX = 1000


class Splice(NamedTuple):
    """Logical lines of the base, from one offset to another, and what stands in their place: whole
    lines too, with their line feeds."""

    start: int
    end: int
    text: str

    def raw(self) -> bytes:
        return self.text.encode("utf-8", "surrogateescape")


class Bytes(NamedTuple):
    """A file that is read where it is needed."""

    read: Read
    size: int

    def is_start(self, format: Format[E], offset: int) -> bool:
        return is_start(format, self.read, self.size, offset)


def splices_between(format: Format[E], old: Bytes, new: Bytes) -> list[Splice] | None:
    """What turns one file into another; None if that is too much to be worth it."""
    splices: list[Splice] = []
    tail = _common_tail(old, new)
    at_old = at_new = 0
    while True:
        same = _common_head(old, at_old, new, at_new)
        if at_old + same == old.size and at_new + same == new.size:
            return splices
        if len(splices) == SPLICES_MAX:
            return None
        start_old = at_old + same
        if not (old.is_start(format, start_old) and new.is_start(format, at_new + same)):
            start_old = start_before(format, old.read, old.size, max(at_old, start_old - 1))
        start_new = start_old - at_old + at_new
        found = _meeting(format, old, start_old, new, start_new, tail)
        if found is None:
            return None
        at_old, at_new = found
        text = new.read(start_new, at_new).decode("utf-8", "surrogateescape")
        splices.append(Splice(start_old, at_old, text))


def _meeting(
    format: Format[E], old: Bytes, start_old: int, new: Bytes, start_new: int, tail: int
) -> tuple[int, int] | None:
    """Where both go on alike behind a difference: at the next line they share, or at their common
    tail. None if they share too little."""
    rest = min(tail, old.size - start_old, new.size - start_new)
    end_old = old.size - rest
    while end_old < old.size and not (
        old.is_start(format, end_old) and new.is_start(format, end_old - old.size + new.size)
    ):
        end_old = start_behind(format, old.read, old.size, end_old + 1)
    end_new = end_old - old.size + new.size
    length = _BLOCK_BYTES
    while True:
        stop_old, stop_new = min(end_old, start_old + length), min(end_new, start_new + length)
        if length == _BLOCK_BYTES and (stop_old, stop_new) == (end_old, end_new):
            return end_old, end_new
        stop_old = start_behind(format, old.read, old.size, stop_old)
        stop_new = start_behind(format, new.read, new.size, stop_new)
        ours = {
            line: offset
            for offset, line in reversed(cut(format, old.read, old.size, start_old, stop_old))
            if old.is_start(format, offset)
        }
        for offset, line in cut(format, new.read, new.size, start_new, stop_new):
            if line not in ours or (ours[line], offset) == (start_old, start_new):
                continue  # both begin with this line, and differ in its end or right behind it
            if format.key(line) and new.is_start(format, offset):
                return ours[line], offset
        if (stop_old, stop_new) == (end_old, end_new):
            return end_old, end_new
        if length > _WINDOW_BYTES:
            return None
        length *= 8


def _common_head(old: Bytes, at_old: int, new: Bytes, at_new: int) -> int:
    """How many bytes from two places on are alike."""
    same, most = 0, min(old.size - at_old, new.size - at_new)
    length = 4096
    while same < most:
        length = min(length * 2, 1 << 20, most - same)
        one = old.read(at_old + same, at_old + same + length)
        other = new.read(at_new + same, at_new + same + length)
        if one != other:
            return same + _first_difference(one, other)
        if not one:  # the file has become shorter while it was read
            return same
        same += len(one)
    return same


def _common_tail(old: Bytes, new: Bytes) -> int:
    """How many bytes before the ends are alike."""
    same, most = 0, min(old.size, new.size)
    length = 4096
    while same < most:
        length = min(length * 2, 1 << 20, most - same)
        one = old.read(old.size - same - length, old.size - same)
        other = new.read(new.size - same - length, new.size - same)
        if one != other:
            return same + _first_difference(one[::-1], other[::-1])
        if not one:
            return same
        same += len(one)
    return same


def _first_difference(one: bytes, other: bytes) -> int:
    """Where two different byte strings begin to differ, by halves."""
    low, high = 0, max(len(one), len(other))
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
