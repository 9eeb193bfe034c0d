"""The differences between two large files, which are not in memory.

They are whole logical lines, and may include a few that both files have; `compare.py` finds the
exact lines in them."""

from typing import NamedTuple, TypeVar

from mailroster.roster.documents.byte_lines import Read, cut, is_start, start_before, start_behind
from mailroster.roster.documents.format import Format

E = TypeVar("E")

_BLOCK_BYTES = 1 << 11
#: The largest window of a search for the next line that both files share.
_WINDOW_BYTES = 1 << 22
#: Files with more differences are compared as wholes.
SPLICES_MAX = 1000


class Splice(NamedTuple):
    """Replaces the logical lines of a file from one offset to another by a text, which is whole
    lines with their line feeds."""

    start: int
    end: int
    text: str

    def raw(self) -> bytes:
        return self.text.encode("utf-8", "surrogateescape")


class Bytes(NamedTuple):
    """A file that is read lazily."""

    read: Read
    size: int

    def is_start(self, format: Format[E], offset: int) -> bool:
        return is_start(format, self.read, self.size, offset)


def splices_between(format: Format[E], old: Bytes, new: Bytes) -> list[Splice] | None:
    """The splices that turn one file into another; None if these are too many or too large."""
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
        shared = _next_shared(format, old, start_old, new, start_new, tail)
        if shared is None:
            return None
        at_old, at_new = shared
        text = new.read(start_new, at_new).decode("utf-8", "surrogateescape")
        splices.append(Splice(start_old, at_old, text))


def _next_shared(
    format: Format[E], old: Bytes, start_old: int, new: Bytes, start_new: int, tail: int
) -> tuple[int, int] | None:
    """The offsets in both files of the next line that they share behind a difference, or of their
    common tail. None if the search is too long."""
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
        old_lines = {
            line: offset
            for offset, line in reversed(cut(format, old.read, old.size, start_old, stop_old))
            if old.is_start(format, offset)
        }
        for offset, line in cut(format, new.read, new.size, start_new, stop_new):
            if line not in old_lines or (old_lines[line], offset) == (start_old, start_new):
                continue  # both begin with this line, and differ at its end or right behind it
            if format.key(line) and new.is_start(format, offset):
                return old_lines[line], offset
        if (stop_old, stop_new) == (end_old, end_new):
            return end_old, end_new
        if length > _WINDOW_BYTES:
            return None
        length *= 8


def _common_head(old: Bytes, at_old: int, new: Bytes, at_new: int) -> int:
    """How many bytes from two offsets on are the same."""
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
    """How many bytes before the ends are the same."""
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
    """The offset at which two byte strings begin to differ, found by halves."""
    low, high = 0, max(len(one), len(other))
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
