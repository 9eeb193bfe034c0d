"""The config folder: read, and changed by transactions, by one at a time."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from mailroster.commit import UNCHANGED, Commit
from mailroster.disk import Disk, Identity, identity, look, owner_of
from mailroster.document import Document
from mailroster.finding import Busy, Conflict, Refused
from mailroster.lock import FolderLock
from mailroster.plan import Plan, plan
from mailroster.roster import Roster, document_of
from mailroster.values import NamedTuple

if TYPE_CHECKING:
    from mailroster.entry import Entry
    from mailroster.history import Note

#: How often an edit is made anew when somebody wrote the file meanwhile.
TRIES = 10
_PAUSE_S = 0.002
#: What part of the history a single entry may take.
ROOM = 4

T = TypeVar("T")


class Snapshot(NamedTuple):
    """The folder as it was read: its documents, and which file each one was."""

    roster: Roster
    identities: Mapping[str, Identity]  # field -> identity; ABSENT if there is no file
    unreadable: Mapping[str, str] = {}  # field -> the system's words

    def readable(self) -> Roster:
        """The roster, if every file could be read. Raises Refused."""
        for field, why in self.unreadable.items():
            raise Refused(f"{getattr(self.roster, field).format.file}: {why}")
        return self.roster


class Edited(NamedTuple):
    """What a transaction has done."""

    plan: Plan
    before: Roster
    after: Roster
    written: Mapping[str, Identity]  # field -> the file that holds the new document
    unnoted: str = ""  # why it is missing in the history


#: Gives a file as a document without reading all of it, and which file that is; or None. Takes the
#: field, the path, and the identity just seen there. Raises OSError.
Find = Callable[[str, str, Identity], "tuple[Document[Any], Identity] | None"]


#: Who changes the folder and by what, as the history writes it (noting.entry).
Author = Callable[[], str]


def _nobody() -> str:
    return "0: - -"


def _by_reading(field: str, path: str, found: Identity) -> None:
    """There is no quicker way."""


class Store:
    """The files of one config folder. `find` spares reading the large ones. Changes are noted in
    the folder's history if that may have some bytes."""

    def __init__(
        self,
        folder: str,
        disk: Disk | None = None,
        wait_s: float = 60.0,
        find: Find = _by_reading,
        history_bytes: int = 0,
        author: Author = _nobody,
    ) -> None:
        self.folder = folder
        self._disk = disk or Disk()
        self._files = Commit(folder, self._disk)
        self._wait_s, self._find = wait_s, find
        self._history_bytes, self._author = history_bytes, author

    def read(self, known: Iterable[Roster] = (), find: Find | None = None) -> Snapshot:
        """All documents, as they stand between two transactions.

        A document of `known` whose text still stands in the folder is used again.
        """
        return self._alone(lambda: self._read(known, find or self._find))

    def transact(
        self,
        edit: Callable[[Roster], Roster],
        *,
        dry_run: bool = False,
        announce: Callable[[Plan], None] | None = None,
    ) -> Edited:
        """Puts an edit into the folder, wholly or not at all. `announce` is called before.

        Raises whatever the edit raises, Refused where the folder can't be written, Busy where it
        is locked, full, or written by others again and again.
        """
        if not os.path.isdir(self.folder):
            before = Roster()
            after = edit(before)
            changes = plan(before, after)
            if dry_run or not changes.edits:
                return Edited(changes, before, after, {})  # no folder for what changes nothing
            try:
                self._disk.make_folder(self.folder)
            except OSError as error:
                raise self._files.explained(error) from error
        return self._alone(lambda: self._transact(edit, dry_run, announce))

    def path(self, file: str) -> str:
        return os.path.join(self.folder, file)

    def _alone(self, act: Callable[[], T]) -> T:
        """Does something while nobody else does, in a folder that no crash has left half edited."""
        if not os.path.isdir(self.folder):
            raise Refused(
                f"there is no config folder {self.folder}; name yours with --config or --home, "
                "or make it with the first 'setup email add'"
            )
        try:
            with FolderLock(self.folder, self._wait_s):
                self._files.recover()
                return act()
        except OSError as error:
            raise self._files.explained(error) from error

    def _read(self, known: Iterable[Roster], find: Find) -> Snapshot:
        documents: dict[str, Document[Any]] = {}
        identities: dict[str, Identity] = {}
        unreadable: dict[str, str] = {}
        for field, empty in Roster().documents():
            path = self.path(empty.format.file)
            documents[field], identities[field] = empty, identity(path)
            try:
                found = find(field, path, identities[field])
                if found is None:
                    content, identities[field] = look(path)
                    found = document_of(field, content, known), identities[field]
            except OSError as error:
                unreadable[field] = error.strerror or str(error)
                continue
            documents[field], identities[field] = found
        return Snapshot(Roster(**documents), identities, unreadable)

    # -- the transaction

    def _transact(
        self,
        edit: Callable[[Roster], Roster],
        dry_run: bool,
        announce: Callable[[Plan], None] | None,
    ) -> Edited:
        for tried in range(TRIES):
            time.sleep(tried * _PAUSE_S)  # who saves again and again may have done
            snapshot = self._read((), self._find)
            before = snapshot.readable()
            after = edit(before)
            changes = plan(before, after)
            if dry_run or not changes.edits:
                return Edited(changes, before, after, {})
            if announce is not None:
                announce(changes)
            try:
                written, unnoted = self._put(changes, snapshot)
            except Conflict:
                continue
            return Edited(changes, before, after, written, unnoted)
        raise Busy(f"{self.folder} was written by others all along; {UNCHANGED}")

    def _put(self, changes: Plan, snapshot: Snapshot) -> tuple[Mapping[str, Identity], str]:
        """Which files hold the new documents, and why the history lacks that."""
        if not self._history_bytes:
            return self._files.put(changes.edits, snapshot.identities), ""
        from mailroster.noting import file_part

        room = self._history_bytes // ROOM
        parts = []
        for edit in changes.edits:
            parts.append(file_part(edit.before, edit.after, room))
            room -= len(parts[-1])
        note = self._note(self._author(), parts)
        written = self._files.put(changes.edits, snapshot.identities, note, self._history_bytes)
        return written, self._files.history.fault

    @staticmethod
    def _note(author: str, parts: Iterable[bytes]) -> "Note":
        from mailroster.noting import entry

        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return lambda number: entry(number, when, author, parts)

    # -- the history

    def note_by_hand(self, before: Roster, after: Roster, found: Mapping[str, Identity]) -> str:
        """Notes what comes into force and no command has noted; `found` says which files it was
        found in. Gives why the history lacks it, or ""."""
        if not self._history_bytes:
            return ""
        try:
            return self._alone(lambda: self._note_by_hand(before, after, found))
        except (Refused, Busy) as error:
            return str(error)

    def _note_by_hand(self, before: Roster, after: Roster, found: Mapping[str, Identity]) -> str:
        from mailroster.by_hand import by_hand
        from mailroster.entry import BY_HAND
        from mailroster.history import user_name
        from mailroster.noting import author

        history = self._files.history
        history.settle()
        files = {field: self.path(d.format.file) for field, d in after.documents()}
        later = any(identity(path) != found[field] for field, path in files.items())
        room = self._history_bytes // ROOM
        parts = by_hand(before, after, history.text(), room, later=later)
        if not parts:
            return ""
        uid = owner_of(self.path(parts[0].file), self.folder)
        note = self._note(author(uid, user_name(uid), "", BY_HAND), [part.text for part in parts])
        history.put(note, self._history_bytes)
        return history.fault

    def history(self) -> "Iterator[Entry]":
        """The changes that were made, the newest first. Raises OSError, Refused or Busy."""
        self._alone(self._files.history.settle)
        return self._files.history.newest_first()
