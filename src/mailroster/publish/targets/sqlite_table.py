"""A table of Dovecot's SQLite database: WAL, one short transaction for each change.

It uses plain sqlite3, as SQLAlchemy would double the start-up time of every edit.

The schema of a database in use never changes: each connection of Dovecot would fail one lookup
(SQLITE_SCHEMA, as its driver calls sqlite3_prepare and not the _v2). A database with another schema
is rebuilt in a new file, like one that is lost or damaged.
"""

import errno
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from mailroster.publish.tables.table import Changes, Row, Rows
from mailroster.publish.targets import FillResult
from mailroster.publish.targets.sqlite_file import (
    SqliteFile,
    definitions,
    empty_log,
    user_version,
)
from mailroster.servers.config.dovecot.schema import SHAPES, Shape
from mailroster.system.files import Disk, identity

if TYPE_CHECKING:
    from sqlite3 import Connection

    from mailroster.publish.targets.ordered_fill import Item


_WINDOW_ROWS = 20_000
_INSERT_ROWS = 500
_LARGE_WAL_BYTES = 64 << 20


class SqliteTable:
    """One table of the database at a path.

    When a damaged database is rebuilt, its other tables are empty: fill the accounts first.
    """

    visible_at = 0.0  # at once

    def __init__(self, path: str, shape: Shape, disk: Disk | None = None) -> None:
        self._file, self._shape = SqliteFile(path, disk or Disk()), shape

    def is_there(self) -> bool:
        try:
            return self._shape.version_in(self._file.user_version()) == self._shape.version
        except OSError:
            return False

    def damage(self) -> str:
        try:
            damage = self._file.damage(self._shape.table)
            return damage or ("" if self._fits() else "it is of another version")
        except OSError as error:
            return error.strerror or str(error)

    def mark(self) -> tuple[int, ...]:
        """Only the inode: Dovecot copies the log into the file at any time."""
        return identity(self._file.path)[:1]

    def read(self) -> Rows:
        if not self._file.exists() or not self._fits():
            return {}
        make = self._shape.row._make
        return {key: make(row) for key, row in self._rows()}

    def apply(self, changes: Changes) -> None:
        rows = [(key, row) for key, row in changes.items() if row is not None]
        if not self._file.exists():
            self.fill(rows)
            return
        shape = self._shape
        self._file.disk.step(self._file.path)
        with self._file.connect() as connection:
            if not _fits(connection):
                raise OSError(errno.EIO, "the tables are of another version", self._file.path)
            with self._file.transaction(connection):
                removed = ((key,) for key, row in changes.items() if row is None)
                connection.executemany(f"DELETE FROM {shape.table} WHERE {shape.key} = ?", removed)
                _insert(connection, shape, rows)

    def fill(self, rows: "Iterable[Item]", *, is_sorted: bool = False) -> FillResult:
        from mailroster.publish.targets.ordered_fill import fill_in_place, in_order

        given = iter(rows) if is_sorted else in_order(rows)
        damaged = self._file.damage(self._shape.table)
        if damaged or not self._fits():
            return self._build(given, salvage=not damaged)
        result = fill_in_place(given, self._rows(), self.apply)
        with self._file.connect() as connection:
            old = user_version(connection)
            new = self._shape.updated(old)
            if new != old:
                with self._file.transaction(connection):
                    connection.execute(f"PRAGMA user_version = {new}")
            if new != old or self._file.log_bytes() > _LARGE_WAL_BYTES:
                empty_log(connection)  # `is_there` reads the version from the file
        return result

    def _fits(self) -> bool:
        with self._file.connect() as connection:
            return _fits(connection)

    def _build(self, given: "Iterator[Item]", *, salvage: bool) -> FillResult:
        """Builds the database in a new file, which replaces the old one. `salvage`: copies the
        other tables."""
        new = SqliteFile(f"{self._file.path}.new", self._file.disk)
        new.create()
        with new.connect(log=False) as connection:
            if salvage:
                connection.execute("ATTACH DATABASE ? AS old", (self._file.path,))
            with new.transaction(connection):
                count = self._make_tables(connection, given, salvage=salvage)
            if salvage:
                connection.execute("DETACH DATABASE old")
            connection.execute("PRAGMA journal_mode = WAL")
        self._file.replace(new)
        return FillResult(count, [], replaced=True)

    def _make_tables(
        self, connection: "Connection", given: "Iterator[Item]", *, salvage: bool
    ) -> int:
        """Makes all tables and fills this one; returns the number of its rows."""
        version = self._shape.updated(0)
        old = definitions(connection, "old.sqlite_master") if salvage else {}
        for shape in SHAPES:
            connection.execute(shape.definition())
            if shape != self._shape and old.get(shape.table) == shape.definition():
                rows = f"SELECT * FROM old.{shape.table}"
                connection.execute(f"INSERT INTO main.{shape.table} {rows}")
                if shape.version_in(user_version(connection, "old")) == shape.version:
                    version = shape.updated(version)
        count = _insert(connection, self._shape, given)
        connection.execute(f"PRAGMA main.user_version = {version}")
        return count

    def _rows(self) -> "Iterator[Item]":
        """Every row in order, read in parts, so that the log can be emptied in between."""
        shape, last = self._shape, ""
        columns = ", ".join(shape.columns())
        rest = f"WHERE {shape.key} > ? ORDER BY {shape.key} LIMIT {_WINDOW_ROWS}"
        with self._file.connect() as connection:
            query = f"SELECT {columns} FROM {shape.table} {rest}"
            while part := connection.execute(query, (last,)).fetchall():
                for key, *row in part:
                    yield key, tuple(row)
                last = part[-1][0]


def _fits(connection: "Connection") -> bool:
    """Whether all tables have this program's columns, and none is filled with another version."""
    tables, version = definitions(connection), user_version(connection)
    return all(
        tables.get(shape.table) == shape.definition()
        and shape.version_in(version) in (0, shape.version)
        for shape in SHAPES
    )


def _insert(connection: "Connection", shape: Shape, rows: Iterable[tuple[str, Row]]) -> int:
    """Inserts or replaces rows; returns their number.

    Most columns are None in all rows of a part, and left out: with all columns an insert takes
    three times as long, 0.2 us for each None.
    """
    iterator, count = iter(rows), 0
    while part := list(islice(iterator, _INSERT_ROWS)):
        keys, values = zip(*part, strict=True)
        columns = zip(shape.columns(), (keys, *zip(*values, strict=True)), strict=True)
        used = {name: column for name, column in columns if column.count(None) < len(part)}
        names, marks = ", ".join(used), ", ".join("?" * len(used))
        insert = f"INSERT OR REPLACE INTO main.{shape.table} ({names}) VALUES ({marks})"
        count += connection.executemany(insert, zip(*used.values(), strict=True)).rowcount
    return count
