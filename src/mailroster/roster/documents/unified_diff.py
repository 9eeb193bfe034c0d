"""Unified diffs of documents and of lines."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mailroster.roster.documents.byte_lines import feeds, lines_before, lines_behind
from mailroster.roster.documents.compare import Block, blocks
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument, spliced
from mailroster.roster.documents.splices import Splice

#: Lines of context around a change.
CONTEXT = 3


class Region(NamedTuple):
    """A part of two texts, and the 0-based numbers of its first line in both."""

    old: Sequence[str]
    new: Sequence[str]
    old_start: int = 0
    new_start: int = 0


def regions(before: Document[object], after: Document[object]) -> Iterator[Region]:
    """The parts of two documents in which they may differ, cut into physical lines."""
    large = spliced(before, after)
    if large is None:
        yield Region(physical_lines(bytes(before)), physical_lines(bytes(after)))
    else:
        yield from _around(large)


def _around(after: LargeDocument[object]) -> Iterator[Region]:
    """The surroundings of each splice. Those that touch are one region."""
    base = after.base
    groups: list[tuple[int, int, list[Splice]]] = []
    for splice in after.splices:
        start = lines_before(base.read, splice.start, CONTEXT)
        end = lines_behind(base.read, base.size, splice.end, CONTEXT)
        if groups and start <= groups[-1][1]:
            first, _, group = groups.pop()
            groups.append((first, end, [*group, splice]))
        else:
            groups.append((start, end, [splice]))
    counted = number = shift = 0
    for start, end, group in groups:
        number += feeds(base.read, counted, start)
        old, new, offset = base.read(start, end), b"", start
        for splice in group:
            new += base.read(offset, splice.start) + splice.raw()
            offset = splice.end
        new += base.read(offset, end)
        old_lines, new_lines = physical_lines(old), physical_lines(new)
        yield Region(old_lines, new_lines, number, number + shift)
        counted, shift = start, shift + len(new_lines) - len(old_lines)


def physical_lines(raw: bytes) -> list[str]:
    return raw.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n") if raw else []


def unified(regions: Iterable[Region], file: str) -> Iterator[str]:
    """The lines of a diff, without line feeds; none at all if nothing differs.

    Regions are in order, and at least twice the context apart.
    """
    has_header = False
    for region in regions:
        for hunk in _hunks(blocks(region.old, region.new)):
            if not has_header:
                yield f"--- a/{file}"
                yield f"+++ b/{file}"
                has_header = True
            yield from _lines(region, hunk)


def _hunks(differing: Sequence[Block]) -> Iterator[list[Block]]:
    """Groups of blocks that share their context."""
    hunk: list[Block] = []
    for block in differing:
        if hunk and block.start - hunk[-1].end > 2 * CONTEXT:
            yield hunk
            hunk = []
        hunk.append(block)
    if hunk:
        yield hunk


def _lines(region: Region, hunk: Sequence[Block]) -> Iterator[str]:
    first, last = hunk[0], hunk[-1]
    before = min(CONTEXT, first.start)
    behind = min(CONTEXT, len(region.old) - last.end)
    old = _range(region.old_start + first.start - before, last.end + behind - first.start + before)
    new = _range(
        region.new_start + first.new_start - before,
        last.new_end + behind - first.new_start + before,
    )
    yield f"@@ -{old} +{new} @@"
    position = first.start - before
    for block in hunk:
        yield from (f" {line}" for line in region.old[position : block.start])
        yield from (f"-{line}" for line in region.old[block.start : block.end])
        yield from (f"+{line}" for line in region.new[block.new_start : block.new_end])
        position = block.end
    yield from (f" {line}" for line in region.old[position : position + behind])


def _range(start: int, length: int) -> str:
    """Lines as a diff names them: counted from 1, `0,0` before the first."""
    begin = start + 1 if length else start
    return str(begin) if length == 1 else f"{begin},{length}"
