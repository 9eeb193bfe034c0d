"""A unified diff of lines, in time that grows with the lines and not with their square.

Two texts are gone through side by side; where they differ, the next line that they share is looked
for in windows that grow. What comes out always turns one text into the other; it is not always the
shortest that does.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

#: Lines of context around a change.
CONTEXT = 3
_WINDOW = 8
#: Lines that are compared at once.
_STRIDE = 64


class Region(NamedTuple):
    """A part of two texts, and the 0-based numbers of its first line in both."""

    old: Sequence[str]
    new: Sequence[str]
    old_start: int = 0
    new_start: int = 0


class Block(NamedTuple):
    """Lines that differ: old[start:end] has become new[new_start:new_end]."""

    start: int
    end: int
    new_start: int
    new_end: int


def unified(regions: Iterable[Region], file: str) -> Iterator[str]:
    """The lines of a diff, without line feeds; none at all if nothing differs.

    Regions are in order, and at least twice the context apart.
    """
    headed = False
    for region in regions:
        for hunk in _hunks(blocks(region.old, region.new)):
            if not headed:
                yield f"--- a/{file}"
                yield f"+++ b/{file}"
                headed = True
            yield from _written(region, hunk)


def blocks(old: Sequence[str], new: Sequence[str]) -> list[Block]:
    """Where two texts differ, in order."""
    found: list[Block] = []
    at, at_new = 0, 0
    while True:
        same = _alike(old, at, new, at_new)
        at, at_new = at + same, at_new + same
        if at == len(old) and at_new == len(new):
            return found
        end, new_end = _meeting(old, at, new, at_new)
        shared = 0
        while min(end - at, new_end - at_new) > shared and (
            old[end - 1 - shared] == new[new_end - 1 - shared]
        ):
            shared += 1
        found.append(Block(at, end - shared, at_new, new_end - shared))
        at, at_new = end, new_end


def _alike(old: Sequence[str], at: int, new: Sequence[str], at_new: int) -> int:
    """How many lines from two places on are the same."""
    count, most = 0, min(len(old) - at, len(new) - at_new)
    while count < most:
        end = min(count + _STRIDE, most)
        if old[at + count : at + end] != new[at_new + count : at_new + end]:
            while old[at + count] == new[at_new + count]:
                count += 1
            return count
        count = end
    return count


def _meeting(old: Sequence[str], at: int, new: Sequence[str], at_new: int) -> tuple[int, int]:
    """The next line that two texts share behind a difference; their ends, if there is none.

    A window costs what it holds, and the one before it held no such line: so the search costs about
    what is skipped by it.
    """
    window = _WINDOW
    while True:
        places: dict[str, int] = {}
        for place in range(at, min(at + window, len(old))):
            places.setdefault(old[place], place)
        for place in range(at_new, min(at_new + window, len(new))):
            line = new[place]
            if line in places and not line.isspace() and line:
                return places[line], place
        if at + window >= len(old) and at_new + window >= len(new):
            return len(old), len(new)
        window *= 8


def _hunks(found: Sequence[Block]) -> Iterator[list[Block]]:
    """Blocks that share their context, together."""
    hunk: list[Block] = []
    for block in found:
        if hunk and block.start - hunk[-1].end > 2 * CONTEXT:
            yield hunk
            hunk = []
        hunk.append(block)
    if hunk:
        yield hunk


def _written(region: Region, hunk: Sequence[Block]) -> Iterator[str]:
    first, last = hunk[0], hunk[-1]
    before = min(CONTEXT, first.start)
    behind = min(CONTEXT, len(region.old) - last.end)
    old = _range(region.old_start + first.start - before, last.end + behind - first.start + before)
    new = _range(
        region.new_start + first.new_start - before,
        last.new_end + behind - first.new_start + before,
    )
    yield f"@@ -{old} +{new} @@"
    place = first.start - before
    for block in hunk:
        yield from (f" {line}" for line in region.old[place : block.start])
        yield from (f"-{line}" for line in region.old[block.start : block.end])
        yield from (f"+{line}" for line in region.new[block.new_start : block.new_end])
        place = block.end
    yield from (f" {line}" for line in region.old[place : place + behind])


def _range(start: int, length: int) -> str:
    """Lines as a diff names them: counted from 1, `0,0` before the first."""
    begin = start + 1 if length else start
    return str(begin) if length == 1 else f"{begin},{length}"
