"""The config folder: read without a lock, changed by one atomic transaction at a time."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import FileIO
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mailroster.base.findings import Conflict, Refused, TryAgain
from mailroster.roster.plan import Plan, plan
from mailroster.roster.roster import Roster
from mailroster.store.errors import UNCHANGED, SetAside, explained, words_of
from mailroster.store.links import ConfigFolder
from mailroster.store.reader import PAUSE_S, DocumentFinder, FolderReader, Snapshot, find_none
from mailroster.store.transaction import Transactions
from mailroster.system.files import Disk, Identity
from mailroster.system.folder_lock import FolderLock

if TYPE_CHECKING:
    from mailroster.store.history.entry import HistoryEntry

#: How often an edit is made again when another program has written the file meanwhile.
TRIES = 10
#: How long a reconciliation waits for the lock of an edit whose journal it sees.
_RECOVERY_WAIT_S = 1.0

T = TypeVar("T")


class TransactionResult(NamedTuple):
    """What a transaction has changed, or in a dry run would change."""

    plan: Plan
    before: Roster
    after: Roster
    written: Mapping[str, Identity]  # field -> the file that holds the new document
    history_fault: str = ""  # why the history has no entry of it


#: Gives who changes the folder, and by which command, as `history.writer.author` renders it.
Author = Callable[[], str]


def _unknown_author() -> str:
    return "0: - -"


class Store:
    """The files of one config folder."""

    def __init__(
        self,
        folder: str,
        disk: Disk | None = None,
        wait_s: float = 60.0,
        find: DocumentFinder = find_none,
        history_bytes: int = 0,
        author: Author = _unknown_author,
        linked: Sequence[str] = (),
    ) -> None:
        """`find` saves reading large files. `history_bytes`: the maximum size of the history, 0 for
        none. `linked`: other folders to which links in this one may lead."""
        self.folder = folder
        self._disk = disk or Disk()
        self._config = ConfigFolder(folder, tuple(linked))
        self._transactions = Transactions(self._config, self._disk)
        self._wait_s = wait_s
        self._reader = FolderReader(self._config, self._transactions.recovery, wait_s, find)
        self._history_bytes, self._author = history_bytes, author

    def read(self, known: Iterable[Roster] = (), find: DocumentFinder | None = None) -> Snapshot:
        """All documents, as they are between two transactions. Changes nothing.

        A document of `known` with the same text is used again. Raises Refused if there is no
        folder, and TryAgain if it changes during each try.
        """
        self._must_exist()
        try:
            return self._reader.read(known, find)
        except OSError as error:
            raise explained(error, self.folder) from error

    def transact(
        self,
        edit: Callable[[Roster], Roster],
        *,
        dry_run: bool = False,
        announce: Callable[[Plan], None] | None = None,
    ) -> TransactionResult:
        """Writes an edit to the folder, all of it or nothing. `announce` gets its plan before.

        Raises what the edit raises, Refused if the folder can't be written, and TryAgain if it is
        locked, full, or written by other programs again and again.
        """
        if not os.path.isdir(self.folder):
            before = Roster()
            after = edit(before)
            changes = plan(before, after)
            if dry_run or not changes.edits:
                return TransactionResult(changes, before, after, {})  # makes no folder for nothing
            try:
                self._disk.make_folder(self.folder)
            except OSError as error:
                raise explained(error, self.folder) from error
        if dry_run:
            before = self.read().readable()
            after = edit(before)
            return TransactionResult(plan(before, after), before, after, {})
        return self._with_lock(lambda: self._transact(edit, announce))

    def recover(self) -> None:
        """Completes or rolls back an edit that was cut short, if we may; readers see it as
        completed anyway. Raises SetAside and Refused as Recovery.recover does."""
        if not self._transactions.recovery.is_needed():
            return
        try:
            self._with_lock(lambda: None, _RECOVERY_WAIT_S)
        except SetAside:
            raise
        except TryAgain:
            return  # its own command still runs, or only another user may complete it

    def wait(self) -> None:
        """Waits for the end of the edit that is under way now. Raises TryAgain."""
        try:
            with FolderLock(self.folder, self._wait_s, make=False):
                return
        except FileNotFoundError:
            return  # no folder, no edit
        except OSError as error:
            raise explained(error, self.folder) from error

    def path(self, file: str) -> str:
        return self._config.path_of(file)

    def opened(self, path: str) -> FileIO:
        """Opens a file of the folder for reading, by its path. Raises OSError as ConfigFolder
        does."""
        return self._config.opened(os.path.basename(path))

    def _must_exist(self) -> None:
        if not os.path.isdir(self.folder):
            raise Refused(
                f"there is no config folder {self.folder}; name yours with --config or --home, "
                "or make it with the first 'setup email add'"
            )

    def _with_lock(self, act: Callable[[], T], wait_s: float | None = None) -> T:
        """Recovers the folder, then acts, both with the lock of the folder."""
        self._must_exist()
        try:
            with FolderLock(self.folder, self._wait_s if wait_s is None else wait_s):
                self._transactions.recover()
                return act()
        except OSError as error:
            raise explained(error, self.folder) from error

    def _transact(
        self,
        edit: Callable[[Roster], Roster],
        announce: Callable[[Plan], None] | None,
    ) -> TransactionResult:
        for attempt in range(TRIES):
            time.sleep(attempt * PAUSE_S)  # a program that saves again and again may have finished
            snapshot = self._reader.read_once()
            before = snapshot.readable()
            after = edit(before)
            changes = plan(before, after)
            if not changes.edits:
                return TransactionResult(changes, before, after, {})
            if announce is not None:
                announce(changes)
            try:
                written, history_fault = self._write(changes, snapshot)
            except Conflict:
                continue
            return TransactionResult(changes, before, after, written, history_fault)
        raise TryAgain(
            f"another program wrote to {self.folder} during each of {TRIES} tries; {UNCHANGED}"
        )

    def _write(self, changes: Plan, snapshot: Snapshot) -> tuple[Mapping[str, Identity], str]:
        """The files that hold the new documents, and why the history has no entry of them."""
        if not self._history_bytes:
            return self._transactions.put(changes.edits, snapshot.identities), ""
        from mailroster.store.history.recording import edit_entry

        entry = edit_entry(changes.edits, self._author(), self._history_bytes)
        written = self._transactions.put(
            changes.edits, snapshot.identities, entry, self._history_bytes
        )
        return written, self._transactions.history.fault

    # -- the history

    def record_manual_edits(
        self, before: Roster, after: Roster, sources: Mapping[str, Identity]
    ) -> str:
        """Adds to the history what takes effect and has no entry of a command; `sources` are the
        files that `after` was read from, by field. Returns why the history has no entry, or ""."""
        if not self._history_bytes:
            return ""
        from mailroster.store.history.recording import ManualEdits

        history = self._transactions.history
        edits = ManualEdits(self._config, history, self._history_bytes, before, after, sources)
        try:
            if history.is_complete() and not edits.parts():
                return ""
            return self._with_lock(edits.record)
        except (Refused, TryAgain) as error:
            return str(error)
        except OSError as error:
            return words_of(error, self.folder)

    def record_command(self) -> str:
        """Adds an entry without files to the history: a command that has changed something else.
        Returns why the history has no entry, or ""."""
        if not self._history_bytes:
            return ""
        from mailroster.store.history.recording import edit_entry

        history = self._transactions.history

        def record() -> str:
            history.recover()
            history.add(edit_entry((), self._author(), self._history_bytes), self._history_bytes)
            return history.fault

        try:
            return self._with_lock(record)
        except (Refused, TryAgain) as error:
            return str(error)
        except OSError as error:
            return words_of(error, self.folder)

    def history(self) -> "Iterator[HistoryEntry]":
        """The changes that were made, the newest first. Changes nothing. Raises OSError or
        Refused."""
        self._must_exist()
        recovery = self._transactions.recovery
        pending = recovery.pending()
        return self._transactions.history.newest_first(lambda file: recovery.content(file, pending))
