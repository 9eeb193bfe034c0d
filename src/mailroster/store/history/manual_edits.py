"""Finds manual edits: changes that take effect and that no command has written to the history.

For each line, the newest history entry that has it says whether the history knows the line as
present or as removed. A line that takes effect as the history knows it is in the entry of the
command that wrote it, so it is no manual edit.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mailroster.roster.documents.document import Document
from mailroster.roster.documents.text import only_comments
from mailroster.roster.roster import Roster, differing
from mailroster.store.history.entry import Hunk
from mailroster.store.history.writer import hunks, part


class Part(NamedTuple):
    """The manual edits of one file, as text of a history entry."""

    file: str
    text: bytes


def by_hand(
    before: Roster, after: Roster, history: bytes, room: int, *, later: bool = False
) -> list[Part]:
    """What differs between two published rosters, without the changes that the history has.

    `later`: the files may have changed again since `after` was read, so the history may know more
    than `after` has.
    """
    parts = []
    for _, old, new in differing(before, after):
        file = new.format.file
        old_size, changes = hunks(old, new)
        changed = {
            line
            for hunk in changes
            for raw in (hunk.removed, hunk.added)
            for line in raw.split(b"\n")
        }
        unknown = _UnknownLines(
            _marks(history, file.encode(), changed), _moved(changes, new), later=later
        )
        manual = []
        for hunk in changes:
            removed, added = unknown.of(hunk.removed, b"-"), unknown.of(hunk.added, b"+")
            if removed != added:
                offset = hunk.offset + (hunk.added.find(added) if added else 0)
                manual.append(hunk._replace(offset=offset, removed=removed, added=added))
        if manual:
            new_size = old_size + sum(len(hunk.added) - len(hunk.removed) for hunk in changes)
            parts.append(Part(file, part(file, old_size, new_size, manual, room)))
            room -= len(parts[-1].text)
    return parts


def _moved(changes: Sequence[Hunk], document: Document[object]) -> set[bytes]:
    """The lines that are only in another place. The removal guard moves entries that it keeps, and
    they return to their place later."""
    if document.format.ordered:
        return set()
    removed = {line for hunk in changes for line in hunk.removed.split(b"\n")}
    added = {line for hunk in changes for line in hunk.added.split(b"\n")}
    return {line for line in removed & added if not _is_comment(line)}


def _is_comment(line: bytes) -> bool:
    return only_comments(line.decode("utf-8", "replace"))


class _UnknownLines:
    """The lines of a change that are neither known to the history nor only moved."""

    def __init__(self, marks: dict[bytes, bytes], moved: set[bytes], *, later: bool) -> None:
        self._marks, self._moved, self._later = marks, moved, later

    def of(self, raw: bytes, mark: bytes) -> bytes:
        """The unknown lines of one side of a hunk. Comments and empty lines are unknown if lines
        beside them are."""
        lines = _lines(raw)
        unknown = {line for line in lines if not self._is_known(line.rstrip(b"\n"), mark)}
        if unknown != set(lines) and all(map(_is_comment, unknown)):
            return b""
        return b"".join(line for line in lines if line in unknown or _is_comment(line))

    def _is_known(self, line: bytes, mark: bytes) -> bool:
        marks = self._marks.get(line, b"")
        return line in self._moved or (mark in marks if self._later else marks.endswith(mark))


def _lines(raw: bytes) -> list[bytes]:
    """Lines with their line feeds."""
    lines = [line + b"\n" for line in raw.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return [line for line in lines if line]


def _marks(history: bytes, file: bytes, lines: set[bytes]) -> dict[bytes, bytes]:
    """The marks (`-` or `+`) that a history has for some lines of a file, the newest last."""
    marks: dict[bytes, bytes] = {}
    in_file = False
    for line in history.split(b"\n"):
        mark = line[:1]
        if mark in (b"-", b"+"):
            if in_file and line[1:] in lines:
                marks[line[1:]] = marks.get(line[1:], b"") + mark
        elif mark not in (b" ", b"\\"):
            in_file = line.startswith(b"file " + file + b" ") or (in_file and mark == b"a")
    return marks
