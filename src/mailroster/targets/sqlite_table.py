"""A table of Dovecot's SQLite database: WAL, one short transaction a change.

Plain sqlite3, since SQLAlchemy would double the start-up of every edit.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from mailroster.compile.dovecot import AccountRow, MasterRow
from mailroster.tables import Changes, Rows


class Shape(NamedTuple):
    """A table's name, the name of its key, and the class of its rows: their fields are columns."""

    table: str
    key: str
    row: type[AccountRow] | type[MasterRow]

    def columns(self) -> tuple[str, ...]:
        return (self.key, *self.row._fields)


ACCOUNT = Shape("account", "address", AccountRow)
MASTER = Shape("master", "name", MasterRow)


class SqliteTable:
    """One table of the database at a path; a file is made with mode 0660, for Dovecot to write
    `-wal` and `-shm`, which it must when it recovers after a killed writer. Raises OSError for a
    database that can't be used."""

    def __init__(self, path: str, shape: Shape) -> None:
        self._path, self._shape = path, shape

    def is_there(self) -> bool:
        return os.path.exists(self._path)

    def read(self) -> Rows:
        if not self.is_there():
            return {}
        columns = ", ".join(self._shape.columns())
        with self._connected() as connection:
            rows = connection.execute(f"SELECT {columns} FROM {self._shape.table}")
            make = self._shape.row._make
            return {key: make(fields) for key, *fields in rows}

    def apply(self, changes: Changes) -> None:
        shape = self._shape
        marks = ", ".join("?" * len(shape.columns()))
        put = [(key, *row) for key, row in changes.items() if row is not None]
        drop = [(key,) for key, row in changes.items() if row is None]
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"DELETE FROM {shape.table} WHERE {shape.key} = ?", drop)
            connection.executemany(f"INSERT OR REPLACE INTO {shape.table} VALUES ({marks})", put)
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection to a database that has all its tables, whatever a crash has left of it."""
        if not self.is_there():
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            os.chmod(self._path, 0o660)
        try:
            connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                for shape in (ACCOUNT, MASTER):
                    columns = ", ".join(f"{name} TEXT" for name in shape.row._fields)
                    definition = f"{shape.key} TEXT PRIMARY KEY, {columns}"
                    table = f"IF NOT EXISTS {shape.table} ({definition}) WITHOUT ROWID"
                    connection.execute(f"CREATE TABLE {table}")
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise OSError(errno.EIO, str(error), self._path) from error
