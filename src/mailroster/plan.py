"""What an edit changes in which file."""

from typing import NamedTuple

from mailroster.changes import changed_keys
from mailroster.document import Document
from mailroster.formats.hashed import hidden
from mailroster.roster import Roster, differing


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
    import difflib  # 8 ms, for --dry-run only

    pieces = []
    for edit in plan.edits:
        old, new = (_physical_lines(document) for document in (edit.before, edit.after))
        secret = getattr(Roster(), edit.field).format.secret
        lines = difflib.unified_diff(old, new, f"a/{edit.file}", f"b/{edit.file}", lineterm="")
        pieces += [_shown(line, secret and line[0] in "-+ ") + "\n" for line in lines]
    return "".join(pieces)


def _physical_lines(document: Document[object]) -> list[str]:
    raw = bytes(document)
    return raw.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n") if raw else []


def _shown(line: str, secret: bool) -> str:
    """A line of a diff for people: no hash, and escapes for what no terminal should get."""
    if secret and line[:4] not in ("--- ", "+++ "):
        line = line[0] + hidden(line[1:])
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in line)
