"""One row of an lmdb table at a time, for a process that stays: as Postfix itself asks.

The file stays open; one that was renamed over is opened anew. Damage ends the process, as it does
one of Postfix's.
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
#: LMDB's own limit; a longer key is in no table.
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
            self._close()  # it has outgrown the map, say: once more with a new one
        try:
            return self._get(raw)
        except lmdb.Error as error:
            self._close()
            raise OSError(f"{self._path}: {error}") from error

    def version(self) -> tuple[int, int]:
        """Which file the table is, and its last transaction: another one after each change, once
        the change is written. (0, 0) if the table can't be read. Needs no lock."""
        import lmdb

        try:
            self._look()
            return self._inode, self._env.info()["last_txnid"]
        except (OSError, lmdb.Error):
            self._close()
            return 0, 0

    def _look(self) -> None:
        """Opens the table, unless the file that is open is still the table."""
        found = identity(self._path)
        if found.inode != self._inode or self._env is None:
            self._open(found)

    def _get(self, raw: bytes) -> str | None:
        self._look()
        assert self._file is not None
        # The lock that Postfix takes, and our writer: pages that are read are not used again.
        file_lock.lock(
            self._file.fileno(), self._path, shared=True, wait_s=_WAIT_S, wait_for_root_s=_WAIT_S
        )
        try:
            with self._env.begin() as transaction:
                value = transaction.get(raw)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        return None if value is None else value[:-1].decode("utf-8", "surrogateescape")

    def _open(self, found: Identity) -> None:
        import lmdb

        self._close()
        if found == ABSENT:
            raise OSError(f"{self._path} is not there")
        # Room to grow: a map smaller than the file reads nothing.
        size = max(_MAP_MIN_BYTES, 4 * found.size)
        self._env = lmdb.open(self._path, subdir=False, lock=False, readonly=True, map_size=size)
        self._file = FileIO(self._path)
        self._inode = os.fstat(self._file.fileno()).st_ino

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._env is not None:
            self._env.close()
        self._env = self._file = None
