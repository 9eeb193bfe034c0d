"""Copies of the config files as last published, with an index for the large ones.

They tell what has changed since, and what to keep live when a file is damaged. While a config file
equals its copy, by its identity, commands use the index for the config file too.
"""

import os
import time
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from mailroster.publish.copy_patch import added_lines, info_after, moves, shifted
from mailroster.publish.indexed_file import IndexedFile, all_entries, entries_of
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument, content_of, whole
from mailroster.roster.documents.splices import SPLICES_MAX, Bytes, splices_between
from mailroster.roster.roster import Roster, document_of
from mailroster.store.config_folder import TransactionResult
from mailroster.store.reader import DocumentFinder
from mailroster.system.files import ABSENT, Disk, Identity, identity, identity_of, opened, read

if TYPE_CHECKING:
    from mailroster.publish.index import CopyInfo, Index, IndexFile

#: Files from this size on have an index; below it, reading all of the file is quicker.
INDEX_FROM_BYTES = 1 << 18
#: The index is rebuilt when lines may have shifted by more than this.
_DRIFT_MAX_BYTES = 1 << 20
_BATCH = 100_000
#: Two writes within one tick of the kernel's clock have the same times; HZ is at least 100.
_TICK_S = 0.02


class PublishedFiles:
    """The copies and their index in one folder. A writer holds the lock of the state folder."""

    def __init__(
        self, folder: str, disk: Disk | None = None, index_from: int = INDEX_FROM_BYTES
    ) -> None:
        self._folder, self._disk, self._index_from = folder, disk or Disk(), index_from
        self._index = _OptionalIndex(self.path("index"), self._disk)

    def path(self, file: str) -> str:
        """The path of the copy of a config file."""
        return os.path.join(self._folder, file)

    # -- reading

    def roster(self, known: Iterable[Roster] = ()) -> Roster:
        """The roster as last published. A document of `known` with the same text is used again."""
        index = self._index.snapshot()
        documents: dict[str, Document[Any]] = {}
        for field, empty in Roster().documents():
            path = self.path(empty.format.file)
            info = index.info(field) if index is not None else None
            if index is not None and info is not None and identity(path).size == info.size:
                base = IndexedFile(empty.format, field, path, index, info)
                documents[field] = LargeDocument(empty.format, base)
            else:
                documents[field] = document_of(field, read(path), known)
        return Roster(**documents)

    def current(
        self, field: str, path: str, seen: Identity
    ) -> tuple[Document[Any], Identity] | None:
        """A config file by the index, if it equals its copy (DocumentFinder)."""
        if seen.size < self._index_from or (index := self._index.snapshot()) is None:
            return None
        info = index.info(field)
        if info is None or info.identity != seen:
            return None
        format = getattr(Roster(), field).format
        base = IndexedFile(format, field, path, index, info)
        return (LargeDocument(format, base), seen) if identity_of(base.fd) == seen else None

    def finder(self, published: Roster, edited: TransactionResult | None) -> DocumentFinder:
        """Reads config files as their differences from the published roster.

        `edited`: the edit of the calling command, whose files are not compared.
        """

        def find(field: str, path: str, seen: Identity) -> tuple[Document[Any], Identity] | None:
            copy = getattr(published, field)
            if not isinstance(copy, LargeDocument) or seen == ABSENT:
                return None
            if edited is not None and edited.written.get(field, ABSENT) == seen:
                after = getattr(edited.after, field)
                if isinstance(after, LargeDocument) and after.base.token == copy.base.token:
                    return LargeDocument(copy.format, copy.base, after.splices), seen
            return (copy, seen) if self._is_copied(field, seen) else _compared(copy, path)

        return find

    def _is_copied(self, field: str, seen: Identity) -> bool:
        """Whether a config file is known to equal its copy."""
        info = self._index.info(field) if seen.size >= self._index_from else None
        return info is not None and info.identity == seen

    # -- writing

    def put(self, field: str, document: Document[Any]) -> None:
        """Makes a copy hold a document. A copy whose write is cut short has no index. Neither has a
        copy with a byte order mark: the mark would move with the first line."""
        has_mark = document.has_mark()
        if isinstance(document, LargeDocument) and not has_mark and self._patch(field, document):
            return
        path = self.path(document.format.file)
        self._index.forget(field)
        self._disk.replace(path, content_of(document), mode=0o600)
        is_large = os.path.getsize(path) >= self._index_from
        if is_large and not document.format.ordered and not has_mark:
            self._build_index(field, whole(document), os.path.getsize(path))

    def may_tear(self, document: Document[Any]) -> bool:
        """Whether a crash during `put` may leave the copy neither old nor new."""
        return isinstance(document, LargeDocument) and bool(moves(document))

    def record_match(self, field: str, path: str, seen: Identity) -> None:
        """Records that a config file equals its copy.

        Waits until another write of the file would have another time.
        """
        info = self._index.info(field) if seen.size >= self._index_from else None
        if info is None or info.identity == seen or seen.ctime_ns % 10**9 == 0:
            return
        wait_s = seen.ctime_ns / 1e9 + _TICK_S - time.time()
        if wait_s > _TICK_S:
            return  # another machine's clock
        time.sleep(max(0.0, wait_s))
        if identity(path) == seen:
            with self._index.file.update() as writer:
                writer.put_info(field, info._replace(identity=seen))

    def drop_index(self) -> None:
        """Drops the index of every copy, for all processes."""
        self._index.forget(*Roster._fields)

    def close(self) -> None:
        self._index.close()

    def _patch(self, field: str, document: LargeDocument[Any]) -> bool:
        """Changes copy and index in place; False if the document has another base."""
        info = self._index.info(field)
        if info is None or document.base.token != (field, info.serial):
            return False
        if not document.splices:
            return True
        new = info_after(info, document)
        if new.high - new.low > _DRIFT_MAX_BYTES or len(document.splices) > SPLICES_MAX:
            return False
        format, path = document.format, self.path(document.format.file)
        removed = list(entries_of(format, ((0, line) for line in document.removed())))
        added = list(entries_of(format, added_lines(document)))
        self._index.forget(field)
        parts = moves(document)
        if parts is None:
            self._disk.replace(path, content_of(document), mode=0o600)
        else:
            writes = ((offset, splice.raw()) for offset, splice in shifted(document))
            self._disk.patch(path, parts, writes, new.size)
        with self._index.file.update() as writer:
            writer.remove(field, removed)
            writer.add(field, added, new.serial)
            writer.put_info(field, new)
        return True

    def _build_index(self, field: str, document: Document[Any], size: int) -> None:
        from mailroster.publish.index import CopyInfo

        count = faulty = 0
        with self._index.file.update() as writer:
            serial = time.time_ns()  # never used before
            writer.clear(field)
            entries = all_entries(document)
            while batch := list(islice(entries, _BATCH)):
                writer.add(field, batch, serial)
                count += len(batch)
                faulty += sum(1 for entry in batch if entry.faulty)
            writer.put_info(field, CopyInfo(serial, ABSENT, size, 0, 0, count, faulty))


class _OptionalIndex:
    """The index, if there is one. Commands on small files do not import its code."""

    def __init__(self, path: str, disk: Disk) -> None:
        self._path, self._disk = path, disk
        self._file: IndexFile | None = None

    @property
    def file(self) -> "IndexFile":
        if self._file is None:
            from mailroster.publish.index import IndexFile

            self._file = IndexFile(self._path, self._disk)
        return self._file

    def snapshot(self) -> "Index | None":
        return self.file.snapshot() if os.path.exists(self._path) else None

    def info(self, field: str) -> "CopyInfo | None":
        index = self.snapshot()
        return index.info(field) if index is not None else None

    def forget(self, *fields: str) -> None:
        """Removes the records of copies: their lines are not used from now on."""
        if os.path.exists(self._path):
            with self.file.update() as writer:
                for field in fields:
                    writer.put_info(field, None)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _compared(copy: LargeDocument[Any], path: str) -> tuple[Document[Any], Identity] | None:
    """A config file as its differences from its copy; None if there are too many."""
    with opened(path) as file:
        seen = identity_of(file.fileno())

        def read_at(start: int, end: int) -> bytes:
            return os.pread(file.fileno(), end - start, start)

        base = Bytes(copy.base.read, copy.base.size)
        splices = splices_between(copy.format, base, Bytes(read_at, seen.size))
    return None if splices is None else (LargeDocument(copy.format, copy.base, splices), seen)
