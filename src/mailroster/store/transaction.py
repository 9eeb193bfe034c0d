"""An atomic transaction over several files of the config folder.

Its states, in their order. Only the process that holds the lock of the folder changes them.

| state     | on the disk                                   | after a crash                        |
|-----------|-----------------------------------------------|--------------------------------------|
| staging   | some `.FILE.mailroster-new`                   | the next edit removes them           |
| staged    | all of them, synced; the history entry        | the next edit also removes the entry |
| committed | the journal, which names them, synced         | the next edit completes it; commands |
|           |                                               | that only read see it as completed   |
| installed | each file renamed into its place, synced      | the next edit drops the journal      |
| done      | the journal is dropped; the entry marked done | nothing is left                      |

An edit of one file needs no journal: its rename commits it. Lines at the end of a large file are
appended in place, under a journal that holds them (store/append.py).

A power cut may lose anything that was not synced, in any order. So the staged names are synced
before the journal is written, the journal before the first rename, the renames before the journal
is dropped, and its drop before the next transaction may stage a file of the same name.

Other programs write the files without our lock. A file that has changed since we read it is never
replaced: before the first rename the edit is made again, and a crashed one is rolled back.
Microseconds remain between that check and the rename; only a lock that editors take could close
this gap.
"""

import errno
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from mailroster.base.findings import Conflict, TryAgain
from mailroster.roster.documents.large import LargeDocument, appended
from mailroster.roster.plan import FileEdit
from mailroster.store.errors import COMMITTED, UNDECIDED, SetAside, explained, words_of
from mailroster.store.journal import JOURNAL_MAX_BYTES, Journal, lines_of, stamp_of
from mailroster.store.leftovers import Leftovers
from mailroster.store.links import ConfigFolder, Target
from mailroster.store.recovery import Recovery
from mailroster.store.staging import Staging
from mailroster.system.files import ABSENT, Disk, Identity, identity, identity_of

if TYPE_CHECKING:
    from mailroster.store.append import Append
    from mailroster.store.history.log import EntryRenderer, History


class Transactions:
    """The transactions of one folder, one at a time. The caller holds its lock."""

    def __init__(self, config: ConfigFolder, disk: Disk) -> None:
        self._folder, self._config, self._disk = config.path, config, disk
        self._leftovers = Leftovers(config)
        self._journal = Journal(config.path, disk)
        self._staging = Staging(config, disk, self._leftovers, self._journal)
        self.recovery = Recovery(config, disk, self._leftovers, self._journal, self._staging)
        self._history: History | None = None

    @property
    def history(self) -> "History":
        if self._history is None:
            from mailroster.store.history.log import History  # for edits only

            self._history = History(self._config, self._disk)
        return self._history

    def recover(self) -> None:
        """Completes or rolls back what a crash left; lists the folder once if it left nothing.
        Raises Refused and SetAside (Recovery.recover), and TryAgain."""
        if self.recovery.is_needed():
            self.recovery.recover(self.history)

    def put(
        self,
        edits: Sequence[FileEdit],
        sources: Mapping[str, Identity],
        entry: "EntryRenderer | None" = None,
        history_bytes: int = 0,
    ) -> Mapping[str, Identity]:
        """Puts new documents in place. Returns the identity of the file that holds each, by field;
        ABSENT if that is not sure.

        `sources`: the identity of the file that each edit was made from, by field. `entry` renders
        the entry for a history of `history_bytes`. Raises Conflict, with nothing changed, if a file
        has changed since the edit was made from it; TryAgain or Refused, whose words say whether
        the edit is committed.
        """
        lines = appended(edits[0].after) if len(edits) == 1 else b""
        if lines and len(lines) < JOURNAL_MAX_BYTES // 2:
            from mailroster.store.append import Append  # for large files only

            source = sources[edits[0].field]
            append = Append(edits[0].file, source.size, lines)
            written = {edits[0].field: self._append(append, source, entry)}
            self._finish_entry(entry, history_bytes)
            return written
        staged = self._stage(edits, sources, entry)
        conflicts = self._install(edits, sources)
        self._finish_entry(entry, history_bytes)
        if conflicts:
            raise SetAside.of(conflicts)
        return {
            edit.field: _same_file(new, identity(self._config.path_of(edit.file)))
            for edit, new in zip(edits, staged, strict=True)
        }

    def _stage(
        self,
        edits: Sequence[FileEdit],
        sources: Mapping[str, Identity],
        entry: "EntryRenderer | None",
    ) -> list[Identity]:
        """Stages all files, and commits the edit if there are several. Returns the identities of
        the staged files. Rolls back if that fails."""
        try:
            for edit in edits:
                self._staging.stage(edit)
            self._begin_entry(entry)
            if len(edits) > 1:
                self._disk.sync_folder(self._folder)
                stamps = {edit.file: stamp_of(edit.before, sources[edit.field]) for edit in edits}
                self._journal.write(lines_of(stamps))
            for edit in edits:
                if not self._is_unchanged(edit, sources[edit.field]):
                    raise Conflict(edit.file)
            return [identity(self._leftovers.new(edit.file)) for edit in edits]
        except (OSError, Conflict) as error:
            self._roll_back(error)

    def _install(self, edits: Sequence[FileEdit], sources: Mapping[str, Identity]) -> list[str]:
        """Puts the staged files in their places. Returns the files that another program has
        written."""
        files = [edit.file for edit in edits]
        unchanged = {
            edit.file: partial(self._is_unchanged, edit, sources[edit.field]) for edit in edits
        }
        try:
            return self._staging.install(files, unchanged)
        except Conflict as error:
            self._roll_back(error)
        except OSError as error:
            if self._is_not_begun(files[0]):
                self._roll_back(error)
            raise TryAgain(f"{words_of(error, self._folder)}; {COMMITTED}") from error

    def _is_unchanged(self, edit: FileEdit, source: Identity) -> bool:
        """Whether a file still has the content that an edit was made from."""
        if isinstance(edit.before, LargeDocument):
            return identity(self._config.path_of(edit.file)) == source
        return self._config.read(edit.file) == bytes(edit.before)

    def _is_not_begun(self, file: str) -> bool:
        """Whether the first file is not in its place yet, and no journal commits the edit."""
        try:
            return self._leftovers.waits(file) and not self._leftovers.journal()
        except OSError:
            return False  # the next edit looks again

    def _roll_back(self, error: OSError | Conflict) -> NoReturn:
        """Undoes a transaction of which no file is in its place yet. Raises its error."""
        try:
            self._staging.sweep()
        except OSError as another:
            if self._journal.exists():
                raise TryAgain(f"{words_of(another, self._folder)}; {UNDECIDED}") from another
        self._withdraw_entry()
        if isinstance(error, OSError):
            raise explained(error, self._folder) from error
        raise error

    # -- lines at the end of a large file

    def _append(
        self, append: "Append", source: Identity, entry: "EntryRenderer | None"
    ) -> Identity:
        """Appends lines to a file in place. Raises as `put` does."""
        with Target(self._config, append.file) as path:
            if not os.access(path, os.W_OK):
                error = PermissionError(
                    errno.EACCES, "can't be written", self._config.path_of(append.file)
                )
                raise explained(error, self._folder)
            return self._append_at(path, append, source, entry)

    def _append_at(
        self, path: str, append: "Append", source: Identity, entry: "EntryRenderer | None"
    ) -> Identity:
        try:
            if identity(path) != source:
                raise Conflict(append.file)
            self._begin_entry(entry)
            self._journal.write(bytes(append))
            flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(path, flags)
            try:
                if identity_of(fd) != source:
                    raise Conflict(append.file)
                self._disk.append(fd, append.lines)
            finally:
                os.close(fd)
        except (OSError, Conflict) as error:
            self._roll_back_append(path, append, error)
        now = identity(self._config.path_of(append.file))
        try:
            whole = now.size == append.size + len(append.lines)
            start = append.size if whole else 0  # else another program has written to it as well
            lost = now.inode != source.inode or not append.is_in(self._content(append, start))
            self._journal.drop()
        except OSError as error:
            raise TryAgain(f"{words_of(error, self._folder)}; {COMMITTED}") from error
        if lost:  # another program has replaced the file
            self._withdraw_entry()
            raise Conflict(append.file)
        return now if whole else ABSENT

    def _content(self, append: "Append", start: int) -> bytes:
        """The content of the file of an append from an offset on."""
        with self._config.opened(append.file) as file:
            file.seek(start)
            return file.readall()

    def _roll_back_append(self, path: str, append: "Append", error: OSError | Conflict) -> NoReturn:
        try:
            added = self._content(append, append.size)
            if added and append.was_cut(added):
                self._disk.patch(path, (), (), append.size, sync=True)
        except OSError as another:
            raise TryAgain(f"{words_of(another, self._folder)}; {UNDECIDED}") from another
        self._roll_back(error)

    # -- the history entry: written before the commit, marked as done after it

    def _begin_entry(self, entry: "EntryRenderer | None") -> None:
        if entry is not None:
            self.history.begin(entry)

    def _finish_entry(self, entry: "EntryRenderer | None", history_bytes: int) -> None:
        if entry is not None:
            self.history.finish(history_bytes)

    def _withdraw_entry(self) -> None:
        if self._history is not None:
            self._history.withdraw()


def _same_file(staged: Identity, now: Identity) -> Identity:
    """The identity of a file that was renamed into its place, whose ctime the rename has changed;
    ABSENT if another file is there."""
    return now if now[:3] == staged[:3] else ABSENT
