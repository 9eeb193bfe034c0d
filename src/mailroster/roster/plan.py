"""What an edit changes in which file."""

from typing import TYPE_CHECKING, NamedTuple

from mailroster.base.findings import printable
from mailroster.roster.documents.compare import changed_keys
from mailroster.roster.documents.document import Document, Format
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.roster import Roster, differing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mailroster.roster.documents.splices import Splice
    from mailroster.roster.documents.unified_diff import Region


class FileEdit(NamedTuple):
    """One file that an edit changes."""

    field: str  # of the Roster
    file: str
    before: Document[object]
    after: Document[object]


class Plan(NamedTuple):
    """The files an edit changes, and the keys it concerns in each."""

    edits: tuple[FileEdit, ...]
    keys: dict[str, frozenset[str]]


def plan(before: Roster, after: Roster) -> Plan:
    """The difference between two rosters as edits of files, in the order of writing."""
    edits, keys = [], {}
    for field, old, new in differing(before, after):
        edits.append(FileEdit(field, old.format.file, old, new))
        keys[field] = changed_keys(old, new)
    return Plan(tuple(edits), keys)


def diff(plan: Plan) -> str:
    """The plan as a unified diff. Hashes of passwords are not shown, only their schemes."""
    return "".join(map(file_diff, plan.edits))


def file_diff(edit: FileEdit) -> str:
    """What becomes of one file, as a unified diff."""
    from mailroster.roster.documents.unified_diff import unified  # for --dry-run only

    format = getattr(Roster(), edit.field).format
    lines = unified(regions(edit.before, edit.after), edit.file)
    heads = (next(lines, ""), next(lines, ""))
    shown = [*(line for line in heads if line), *(_shown(line, format) for line in lines)]
    return "".join(f"{line}\n" for line in shown)


def regions(before: Document[object], after: Document[object]) -> "Iterator[Region]":
    """The parts of two documents in which they may differ, cut into physical lines."""
    from mailroster.roster.documents.unified_diff import Region

    if (
        isinstance(before, LargeDocument)
        and isinstance(after, LargeDocument)
        and before.base.token == after.base.token
        and not before.splices
    ):
        yield from _spliced(after)
    else:
        yield Region(physical_lines(bytes(before)), physical_lines(bytes(after)))


def _spliced(after: LargeDocument[object]) -> "Iterator[Region]":
    """The surroundings of each splice, with the numbers of their lines: those of the base, and
    those behind the splices before."""
    from mailroster.roster.documents.byte_lines import feeds, lines_before, lines_behind
    from mailroster.roster.documents.unified_diff import CONTEXT, Region

    base = after.base
    groups: list[tuple[int, int, list[Splice]]] = []
    for splice in after.splices:
        start = lines_before(base.read, splice.start, CONTEXT)
        end = lines_behind(base.read, base.size, splice.end, CONTEXT)
        if groups and start <= groups[-1][1]:
            first, _, splices = groups.pop()
            groups.append((first, end, [*splices, splice]))
        else:
            groups.append((start, end, [splice]))
    place = number = moved = 0
    for start, end, splices in groups:
        number += feeds(base.read, place, start)
        old, new, at = base.read(start, end), b"", start
        for splice in splices:
            new += base.read(at, splice.start) + splice.raw()
            at = splice.end
        new += base.read(at, end)
        ours, theirs = physical_lines(old), physical_lines(new)
        yield Region(ours, theirs, number, number + moved)
        place, moved = start, moved + len(theirs) - len(ours)


def physical_lines(raw: bytes) -> list[str]:
    return raw.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n") if raw else []


def _shown(line: str, format: Format[object]) -> str:
    """A line of a diff for people."""
    if line[0] in "-+ ":
        line = line[0] + format.hidden(line[1:])
    return shown(line)


def shown(line: str) -> str:
    """A line for people: escapes for what no terminal should get, but for tabs."""
    return "\t".join(map(printable, line.split("\t")))
