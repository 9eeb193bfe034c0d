"""Renders the history entries of the store: of an edit by a command, and of manual edits."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mailroster.roster.plan import FileEdit
from mailroster.roster.roster import Roster
from mailroster.store.history.log import EntryRenderer, History, user_name
from mailroster.store.history.writer import author, entry, file_part
from mailroster.store.links import ConfigFolder
from mailroster.system.files import Identity, identity, owner_of

if TYPE_CHECKING:
    from mailroster.store.history.manual_edits import Part

#: A single entry takes at most this fraction of the history.
_SHARE = 4


def edit_entry(edits: Sequence[FileEdit], by: str, history_bytes: int) -> EntryRenderer:
    """The entry of an edit, by an author as `history.writer.author` renders it."""
    room = history_bytes // _SHARE
    parts = []
    for edit in edits:
        parts.append(file_part(edit.before, edit.after, room))
        room -= len(parts[-1])
    return _entry(by, parts)


def _entry(by: str, parts: Iterable[bytes]) -> EntryRenderer:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return lambda number: entry(number, when, by, parts)


class ManualEdits:
    """What takes effect between two rosters and has no entry of a command."""

    def __init__(
        self,
        config: ConfigFolder,
        history: History,
        history_bytes: int,
        before: Roster,
        after: Roster,
        sources: Mapping[str, Identity],
    ) -> None:
        """`sources`: the files that `after` was read from, by field."""
        self._config, self._history, self._history_bytes = config, history, history_bytes
        self._before, self._after, self._sources = before, after, sources

    def parts(self) -> "list[Part]":
        """What the history lacks, a part for each file. Raises OSError."""
        from mailroster.store.history.manual_edits import by_hand  # not for edits of commands

        is_older = any(
            identity(self._config.path_of(document.format.file)) != self._sources[field]
            for field, document in self._after.documents()
        )
        room = self._history_bytes // _SHARE
        return by_hand(self._before, self._after, self._history.text(), room, later=is_older)

    def record(self) -> str:
        """Adds the entry; the caller holds the lock of the folder. Returns why that failed, or
        "". Raises OSError."""
        from mailroster.store.history.entry import BY_HAND  # not for edits of commands

        self._history.recover()
        parts = self.parts()
        if not parts:
            return ""
        uid = owner_of(self._config.path_of(parts[0].file), self._config.path)
        by = author(uid, user_name(uid), "", BY_HAND)
        self._history.add(_entry(by, [part.text for part in parts]), self._history_bytes)
        return self._history.fault
