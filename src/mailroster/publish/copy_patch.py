"""A change of a large copy in place: which parts of the file move, and where to."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mailroster.roster.documents.byte_lines import length, lines_of
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.documents.splices import Splice
from mailroster.system.files import ABSENT

if TYPE_CHECKING:
    from mailroster.publish.index import CopyInfo


def shifted(document: LargeDocument[Any]) -> Iterator[tuple[int, Splice]]:
    """Every splice with the offset of its text in the new file."""
    shift = 0
    for splice in document.splices:
        yield splice.start + shift, splice
        shift += len(splice.raw()) - (splice.end - splice.start)


def added_lines(document: LargeDocument[Any]) -> Iterator[tuple[int, str]]:
    """The lines that the splices add, with their offsets in the new file."""
    for offset, splice in shifted(document):
        for line in lines_of(document.format, splice.text):
            yield offset, line
            offset += length(line) + 1


def moves(document: LargeDocument[Any]) -> list[tuple[int, int, int]] | None:
    """The parts of the base that move: from, to, and how many bytes. They are in an order in which
    none overwrites another; None if there is no such order, as parts move both ways."""
    parts = [(start, to, count) for start, to, count in _kept_parts(document) if start != to]
    if all(to < start for start, to, _ in parts):
        return parts
    return parts[::-1] if all(to > start for start, to, _ in parts) else None


def info_after(info: "CopyInfo", document: LargeDocument[Any]) -> "CopyInfo":
    """The record of a copy after a document was written to it."""
    shifts = [to - start for start, to, _ in _kept_parts(document)]
    grown = sum(len(s.raw()) - (s.end - s.start) for s in document.splices)
    return info._replace(
        serial=info.serial + 1,
        identity=ABSENT,
        size=info.size + grown,
        low=info.low + min(0, *shifts, 0),
        high=info.high + max(0, *shifts, 0),
        entries=document.size_hint(),
        faulty=document.faulty(),
    )


def _kept_parts(document: LargeDocument[Any]) -> list[tuple[int, int, int]]:
    """The part of the base behind each splice: from, to, and how many bytes."""
    ends = [*(splice.start for splice in document.splices[1:]), document.base.size]
    parts = []
    for (offset, splice), end in zip(shifted(document), ends, strict=True):
        if end > splice.end:
            parts.append((splice.end, offset + len(splice.raw()), end - splice.end))
    return parts
