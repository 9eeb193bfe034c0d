"""The config folder: read, and changed by transactions, by one at a time.

A reader takes no lock and writes nothing. It reads all files and looks then whether they, and the
journal of an edit, are still as they were; else it reads again. An edit that was cut short and
counts is read as if it had been completed.
"""

import errno
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from io import FileIO
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from mailroster.base.findings import Conflict, Refused, TryAgain
from mailroster.roster.documents.document import Document
from mailroster.roster.plan import Plan, plan
from mailroster.roster.roster import Roster, document_of
from mailroster.store.errors import UNCHANGED, SetAside, explained
from mailroster.store.leftovers import NOTHING, PendingEdit
from mailroster.store.links import ConfigFolder, handle_path
from mailroster.store.transaction import Transactions
from mailroster.system.files import (
    ABSENT,
    WHOLE_MAX_BYTES,
    Disk,
    Identity,
    identity,
    identity_of,
    owner_of,
    reason,
)
from mailroster.system.folder_lock import FolderLock

if TYPE_CHECKING:
    from mailroster.store.history.entry import Entry
    from mailroster.store.history.log import Note
    from mailroster.store.history.manual_edits import Part

#: How often an edit is made anew when somebody wrote the file meanwhile.
TRIES = 10
_PAUSE_S = 0.002
#: How often the folder is read without the lock, which the next reading takes if it can.
READS = 12
#: How often a journal must have been seen, until its edit counts as cut short.
_LOOKS = 6
#: Where to read takes long, it is not tried so often.
_READS_MAX_S = 0.5
#: How long a reconciliation waits for the lock of an edit whose journal it sees.
_RECOVERY_WAIT_S = 1.0
#: What part of the history a single entry may take.
ROOM = 4

T = TypeVar("T")


class Snapshot(NamedTuple):
    """The folder as it was read: its documents, and which file each one was."""

    roster: Roster
    identities: Mapping[str, Identity]  # field -> identity; ABSENT if there is no file
    unreadable: Mapping[str, str] = {}  # field -> the system's words
    pending: bool = False  # whether a part of it is an edit that was cut short
    folder: str = ""

    def readable(self, fields: Collection[str] = Roster._fields) -> Roster:
        """The roster, if the files of some fields could be read. Raises Refused, which names the
        path of the first one."""
        for field in self.unreadable:
            if field in fields:
                raise Refused(self.fault(field))
        return self.roster

    def fault(self, field: str) -> str:
        """Why the file of a field can't be read: its path, the system's words, and what to do."""
        path = os.path.join(self.folder, getattr(self.roster, field).format.file)
        return f"{path}: {self.unreadable[field]}"


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
        linked: Sequence[str] = (),
    ) -> None:
        """`linked`: other folders to which links in this one may lead."""
        self.folder = folder
        self._disk = disk or Disk()
        self._config = ConfigFolder(folder, tuple(linked))
        self._transactions = Transactions(self._config, self._disk)
        self._wait_s, self._find = wait_s, find
        self._history_bytes, self._author = history_bytes, author

    def read(self, known: Iterable[Roster] = (), find: Find | None = None) -> Snapshot:
        """All documents, as they stand between two transactions. Changes nothing.

        A document of `known` whose text still stands in the folder is used again. Raises TryAgain
        if the folder changes all along.
        """
        self._must_exist()
        known, find = tuple(known), find or self._find
        began = time.monotonic()
        try:
            for tried in range(READS):
                time.sleep(tried * _PAUSE_S)
                try:
                    snapshot, is_sure = self._look(known, find)
                except TryAgain:
                    continue  # an edit of another user is under way
                if is_sure and (not snapshot.pending or tried >= _LOOKS):
                    return snapshot
                if tried > 1 and time.monotonic() - began > _READS_MAX_S:
                    break
            return self._read_locked(known, find)
        except OSError as error:
            raise explained(error, self.folder) from error

    def _look(self, known: Iterable[Roster], find: Find) -> tuple[Snapshot, bool]:
        """What is read, and whether all of it stood there at one moment."""
        pending = self._transactions.recovery.pending()
        snapshot = self._read(known, find, pending)
        # In this order: while the files are the same, no edit was half in place at this moment.
        is_sure = pending.is_current() and self._stands(snapshot, pending)
        return snapshot, is_sure

    def _read_locked(self, known: Iterable[Roster], find: Find) -> Snapshot:
        """While no edit is under way, if we may keep others from it. Somebody who saves a file
        again and again is not waited for."""
        with FolderLock(self.folder, self._wait_s, make=False) as lock:
            snapshot, is_sure = self._look(known, find)
            if not (is_sure or lock.is_held() or lock.is_absent()):
                raise TryAgain(f"{self.folder} is changed again and again; try again later")
            return snapshot

    def _stands(self, snapshot: Snapshot, pending: PendingEdit) -> bool:
        return all(
            identity(self.path(document.format.file)) == snapshot.identities[field]
            for field, document in snapshot.roster.documents()
            if document.format.file not in pending.files()
        )

    def transact(
        self,
        edit: Callable[[Roster], Roster],
        *,
        dry_run: bool = False,
        announce: Callable[[Plan], None] | None = None,
    ) -> Edited:
        """Puts an edit into the folder, wholly or not at all. `announce` is called before.

        Raises whatever the edit raises, Refused where the folder can't be written, TryAgain where
        it is locked, full, or written by others again and again.
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
                raise explained(error, self.folder) from error
        if dry_run:
            before = self.read().readable()
            after = edit(before)
            return Edited(plan(before, after), before, after, {})
        return self._alone(lambda: self._transact(edit, announce))

    def recover(self) -> None:
        """Completes an edit that was cut short, or takes it back, if we may: readers see it as
        completed anyway. Raises SetAside and Refused as Recovery.recover does."""
        if not self._transactions.recovery.is_needed():
            return
        try:
            self._alone(lambda: None, _RECOVERY_WAIT_S)
        except SetAside:
            raise
        except TryAgain:
            return  # its own command is at it, or another user has to

    def wait(self) -> None:
        """Returns when no edit is under way that was when this was called. Raises TryAgain."""
        try:
            with FolderLock(self.folder, self._wait_s, make=False):
                return
        except FileNotFoundError:
            return  # no folder, no edit
        except OSError as error:
            raise explained(error, self.folder) from error

    def path(self, file: str) -> str:
        return os.path.join(self.folder, file)

    def opened(self, path: str) -> FileIO:
        """A file of the folder to be read, by its path. Raises OSError as ConfigFolder does."""
        return self._config.opened(os.path.basename(path))

    def _must_exist(self) -> None:
        if not os.path.isdir(self.folder):
            raise Refused(
                f"there is no config folder {self.folder}; name yours with --config or --home, "
                "or make it with the first 'setup email add'"
            )

    def _alone(self, act: Callable[[], T], wait_s: float | None = None) -> T:
        """Does something while nobody else does, in a folder that no crash has left half edited."""
        self._must_exist()
        try:
            with FolderLock(self.folder, self._wait_s if wait_s is None else wait_s):
                self._transactions.recover()
                return act()
        except OSError as error:
            raise explained(error, self.folder) from error

    def _read(
        self, known: Iterable[Roster], find: Find, pending: PendingEdit = NOTHING
    ) -> Snapshot:
        """The files as they stand, or as a recovery completes them."""
        os.close(os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))  # or an error
        documents: dict[str, Document[Any]] = {}
        identities: dict[str, Identity] = {}
        unreadable: dict[str, str] = {}
        for field, empty in Roster().documents():
            file = empty.format.file
            try:
                if file in pending.files():
                    found = document_of(
                        field, self._transactions.recovery.content(file, pending), known
                    )
                    documents[field], identities[field] = found, pending.identity(file)
                else:
                    documents[field], identities[field] = self._found(field, file, known, find)
            except OSError as error:
                documents[field], identities[field] = empty, identity(self.path(file))
                unreadable[field] = reason(error)
        unfinished = bool(pending.files())
        return Snapshot(Roster(**documents), identities, unreadable, unfinished, self.folder)

    def _found(
        self, field: str, file: str, known: Iterable[Roster], find: Find
    ) -> tuple[Document[Any], Identity]:
        try:
            opened = self._config.opened(file)
        except (FileNotFoundError, NotADirectoryError):
            return getattr(Roster(), field), ABSENT
        with opened:
            which = identity_of(opened.fileno())
            if found := find(field, handle_path(opened.fileno()), which):
                return found
            if which.size > WHOLE_MAX_BYTES:
                raise OSError(errno.EFBIG, f"larger than {WHOLE_MAX_BYTES} bytes", self.path(file))
            return document_of(field, opened.readall(), known), which

    # -- the transaction

    def _transact(
        self,
        edit: Callable[[Roster], Roster],
        announce: Callable[[Plan], None] | None,
    ) -> Edited:
        for tried in range(TRIES):
            time.sleep(tried * _PAUSE_S)  # who saves again and again may have done
            snapshot = self._read((), self._find)
            before = snapshot.readable()
            after = edit(before)
            changes = plan(before, after)
            if not changes.edits:
                return Edited(changes, before, after, {})
            if announce is not None:
                announce(changes)
            try:
                written, unnoted = self._put(changes, snapshot)
            except Conflict:
                continue
            return Edited(changes, before, after, written, unnoted)
        raise TryAgain(f"{self.folder} was written by others all along; {UNCHANGED}")

    def _put(self, changes: Plan, snapshot: Snapshot) -> tuple[Mapping[str, Identity], str]:
        """Which files hold the new documents, and why the history lacks that."""
        if not self._history_bytes:
            return self._transactions.put(changes.edits, snapshot.identities), ""
        from mailroster.store.history.writer import file_part

        room = self._history_bytes // ROOM
        parts = []
        for edit in changes.edits:
            parts.append(file_part(edit.before, edit.after, room))
            room -= len(parts[-1])
        note = self._note(self._author(), parts)
        written = self._transactions.put(
            changes.edits, snapshot.identities, note, self._history_bytes
        )
        return written, self._transactions.history.fault

    @staticmethod
    def _note(author: str, parts: Iterable[bytes]) -> "Note":
        from mailroster.store.history.writer import entry

        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return lambda number: entry(number, when, author, parts)

    # -- the history

    def note_by_hand(self, before: Roster, after: Roster, found: Mapping[str, Identity]) -> str:
        """Notes what comes into force and no command has noted; `found` says which files it was
        found in. Gives why the history lacks it, or ""."""
        if not self._history_bytes:
            return ""
        try:
            if self._transactions.history.is_settled() and not self._by_hand(before, after, found):
                return ""
            return self._alone(lambda: self._note_by_hand(before, after, found))
        except (Refused, TryAgain) as error:
            return str(error)
        except OSError as error:
            return f"{error.filename}: {error.strerror}"

    def _by_hand(
        self, before: Roster, after: Roster, found: Mapping[str, Identity]
    ) -> "list[Part]":
        """What the history lacks of a change."""
        from mailroster.store.history.manual_edits import by_hand

        files = {field: self.path(d.format.file) for field, d in after.documents()}
        later = any(identity(path) != found[field] for field, path in files.items())
        room = self._history_bytes // ROOM
        return by_hand(before, after, self._transactions.history.text(), room, later=later)

    def _note_by_hand(self, before: Roster, after: Roster, found: Mapping[str, Identity]) -> str:
        from mailroster.store.history.entry import BY_HAND
        from mailroster.store.history.log import user_name
        from mailroster.store.history.writer import author

        history = self._transactions.history
        history.settle()
        parts = self._by_hand(before, after, found)
        if not parts:
            return ""
        uid = owner_of(self.path(parts[0].file), self.folder)
        note = self._note(author(uid, user_name(uid), "", BY_HAND), [part.text for part in parts])
        history.put(note, self._history_bytes)
        return history.fault

    def history(self) -> "Iterator[Entry]":
        """The changes that were made, the newest first. Changes nothing. Raises OSError or
        Refused."""
        self._must_exist()
        pending = self._transactions.recovery.pending()
        return self._transactions.history.newest_first(
            lambda file: self._transactions.recovery.content(file, pending)
        )
