"""Reads all files of a config folder as one consistent snapshot, without a lock.

The reader reads all files, then checks that neither they nor the journal of an edit have changed
meanwhile; otherwise it reads again. A committed edit that a crash cut short is read as completed.
"""

import errno
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from mailroster.base.findings import Refused, TryAgain
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster, document_of
from mailroster.store.leftovers import NOTHING, PendingEdit
from mailroster.store.links import ConfigFolder, handle_path
from mailroster.store.recovery import Recovery
from mailroster.system.files import (
    ABSENT,
    WHOLE_MAX_BYTES,
    Identity,
    identity,
    identity_of,
    reason,
)
from mailroster.system.folder_lock import FolderLock

#: Pause before the second try; it grows with each further try.
PAUSE_S = 0.002
#: Tries without the lock; then the folder is read once more, with the lock if we may have it.
READS = 12
#: A journal that is still there after so many tries belongs to an edit that was cut short.
_JOURNAL_READS = 6
#: No more tries without the lock after this time.
_READS_MAX_S = 0.5


class Snapshot(NamedTuple):
    """The documents of a folder at one moment, and the file that each was read from."""

    roster: Roster
    identities: Mapping[str, Identity]  # field -> identity; ABSENT if there is no file
    unreadable: Mapping[str, str] = {}  # field -> the system's words
    pending: bool = False  # whether it includes an edit that was cut short
    folder: str = ""

    def readable(self, fields: Collection[str] = Roster._fields) -> Roster:
        """The roster. Raises Refused if the file of one of `fields` can't be read; it names the
        first such file."""
        for field in self.unreadable:
            if field in fields:
                raise Refused(self.fault(field))
        return self.roster

    def fault(self, field: str) -> str:
        """Why the file of a field can't be read: its path, the system's words, and what to do."""
        path = os.path.join(self.folder, getattr(self.roster, field).format.file)
        return f"{path}: {self.unreadable[field]}"


#: Gives a large file as a document without reading all of it, and the identity of that file; None
#: if it can't. Takes the field, the path, and the identity of the file there. Raises OSError.
DocumentFinder = Callable[[str, str, Identity], "tuple[Document[Any], Identity] | None"]


def find_none(field: str, path: str, file: Identity) -> None:
    """The DocumentFinder that knows no file: each is read whole."""


class FolderReader:
    """The reader of one config folder."""

    def __init__(
        self, config: ConfigFolder, recovery: Recovery, wait_s: float, find: DocumentFinder
    ) -> None:
        self._config, self._recovery = config, recovery
        self._wait_s, self._find = wait_s, find

    def read(self, known: Iterable[Roster] = (), find: DocumentFinder | None = None) -> Snapshot:
        """A consistent snapshot. Changes nothing.

        A document of `known` with the same text is used again. Raises TryAgain if the folder
        changes during each try, Refused, and OSError.
        """
        known, find = tuple(known), find or self._find
        began = time.monotonic()
        for attempt in range(READS):
            time.sleep(attempt * PAUSE_S)
            try:
                snapshot, is_consistent = self._read_and_compare(known, find)
            except TryAgain:
                continue  # an edit of another user is under way
            if is_consistent and (not snapshot.pending or attempt >= _JOURNAL_READS):
                return snapshot
            if attempt > 1 and time.monotonic() - began > _READS_MAX_S:
                break
        return self._read_locked(known, find)

    def _read_locked(self, known: Iterable[Roster], find: DocumentFinder) -> Snapshot:
        """Reads while no edit is under way, if we may lock the folder. Then a program that saves a
        file again and again does not delay the reader."""
        path = self._config.path
        with FolderLock(path, self._wait_s, make=False) as lock:
            snapshot, is_consistent = self._read_and_compare(known, find)
            if not (is_consistent or lock.is_held() or lock.is_absent()):
                raise TryAgain(f"{path} is changed again and again; try again later")
            return snapshot

    def _read_and_compare(
        self, known: Iterable[Roster], find: DocumentFinder
    ) -> tuple[Snapshot, bool]:
        """What was read, and whether nothing has changed meanwhile."""
        pending = self._recovery.pending()
        snapshot = self.read_once(known, find, pending)
        # In this order: while the files are the same, no edit was half in place at this moment.
        is_consistent = pending.is_current() and all(
            identity(self._config.path_of(document.format.file)) == snapshot.identities[field]
            for field, document in snapshot.roster.documents()
            if document.format.file not in pending.files()
        )
        return snapshot, is_consistent

    def read_once(
        self,
        known: Iterable[Roster] = (),
        find: DocumentFinder | None = None,
        pending: PendingEdit = NOTHING,
    ) -> Snapshot:
        """The files as they are now, or as a recovery completes them; consistent only with the lock
        of the folder. Raises OSError for the folder itself."""
        folder = self._config.path
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))  # or an error
        documents: dict[str, Document[Any]] = {}
        identities: dict[str, Identity] = {}
        unreadable: dict[str, str] = {}
        for field, empty in Roster().documents():
            file = empty.format.file
            try:
                if file in pending.files():
                    content = self._recovery.content(file, pending)
                    document, source = document_of(field, content, known), pending.identity(file)
                else:
                    document, source = self._document(field, file, known, find or self._find)
            except OSError as error:
                document, source = empty, identity(self._config.path_of(file))
                unreadable[field] = reason(error)
            documents[field], identities[field] = document, source
        return Snapshot(Roster(**documents), identities, unreadable, bool(pending.files()), folder)

    def _document(
        self, field: str, file: str, known: Iterable[Roster], find: DocumentFinder
    ) -> tuple[Document[Any], Identity]:
        try:
            opened = self._config.opened(file)
        except (FileNotFoundError, NotADirectoryError):
            return getattr(Roster(), field), ABSENT
        with opened:
            source = identity_of(opened.fileno())
            if result := find(field, handle_path(opened.fileno()), source):
                return result
            if source.size > WHOLE_MAX_BYTES:
                path = self._config.path_of(file)
                raise OSError(errno.EFBIG, f"larger than {WHOLE_MAX_BYTES} bytes", path)
            return document_of(field, opened.readall(), known), source
