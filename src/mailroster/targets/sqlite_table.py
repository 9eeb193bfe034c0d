"""A table of Dovecot's SQLite database: WAL, one short transaction a change.

Plain sqlite3, since SQLAlchemy would double the start-up of every edit.
"""

import os
import sqlite3
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
    `-wal` and `-shm`, which it must when it recovers after a killed writer."""

    def __init__(self, path: str, shape: Shape) -> None:
        self._path, self._shape = path, shape

    def is_there(self) -> bool:
        return os.path.exists(self._path)

    def read(self) -> Rows:
        if not self.is_there():
            return {}
        columns = ", ".join(self._shape.columns())
        connection = self._connect()
        try:
            rows = connection.execute(f"SELECT {columns} FROM {self._shape.table}")
            make = self._shape.row._make
            return {key: make(fields) for key, *fields in rows}
        finally:
            connection.close()

    def apply(self, changes: Changes) -> None:
        shape = self._shape
        marks = ", ".join("?" * len(shape.columns()))
        put = [(key, *row) for key, row in changes.items() if row is not None]
        drop = [(key,) for key, row in changes.items() if row is None]
        connection = self._connect()
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"DELETE FROM {shape.table} WHERE {shape.key} = ?", drop)
            connection.executemany(f"INSERT OR REPLACE INTO {shape.table} VALUES ({marks})", put)
            connection.execute("COMMIT")
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        fresh = not self.is_there()
        if fresh:
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            os.chmod(self._path, 0o660)
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        connection.execute("PRAGMA synchronous = NORMAL")
        if fresh:
            connection.execute("PRAGMA journal_mode = WAL")
        for shape in (ACCOUNT, MASTER) if fresh else ():
            columns = ", ".join(f"{name} TEXT" for name in shape.row._fields)
            definition = f"{shape.key} TEXT PRIMARY KEY, {columns}"
            connection.execute(f"CREATE TABLE {shape.table} ({definition}) WITHOUT ROWID")
        return connection
