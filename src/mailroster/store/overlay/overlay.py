"""The overlay: a writable folder that follows a read-only config folder, its source.

All commands work on the overlay as on any config folder. First it is updated from the source, one
file at a time. A record of what was copied shows which files were changed in the overlay since:

    in the overlay      in the source       the file
    as it was copied    changed             is updated from the source
    as it was copied    removed             is removed, unless the source has lost its accounts
    changed             as it was copied    stays: it was edited in the overlay
    changed             changed             stays, and this is reported
    equal to the source                     follows the source from now on

A missing file is the same as an empty one. The record names the files of an update before the first
is replaced, so that after a crash each of them is known as a copy.
"""

import os
from collections.abc import Container, Iterable, Iterator, Sequence

from mailroster.base.findings import WARNING, Finding, Location, Refused, TryAgain, unreadable
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.roster import Roster
from mailroster.store.errors import words_of
from mailroster.store.leftovers import NEW
from mailroster.store.links import ConfigFolder
from mailroster.store.overlay.comparison import (
    BEHIND,
    BOTH,
    FOLLOWS,
    FileState,
    compare,
    lost_accounts,
    may_differ,
)
from mailroster.store.overlay.record import RECORD, FileRecord, OverlayState, parse
from mailroster.store.overlay.source import NOTHING, SourceFiles, is_lasting, names, read_source
from mailroster.store.staging import create_staged
from mailroster.store.transaction import Transactions
from mailroster.system.files import NO_RIGHT, Disk, identity, owner_and_mode, reason
from mailroster.system.folder_lock import FolderLock

_KEPT = "the copies of its files stay in use"
_HINT = (
    "the version in the overlay is used: compare with 'setup overlay diff', then put it into the "
    "source, or give it up with 'setup overlay drop'"
)


class Overlay:
    """The overlay of one source."""

    def __init__(
        self,
        source: str,
        folder: str,
        disk: Disk | None = None,
        *,
        linked: Sequence[str] = (),
    ) -> None:
        """`linked`: other folders to which links in these two may lead."""
        self.source, self.folder = source, folder
        self._disk = disk or Disk()
        self._linked = tuple(map(os.path.realpath, linked))
        self._config = ConfigFolder(folder, self._linked)

    def path(self, file: str) -> str:
        return self._config.path_of(file)

    def file_states(self) -> list[FileState]:
        """The state of every file, by name. Raises OSError, and TryAgain if the source is replaced
        during each try."""
        if source := read_source(self.source, self._linked):
            return list(compare(self._config, source, self._record()))
        raise TryAgain(f"{self.source} is replaced again and again; try again later")

    def findings(self) -> tuple[Finding, ...]:
        """Why files do not follow the source."""
        accounts, findings = Location(ACCOUNTS.file), list[Finding]()
        try:
            source, record = read_source(self.source, self._linked), self._record()
        except OSError as error:
            message = f"the source {self.source} can't be read ({error.strerror or error}); {_KEPT}"
            return (Finding(accounts, WARNING, "no-source", message, "mount it again"),)
        if source is None:
            return ()
        if lost_accounts(source, record):
            message = f"the source {self.source} has lost this file; {_KEPT}"
            hint = "restore it there"
            findings.append(Finding(accounts, WARNING, "no-source", message, hint))
        for each in compare(self._config, source, record):
            if each.state == BOTH:
                location, message = Location(each.file), "changed in the overlay and in its source"
                findings.append(Finding(location, WARNING, "changed-in-both", message, _HINT))
        findings += [unreadable(file, reason(error)) for file, error in source.unreadable.items()]
        return tuple(findings)

    def update(self, wait_s: float = 60.0) -> bool:
        """Copies new versions from the source; False if there can't be any. Costs one stat for each
        file.

        Raises TryAgain or Refused if that fails; then some files may be updated, others not.
        """
        try:
            if not may_differ(self._config, self.source, self._record()):
                return False
            if not os.path.isdir(self.folder):
                self._disk.make_folder(self.folder, 0o700)
            with FolderLock(self.folder, wait_s):
                Transactions(self._config, self._disk).recover()
                if source := self._read_source():
                    self._update_from(source)
            return True
        except OSError as error:
            fault = Refused if error.errno in NO_RIGHT else TryAgain
            words = words_of(error, self.folder)
            raise fault(f"{words}; the overlay is not updated from {self.source}") from error

    def drop(self, state: FileState, wait_s: float = 60.0) -> None:
        """Replaces a file with the version of the source, even if it was edited. Raises OSError or
        TryAgain."""
        with FolderLock(self.folder, wait_s):
            Transactions(self._config, self._disk).recover()
            if not self._install(state):
                raise TryAgain(f"another program has just written {state.file}; try again")
            self._disk.sync_folder(self.folder)

    # -- with the folder locked

    def _read_source(self) -> SourceFiles | None:
        """The source; None if it can't be read, but there are copies. Raises Refused if there are
        none."""
        try:
            return read_source(self.source, self._linked)
        except OSError as error:
            if names(self.folder):
                return None
            why = f"the config folder {self.source} can't be read ({error.strerror or error})"
            raise Refused(f"{why}, and {self.folder} has no copy of it yet") from None

    def _update_from(self, source: SourceFiles) -> None:
        record = self._record()
        states, lost = list(compare(self._config, source, record)), lost_accounts(source, record)
        updates = [
            each for each in states
            if each.state == BEHIND and not (lost and each.source.digest == NOTHING)
        ]  # fmt: skip
        updated = set[str]()
        if updates:
            planned = {
                each.file: record.of(each.file)._replace(planned=each.source.digest)
                for each in updates
            }
            self._write_record(OverlayState(None, {**record.files, **planned}))
            updated = {each.file for each in updates if self._install(each)}
            self._disk.sync_folder(self.folder)
        after = OverlayState(
            source.folder if len(updated) == len(updates) and is_lasting(source.folder) else None,
            dict(_records(source, record, states, updated)),
        )
        if updates or after != record:
            self._write_record(after)

    def _install(self, state: FileState) -> bool:
        """Replaces a file with the version of the source; False if another program has just written
        it."""
        path, new = self.path(state.file), self.path(f".{state.file}{NEW}")
        if state.source.digest != NOTHING:
            self._stage(state, path, new)
        if identity(path) != state.own.identity:
            if os.path.lexists(new):
                self._disk.remove(new)
            return False
        if state.source.digest != NOTHING:
            self._disk.rename(new, path)
        else:
            self._disk.remove(path)
        return True

    def _stage(self, state: FileState, path: str, new: str) -> None:
        owner = None
        mode = 0o600 if state.file in _secret_files() else state.source.mode & 0o777 | 0o600
        if os.path.lexists(path):
            owner, mode = owner_and_mode(path)
        create_staged(self._disk, new, lambda: state.source.content, mode, owner)

    def _record(self) -> OverlayState:
        if os.path.islink(self.path(RECORD)):
            return parse(b"")  # not ours: it is replaced
        return parse(self._config.read(RECORD))

    def _write_record(self, record: OverlayState) -> None:
        path, new = self.path(RECORD), self.path(f"{RECORD}{NEW}")
        self._disk.create(new, bytes(record), 0o600, None)
        self._disk.rename(new, path)
        self._disk.sync_folder(self.folder)


def _records(
    source: SourceFiles, record: OverlayState, states: Iterable[FileState], updated: Container[str]
) -> Iterator[tuple[str, FileRecord]]:
    """The record of each file after an update."""
    for file in source.unreadable:
        yield file, record.of(file)._replace(source=None)
    for each in states:
        file, is_copy = each.file, each.file in updated or each.state == FOLLOWS
        copied = each.source.digest if is_copy else record.of(file).copied
        if copied == NOTHING and file not in source.versions:
            continue
        # The file in the overlay matters only if the source has another version than the copy.
        own = each.own.identity if each.source.digest != copied else None
        lasting = is_lasting(each.source.identity) and (own is None or is_lasting(own))
        yield file, FileRecord(copied, copied, each.source.identity if lasting else None, own)


def _secret_files() -> set[str]:
    return {document.format.file for _, document in Roster().documents() if document.format.secret}
