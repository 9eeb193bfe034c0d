"""What an edit changes in which file."""

from typing import NamedTuple

from mailroster.base.findings import printable
from mailroster.roster.documents.compare import changed_keys
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format
from mailroster.roster.roster import Roster, differing


class FileEdit(NamedTuple):
    """One file that an edit changes."""

    field: str  # of the Roster
    file: str
    before: Document[object]
    after: Document[object]


class Plan(NamedTuple):
    """The files that an edit changes, and the keys that may change in each."""

    edits: tuple[FileEdit, ...]
    keys: dict[str, frozenset[str]]  # by field


def plan(before: Roster, after: Roster) -> Plan:
    """The difference between two rosters as edits of files, in the order of writing."""
    edits, keys = [], {}
    for field, old, new in differing(before, after):
        edits.append(FileEdit(field, old.format.file, old, new))
        keys[field] = changed_keys(old, new)
    return Plan(tuple(edits), keys)


def diff(plan: Plan) -> str:
    """The plan as a unified diff. Of password hashes it shows only the schemes."""
    return "".join(map(file_diff, plan.edits))


def file_diff(edit: FileEdit) -> str:
    """The changes of one file as a unified diff."""
    from mailroster.roster.documents.unified_diff import regions, unified  # for --dry-run only

    format = getattr(Roster(), edit.field).format
    lines = unified(regions(edit.before, edit.after), edit.file)
    header = [line for line in (next(lines, ""), next(lines, "")) if line]
    return "".join(f"{line}\n" for line in (*header, *(_shown(line, format) for line in lines)))


def _shown(line: str, format: Format[object]) -> str:
    """A line of a diff for people."""
    if line[0] in "-+ ":
        line = line[0] + format.hidden(line[1:])
    return shown(line)


def shown(line: str) -> str:
    """A line for people: tabs stay, other characters that a terminal should not get are escaped."""
    return "\t".join(map(printable, line.split("\t")))
