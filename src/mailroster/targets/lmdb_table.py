"""A Postfix lmdb table, changed in place under the lock that Postfix takes.

Postfix locks with fcntl(2) on the file, not with LMDB's own lock. The environment is opened first
and closed last: closing any descriptor of the file drops the process's lock on it. Keys and values
end in NUL, as postmap(1) writes them (lmdb_table(5)).
"""

import errno
import fcntl
import os

from mailroster.tables import Changes, Rows

_MAP_MIN_BYTES = 1 << 24  # Postfix's lmdb_map_size


class LmdbTable:
    """`lmdb:PATH`, the file being PATH.lmdb. Raises OSError for a table that can't be used."""

    def __init__(self, path: str) -> None:
        self._file = f"{path}.lmdb"

    def is_there(self) -> bool:
        return os.path.exists(self._file)

    def read(self) -> Rows:
        if not self.is_there():
            return {}
        import lmdb  # 1 ms: many an edit changes no table of Postfix

        try:
            env = lmdb.open(self._file, subdir=False, lock=False, readonly=True)
            try:
                with open(self._file, "rb") as file:
                    fcntl.lockf(file, fcntl.LOCK_SH)
                    with env.begin() as transaction:
                        rows: Rows = {
                            key[:-1].decode(): value[:-1].decode()
                            for key, value in transaction.cursor()
                        }
                    fcntl.lockf(file, fcntl.LOCK_UN)
                    return rows
            finally:
                env.close()
        except lmdb.Error as error:
            raise OSError(errno.EIO, str(error), self._file) from error

    def apply(self, changes: Changes) -> None:
        import lmdb

        size = _MAP_MIN_BYTES
        if self.is_there():
            size = max(size, 2 * os.path.getsize(self._file))
        while True:
            try:
                self._write(changes, size)
                return
            except lmdb.MapFullError:
                size *= 2
            except lmdb.Error as error:
                raise OSError(errno.EIO, str(error), self._file) from error

    def _write(self, changes: Changes, map_bytes: int) -> None:
        import lmdb

        env = lmdb.open(self._file, subdir=False, lock=False, map_size=map_bytes, mode=0o644)
        try:
            with open(self._file, "r+b") as file:
                fcntl.lockf(file, fcntl.LOCK_EX)
                try:
                    with env.begin(write=True) as transaction:
                        for key, value in sorted(changes.items()):
                            raw = key.encode() + b"\0"
                            if value is None:
                                transaction.delete(raw)
                            else:
                                assert isinstance(value, str)
                                transaction.put(raw, value.encode() + b"\0")
                finally:
                    fcntl.lockf(file, fcntl.LOCK_UN)
        finally:
            env.close()


def touch(path: str) -> None:
    """Renames a fresh table over `lmdb:PATH`, which makes every Postfix process that has it open
    start anew before its next session."""
    new = f"{path}.new.lmdb"
    if os.path.exists(new):
        os.unlink(new)
    LmdbTable(f"{path}.new").apply({})
    os.rename(new, f"{path}.lmdb")
