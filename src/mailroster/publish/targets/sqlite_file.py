"""The file of an SQLite database that user dovecot may write: opened, checked and replaced."""

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mailroster.system.files import Disk, identity, is_own

if TYPE_CHECKING:
    from sqlite3 import Connection

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES, _VERSION_AT = 100, 60  # sqlite.org/fileformat: user_version, four octets
_PAGE_BYTES_AT, _PAGES_AT = 16, 28
#: For a lock of another process: user dovecot can write the database, and so lock it.
_WAIT_S = 10
_SUFFIXES = ("-wal", "-shm", "-journal")
#: The errno of SQLite's result codes; all others are EIO.
_ERRNO = {3: errno.EACCES, 5: errno.EBUSY, 8: errno.EROFS, 13: errno.ENOSPC, 14: errno.EACCES}


class SqliteFile:
    """The database at a path."""

    def __init__(self, path: str, disk: Disk) -> None:
        self.path, self.disk = path, disk

    def exists(self) -> bool:
        """Whether there is a database. A crash may leave an empty file. A file of another user does
        not count: user dovecot may write to the folder."""
        return is_own(self.path) and identity(self.path).size > 0

    def user_version(self) -> int:
        """`user_version`, from the first bytes of the file. Raises OSError if the file is missing,
        no database, or truncated."""
        self._check_owner()
        with open(self.path, "rb") as file:
            head = file.read(_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
        if len(head) < _HEADER_BYTES or not head.startswith(_MAGIC):
            raise OSError(errno.EIO, "not a database", self.path)
        page_bytes = struct.unpack_from(">H", head, _PAGE_BYTES_AT)[0]
        pages, version = (struct.unpack_from(">I", head, at)[0] for at in (_PAGES_AT, _VERSION_AT))
        # Pages that are in the log only may be missing in the file.
        if size < pages * page_bytes and not self.log_bytes():
            raise OSError(errno.EIO, "the file is truncated", self.path)
        return int(version)

    def log_bytes(self) -> int:
        """The size of the write-ahead log."""
        return identity(f"{self.path}-wal").size

    def damage(self, table: str) -> str:
        """The damage of the database, and of the rows of a table if there is one; "" for none."""
        if not self.exists():
            return "there is none"
        try:
            self.user_version()
            with self.connect() as connection:
                result = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
                if result == "ok" and table in definitions(connection):
                    for _ in connection.execute(f"SELECT * FROM {table}"):
                        pass  # decodes each text
            return "" if result == "ok" else result
        except OSError as error:
            if error.errno not in (errno.EIO, errno.ENOENT):
                raise
            return error.strerror or str(error)

    @contextmanager
    def connect(self, *, log: bool = True) -> Iterator["Connection"]:
        """A connection to an existing file, whose errors are OSErrors. Without a log nothing is
        crash-safe: for a new file without readers."""
        import sqlite3  # 4 ms, which an edit without a change for Dovecot need not pay

        try:
            self._check_owner()
            self._remove_links()
            connection = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
            try:
                # User dovecot may write the schema: it must not make us run functions.
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute(f"PRAGMA journal_mode = {'WAL' if log else 'OFF'}")
                connection.execute(f"PRAGMA synchronous = {'NORMAL' if log else 'OFF'}")
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            number = _ERRNO.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, errno.EIO)
            raise OSError(number, str(error), self.path) from error

    @contextmanager
    def transaction(self, connection: "Connection") -> Iterator[None]:
        """Commits at the end of the block. After an error the connection rolls back when it
        closes."""
        connection.execute("BEGIN IMMEDIATE")
        yield
        self.disk.step(self.path)
        connection.execute("COMMIT")
        self.disk.step(self.path)

    def create(self) -> None:
        """Makes an empty file, and removes what a crash has left at its path. Mode 0660: Dovecot
        must write `-wal` and `-shm` when it recovers after a killed writer."""
        self.disk.step(self.path)
        for suffix in ("", *_SUFFIXES):
            self._remove(suffix)
        self.disk.create(self.path, b"", 0o660, None)

    def replace(self, new: "SqliteFile") -> None:
        """Replaces the database by a new one. First removes the old log, which SQLite would use for
        the new database."""
        fd = os.open(new.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.disk.sync(fd)
        finally:
            os.close(fd)
        for suffix in _SUFFIXES:
            self._remove(suffix)
        self.disk.rename(new.path, self.path)
        self.disk.step(self.path)

    def _check_owner(self) -> None:
        if not is_own(self.path):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)

    def _remove(self, suffix: str) -> None:
        if os.path.lexists(self.path + suffix):
            self.disk.remove(self.path + suffix)

    def _remove_links(self) -> None:
        """Removes links in the place of the log, with which SQLite refuses to open the database."""
        for suffix in _SUFFIXES:
            if os.path.islink(self.path + suffix):
                self.disk.remove(self.path + suffix)


def user_version(connection: "Connection", database: str = "main") -> int:
    return int(connection.execute(f"PRAGMA {database}.user_version").fetchone()[0])


def definitions(connection: "Connection", master: str = "sqlite_master") -> dict[str, str]:
    """Table -> the SQL statement that made it."""
    return dict(connection.execute(f"SELECT name, sql FROM {master} WHERE type = 'table'"))


def empty_log(connection: "Connection") -> None:
    """Copies the log into the database and truncates it, unless a reader uses it."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
