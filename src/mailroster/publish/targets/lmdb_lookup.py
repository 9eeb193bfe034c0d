"""Lookups in an lmdb table, as Postfix makes them, for a process that keeps running.

The file stays open; a replaced file is opened again. A damaged file ends the process, as it ends a
process of Postfix.
"""

import fcntl
import os
from io import FileIO
from typing import Any

from mailroster.system import file_lock
from mailroster.system.files import ABSENT, Identity, identity

_MAP_MIN_BYTES = 1 << 24
#: Less than Postfix waits for an answer.
_WAIT_S = 1.0
#: LMDB's own limit: no table has a longer key.
_KEY_MAX_BYTES = 511


class LmdbLookup:
    """`lmdb:PATH`, for one thread."""

    def __init__(self, path: str) -> None:
        self._path = f"{path}.lmdb"
        self._inode = 0
        self._env: Any = None
        self._file: FileIO | None = None

    def get(self, key: str) -> str | None:
        """The value of a key in lower case, or None. Raises OSError if the table can't be read."""
        raw = key.encode("utf-8", "surrogateescape") + b"\0"
        if len(raw) > _KEY_MAX_BYTES:
            return None
        import lmdb

        try:
            return self._get(raw)
        except lmdb.Error:
            self._close()  # the file may be larger than the map: try again with a new map
        try:
            return self._get(raw)
        except lmdb.Error as error:
            self._close()
            raise OSError(f"{self._path}: {error}") from error

    def version(self) -> tuple[int, int]:
        """The inode of the file and its last transaction, which changes with each committed change.
        (0, 0) if the table can't be read. Takes no lock."""
        import lmdb

        try:
            self._open_current()
            return self._inode, self._env.info()["last_txnid"]
        except (OSError, lmdb.Error):
            self._close()
            return 0, 0

    def _open_current(self) -> None:
        """Opens the file, unless it is open and was not replaced."""
        current = identity(self._path)
        if current.inode != self._inode or self._env is None:
            self._open(current)

    def _get(self, raw: bytes) -> str | None:
        self._open_current()
        assert self._file is not None
        # The lock of Postfix and of our writer, so that the pages in use are not overwritten.
        file_lock.lock(
            self._file.fileno(), self._path, shared=True, wait_s=_WAIT_S, wait_for_root_s=_WAIT_S
        )
        try:
            with self._env.begin() as transaction:
                value = transaction.get(raw)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        return None if value is None else value[:-1].decode("utf-8", "surrogateescape")

    def _open(self, current: Identity) -> None:
        import lmdb

        self._close()
        if current == ABSENT:
            raise OSError(f"{self._path} is missing")
        # With room to grow: a map smaller than the file can't be read.
        size = max(_MAP_MIN_BYTES, 4 * current.size)
        self._env = lmdb.open(self._path, subdir=False, lock=False, readonly=True, map_size=size)
        self._file = FileIO(self._path)
        self._inode = os.fstat(self._file.fileno()).st_ino

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._env is not None:
            self._env.close()
        self._env = self._file = None
