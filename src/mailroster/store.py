"""The config folder: read, and changed by transactions over several files.

A transaction writes every new file beside the old one, then a journal that names them (from here on
the edit counts), then renames each over its place, then drops the journal. Who opens the folder
next finishes what a crash left: with a journal forward, without one back. A single rename needs no
journal. A file that can't be renamed over (a mount point, or one whose owner we couldn't keep) is
overwritten in place, under the journal.
"""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from mailroster.disk import ABSENT, Disk, Identity, identity, owner_and_mode, read
from mailroster.document import Document
from mailroster.finding import Busy, Conflict, Refused
from mailroster.lock import FolderLock
from mailroster.plan import FileEdit, Plan, plan
from mailroster.roster import Roster

JOURNAL = ".mailroster-journal"
NEW = ".mailroster-new"
#: How often an edit is made anew when somebody wrote the file meanwhile.
TRIES = 5

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_NOT_RENAMED = (errno.EBUSY, errno.EXDEV)


class Snapshot(NamedTuple):
    """The folder as it was read: its documents, and which file each one was."""

    roster: Roster
    identities: Mapping[str, Identity]  # field -> identity; ABSENT if there is no file
    unreadable: Mapping[str, str]  # field -> the system's words


class _Step(NamedTuple):
    """One file of a transaction: its place, the new file, and what was found in its place."""

    target: str
    new: str
    found: Identity
    in_place: bool


class Store:
    """The files of one config folder."""

    def __init__(self, folder: str, disk: Disk | None = None, wait_s: float = 60.0) -> None:
        self.folder = folder
        self._disk = disk or Disk()
        self._wait_s = wait_s

    def read(self, known: Iterable[Roster] = ()) -> Snapshot:
        """All documents, as they stand between two transactions.

        A document of `known` whose text still stands in the folder is used again.
        """
        self._must_be()
        with FolderLock(self.folder, self._wait_s):
            self._recover()
            return self._read(known)

    def transact(
        self, edit: Callable[[Roster], Roster], *, dry_run: bool = False
    ) -> tuple[Plan, Roster, Roster]:
        """Puts an edit into the folder, wholly or not at all: the plan, the roster before, after.

        Raises whatever the edit raises, Refused where the folder can't be written, Busy where it
        is locked, full, or written by others again and again.
        """
        if not dry_run and not os.path.isdir(self.folder):
            self._disk.make_folder(self.folder)
        self._must_be()
        with FolderLock(self.folder, self._wait_s):
            self._recover()
            for _ in range(TRIES):
                snapshot = self._read(())
                for field, why in snapshot.unreadable.items():
                    raise Refused(f"{getattr(snapshot.roster, field).format.file}: {why}")
                after = edit(snapshot.roster)
                changes = plan(snapshot.roster, after)
                if dry_run or not changes.edits:
                    return changes, snapshot.roster, after
                try:
                    self._commit(changes.edits, snapshot.identities)
                except Conflict:
                    continue
                return changes, snapshot.roster, after
        raise Busy(f"{self.folder} was written by others all along")

    def path(self, file: str) -> str:
        return os.path.join(self.folder, file)

    # -- reading

    def _must_be(self) -> None:
        if not os.path.isdir(self.folder):
            raise Refused(
                f"there is no config folder {self.folder}; name yours with --config or --home, "
                "or make it with the first 'setup email add'"
            )

    def _read(self, known: Iterable[Roster]) -> Snapshot:
        documents: dict[str, Document[Any]] = {}
        identities, unreadable = {}, {}
        for field, empty in Roster().documents():
            path = self.path(empty.format.file)
            documents[field] = empty
            identities[field] = identity(path)
            try:
                document = Document.from_bytes(empty.format, read(path))
            except OSError as error:
                unreadable[field] = error.strerror or str(error)
                continue
            same = (getattr(roster, field) for roster in known)
            documents[field] = next((d for d in same if d.text == document.text), document)
        return Snapshot(Roster(**documents), identities, unreadable)

    # -- the transaction

    def _commit(self, edits: Iterable[FileEdit], found: Mapping[str, Identity]) -> None:
        steps: list[_Step] = []
        try:
            for edit in edits:
                steps.append(self._prepare(edit, found[edit.field]))
            for step in steps:
                if identity(step.target) != step.found:
                    raise Conflict(step.target)
            if len(steps) > 1 or steps[0].in_place:
                self._write_journal(steps)
        except (OSError, Conflict) as error:
            self._forget(steps)
            if isinstance(error, Conflict):
                raise
            raise self._explained(error) from error
        try:
            self._install(steps)
        except OSError as error:
            if os.path.lexists(self.path(JOURNAL)):
                words = f"{error.filename or self.folder}: {error.strerror}"
                raise Busy(f"{words}; the next command will finish this edit") from error
            self._forget(steps)
            raise self._explained(error) from error

    def _prepare(self, edit: FileEdit, found: Identity) -> _Step:
        """Writes the new file, beside its place if that can be."""
        target = os.path.realpath(self.path(edit.file))
        new = _beside(target)
        owner, mode = None, 0o600 if getattr(Roster(), edit.field).format.secret else 0o644
        if found != ABSENT:
            owner, mode = owner_and_mode(target)
        try:
            self._disk.create(new, edit.after, mode, owner)
            return _Step(target, new, found, in_place=False)
        except OSError as error:
            if found == ABSENT or error.errno not in _READ_ONLY:
                _remove_if_there(self._disk, new)
                raise
        # Not in that folder, or not with that owner: beside the journal, to be copied over.
        _remove_if_there(self._disk, new)
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "can't be written", target)
        new = self.path(f".{edit.file}{NEW}")
        self._disk.create(new, edit.after, 0o600, None)
        return _Step(target, new, found, in_place=True)

    def _install(self, steps: list[_Step]) -> None:
        """Everything after the point from which the edit counts; safe to repeat."""
        for place, step in enumerate(steps):
            if not step.in_place:
                try:
                    self._disk.rename(step.new, step.target)
                    continue
                except OSError as error:
                    if error.errno not in _NOT_RENAMED:
                        raise
                steps[place] = step = step._replace(in_place=True)
                self._write_journal(steps[place:])
            self._disk.overwrite(step.target, read(step.new))
            self._disk.remove(step.new)
        for folder in sorted({os.path.dirname(step.target) for step in steps}):
            self._disk.sync_folder(folder)
        _remove_if_there(self._disk, self.path(JOURNAL))

    def _write_journal(self, steps: list[_Step]) -> None:
        import json

        journal = self.path(JOURNAL)
        _remove_if_there(self._disk, journal + NEW)
        content = json.dumps([[s.target, s.new, list(s.found), s.in_place] for s in steps])
        self._disk.create(journal + NEW, content.encode(), 0o600, None)
        self._disk.rename(journal + NEW, journal)
        self._disk.sync_folder(self.folder)

    def _forget(self, steps: Iterable[_Step]) -> None:
        for step in steps:
            _remove_if_there(self._disk, step.new)
        _remove_if_there(self._disk, self.path(JOURNAL + NEW))

    def _recover(self) -> None:
        """Finishes or undoes what a crash left. Costs one listing of the folder where none did."""
        names = os.listdir(self.folder)
        try:
            if JOURNAL in names:
                self._finish()
            for name in names:
                if name.startswith(".") and name.endswith(NEW):
                    _remove_if_there(self._disk, self.path(name))
            for _, document in Roster().documents():
                path = self.path(document.format.file)
                if os.path.islink(path):
                    _remove_if_there(self._disk, _beside(os.path.realpath(path)))
        except OSError as error:
            if error.errno in _READ_ONLY:
                raise Busy(
                    f"{self.folder} holds an edit that was cut short, and {error.strerror}; "
                    "let somebody who may write there run any command"
                ) from error
            raise self._explained(error) from error

    def _finish(self) -> None:
        import json

        entries = json.loads(read(self.path(JOURNAL)))
        steps = [
            _Step(target, new, Identity(*found), placed) for target, new, found, placed in entries
        ]
        waiting = []
        for step in steps:
            if not os.path.lexists(step.new):
                continue  # in its place already
            if step.in_place or identity(step.target) == step.found:
                waiting.append(step)
            else:
                # Somebody wrote the file after the crash: theirs stays, ours is kept beside it.
                self._disk.rename(step.new, f"{step.target}.mailroster-unapplied")
        self._install(waiting)

    def _explained(self, error: OSError) -> Exception:
        """Refused for what only a person can mend, Busy for what may pass."""
        words = f"{error.filename or self.folder}: {error.strerror}"
        if error.errno in _READ_ONLY:
            return Refused(f"{words}; nothing was changed, the folder must be writable")
        return Busy(f"{words}; nothing was changed")


def _beside(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}{NEW}")


def _remove_if_there(disk: Disk, path: str) -> None:
    if os.path.lexists(path):
        disk.remove(path)
