"""A Postfix lmdb table, changed in place under the lock that Postfix takes.

Postfix locks with fcntl(2) on the file, not with LMDB's own lock. The environment is opened first
and closed last: a process loses its lock when it closes any descriptor of the file. Keys and values
end in NUL, as postmap(1) writes them (lmdb_table(5)).
"""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from mailroster.publish.tables.table import Changes, Row, Rows
from mailroster.publish.targets import FillResult
from mailroster.publish.targets.lmdb_file import check, walk
from mailroster.system import file_lock
from mailroster.system.files import ABSENT, Disk, identity

if TYPE_CHECKING:
    from mailroster.publish.targets.ordered_fill import Item

_MAP_MIN_BYTES = 1 << 24  # Postfix's lmdb_map_size
_WINDOW_ROWS = 20_000
_BUILD_ROWS = 50_000
_FULL_BYTES = 1 << 20


class LmdbTable:
    """`lmdb:PATH`, in the file PATH.lmdb. `mode`: another one if the table holds secrets.

    The group of the file is that of the folder, by its set-group-id bit: Postfix's.
    """

    visible_at = 0.0  # at once

    def __init__(self, path: str, disk: Disk | None = None, mode: int = 0o640) -> None:
        self._mode = mode
        self._file, self._new = f"{path}.lmdb", f"{path}.new.lmdb"
        self._disk = disk or Disk()

    def is_there(self) -> bool:
        try:
            check(self._file)
        except OSError:
            return False
        return True

    def damage(self) -> str:
        try:
            check(self._file)
        except OSError as error:
            return error.strerror or str(error)
        return walk(self._file)

    def mark(self) -> tuple[int, ...]:
        return identity(self._file)

    def read(self) -> Rows:
        if self.mark() == ABSENT:
            return {}
        if damage := self.damage():
            raise OSError(errno.EIO, damage, self._file)
        return dict(self._rows())

    def apply(self, changes: Changes) -> None:
        if self.mark() == ABSENT:
            self.fill((key, row) for key, row in changes.items() if row is not None)
            return
        self._disk.step(self._file)
        check(self._file)
        with self._environment(self._file) as env, open(self._file, "r+b") as file:
            file_lock.lock(file.fileno(), self._file)
            try:
                _commit(env, self._disk, self._file, sorted(changes.items()))
                # Pages that a transaction allocated and freed are counted, but not written.
                size = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
                if os.fstat(file.fileno()).st_size < size:
                    os.ftruncate(file.fileno(), size)
            finally:
                fcntl.lockf(file, fcntl.LOCK_UN)
        self._disk.step(self._file)

    def fill(self, rows: "Iterable[Item]", *, is_sorted: bool = False) -> FillResult:
        from mailroster.publish.targets.ordered_fill import fill_in_place, in_order

        given = iter(rows) if is_sorted else in_order(rows)
        if self.damage():
            return self._build(given)
        return fill_in_place(given, self._rows(), self.apply)

    def renew(self) -> None:
        """Replaces the file by an empty one: every Postfix process that has the old one open ends
        before its next session, and Postfix starts a new process."""
        self._build(iter(()))

    def _build(self, given: "Iterator[Item]") -> FillResult:
        """Builds the table in a new file, which replaces the old one."""
        self._disk.step(self._new)
        if os.path.lexists(self._new):  # left by a crash
            self._disk.remove(self._new)
        count = 0
        with self._environment(self._new, sync=False) as env:
            os.chmod(self._new, self._mode)
            while part := list(islice(given, _BUILD_ROWS)):
                _commit(env, self._disk, self._new, part, append=True)
                count += len(part)
            _commit(env, self._disk, self._new, ())
            env.sync(True)
        self._disk.rename(self._new, self._file)
        self._disk.step(self._file)
        return FillResult(count, [], replaced=True)

    def _rows(self) -> "Iterator[Item]":
        """Every row in order, read in parts: a writer waits for one part only."""
        last = b""
        while part := self._window(last):
            for key, value in part:
                yield key[:-1].decode(), value[:-1].decode()
            last = part[-1][0]

    def _window(self, last: bytes) -> list[tuple[bytes, bytes]]:
        """The rows behind a key."""
        with self._environment(self._file, readonly=True) as env, open(self._file, "rb") as file:
            file_lock.lock(file.fileno(), self._file, shared=True)
            with env.begin() as transaction:
                cursor = transaction.cursor()
                has_row = cursor.set_range(last) if last else cursor.first()
                if has_row and cursor.key() == last:
                    has_row = cursor.next()
                return list(islice(cursor.iternext(), _WINDOW_ROWS)) if has_row else []

    @contextmanager
    def _environment(
        self, path: str, *, readonly: bool = False, sync: bool = True
    ) -> Iterator[Any]:
        """An environment whose errors are OSErrors."""
        import lmdb  # 1 ms, which an edit without a change for Postfix need not pay

        size = max(_MAP_MIN_BYTES, 2 * identity(path).size)
        try:
            env = lmdb.open(
                path, subdir=False, lock=False, readonly=readonly, map_size=size, sync=sync,
                mode=self._mode,
            )  # fmt: skip
            try:
                yield env
            finally:
                env.close()
        except lmdb.Error as error:
            raise OSError(_number(error.code, path), str(error), path) from error


def _commit(
    env: Any,
    disk: Disk,
    path: str,
    rows: Sequence[tuple[str, Row | None]],
    *,
    append: bool = False,
) -> None:
    """Writes rows in one transaction. The map grows when it is full."""
    import lmdb

    removed = [_raw(key) for key, value in rows if value is None]
    puts = [(_raw(key), _raw(str(value))) for key, value in rows if value is not None]
    while True:
        try:
            with env.begin(write=True) as transaction:
                for key in removed:
                    transaction.delete(key)
                transaction.cursor().putmulti(puts, append=append)
                disk.step(path)
            return
        except lmdb.MapFullError:
            env.set_mapsize(2 * env.info()["map_size"])


def _raw(text: str) -> bytes:
    return text.encode() + b"\0"


def _number(code: int, path: str) -> int:
    """The errno of an LMDB error. LMDB reports EIO for a partial write on a full disk."""
    if code == errno.EIO:
        disk = os.statvfs(os.path.dirname(path) or ".")
        if disk.f_bavail * disk.f_frsize < _FULL_BYTES:
            return errno.ENOSPC
    return code if code in errno.errorcode else errno.EIO
