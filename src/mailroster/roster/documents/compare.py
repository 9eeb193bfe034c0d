"""What differs between two documents, or between two lists of lines.

`blocks` compares lists of lines, in time that grows with their length and not with its square: it
walks through both and, where they differ, searches the next line that they share in growing
windows. The result turns one list into the other; it is not always the shortest that does.

A large document knows its splices, so only the lines of these are compared.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from mailroster.roster.documents.byte_lines import lines_of
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import spliced, whole
from mailroster.roster.documents.splices import Splice

E = TypeVar("E")

#: How many lines the first window of a search has.
_WINDOW = 8
#: Lines that are compared at once.
_STRIDE = 64


class Block(NamedTuple):
    """Lines that differ: new[new_start:new_end] replaces old[start:end]."""

    start: int
    end: int
    new_start: int
    new_end: int


def blocks(old: Sequence[str], new: Sequence[str]) -> list[Block]:
    """Where two lists of lines differ, in order."""
    differing: list[Block] = []
    at, new_at = 0, 0
    while True:
        same = _common(old, at, new, new_at)
        at, new_at = at + same, new_at + same
        if at == len(old) and new_at == len(new):
            return differing
        end, new_end = _next_shared(old, at, new, new_at)
        shared = 0
        while min(end - at, new_end - new_at) > shared and (
            old[end - 1 - shared] == new[new_end - 1 - shared]
        ):
            shared += 1
        differing.append(Block(at, end - shared, new_at, new_end - shared))
        at, new_at = end, new_end


def _common(old: Sequence[str], at: int, new: Sequence[str], new_at: int) -> int:
    """How many lines are the same, from two positions on."""
    count, most = 0, min(len(old) - at, len(new) - new_at)
    while count < most:
        end = min(count + _STRIDE, most)
        if old[at + count : at + end] != new[new_at + count : new_at + end]:
            while old[at + count] == new[new_at + count]:
                count += 1
            return count
        count = end
    return count


def _next_shared(old: Sequence[str], at: int, new: Sequence[str], new_at: int) -> tuple[int, int]:
    """The positions of the next line that both lists share and that is not blank, or their ends.

    A window costs what it contains, and the smaller ones contained no such line: so the search
    costs about as much as it skips.
    """
    window = _WINDOW
    while True:
        end = min(at + window, len(old))
        first = dict(zip(reversed(old[at:end]), range(end - 1, at - 1, -1), strict=True))
        for position, line in enumerate(new[new_at : new_at + window], new_at):
            if line in first and line and not line.isspace():
                return first[line], position
        if at + window >= len(old) and new_at + window >= len(new):
            return len(old), len(new)
        window *= 8


def splices_since(before: Document[E], after: Document[E]) -> list[Splice]:
    """The splices that turn the bytes of one document into the other: each replaces the logical
    lines that differ in one place."""
    large, split = spliced(before, after), after.format.split
    if large is None:
        return list(_splices(0, whole(before).lines, whole(after).lines))
    return [
        finer
        for splice, removed in large.replaced()
        for finer in _splices(splice.start, split(removed), split(splice.text))
    ]


def _splices(start: int, old: list[str], new: list[str]) -> Iterator[Splice]:
    """The splices that turn some lines, which begin at an offset, into others. The last line of
    each list is what follows the last line feed; it may be empty."""
    differing = blocks(old[:-1], new[:-1])
    if old[-1] != new[-1]:
        last = Block(len(old) - 1, len(old), len(new) - 1, len(new))
        if differing and differing[-1].end == last.start:
            block = differing.pop()
            last = last._replace(start=block.start, new_start=block.new_start)
        differing.append(last)
    line = 0
    for block in differing:
        start += _octets(_text(old, line, block.start))
        end = start + _octets(_text(old, block.start, block.end))
        yield Splice(start, end, _text(new, block.new_start, block.new_end))
        start, line = end, block.end


def _text(lines: list[str], start: int, end: int) -> str:
    """Some lines with their line feeds; the last of the list has none."""
    text = "\n".join(lines[start:end])
    return f"{text}\n" if start < end < len(lines) else text


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def changed_lines(
    before: Document[E], after: Document[E]
) -> tuple[list[str], list[tuple[int, str]]]:
    """The lines that only the first document has, and those that only the second has, with their
    positions in it. A line that has moved is in both."""
    removed: list[str] = []
    added: list[tuple[int, str]] = []
    for old, new, first in _line_lists(before, after):
        for block in blocks(old, new):
            removed += old[block.start : block.end]
            lines = new[block.new_start : block.new_end]
            added += enumerate(lines, first + block.new_start)
    return removed, added


def _line_lists(
    before: Document[E], after: Document[E]
) -> Iterator[tuple[list[str], list[str], int]]:
    """Lists of lines of both documents in which all differences are, and the position of the first
    line of the second list."""
    large = spliced(before, after)
    if large is None:
        yield whole(before).lines, whole(after).lines, 0
        return
    first = large.base.size + 1
    for splice, removed in large.replaced():
        new = lines_of(after.format, splice.text)
        yield lines_of(after.format, removed), new, first
        first += len(new)


def changed_keys(before: Document[E], after: Document[E]) -> frozenset[str]:
    """The keys of the lines that differ: only their entries may have changed.

    If a key has several lines, their order matters. A line that has moved counts as different.
    """
    if before.same_as(after):
        return frozenset()
    if before.format.ordered:
        return frozenset({""})
    removed, added = changed_lines(before, after)
    lines = {*removed, *(line for _, line in added)}
    return frozenset({before.format.key(line) for line in lines} - {""})
