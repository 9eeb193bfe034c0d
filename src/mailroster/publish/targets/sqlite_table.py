"""A table of Dovecot's SQLite database: WAL, one short transaction a change.

Plain sqlite3, since SQLAlchemy would double the start-up of every edit.

The schema of a database in use never changes: each of Dovecot's connections would fail one lookup
(SQLITE_SCHEMA, as its driver calls sqlite3_prepare and not the _v2). A database of another form is
made anew beside its place, as one that is lost or damaged.
"""

import errno
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from mailroster.publish.tables.dovecot import AccountRow, MasterRow, SpellingRow
from mailroster.publish.tables.table import Changes, Row, Rows
from mailroster.publish.targets import Filled
from mailroster.system.files import Disk, identity, is_own

if TYPE_CHECKING:
    from sqlite3 import Connection

    from mailroster.publish.targets.ordered_fill import Item


class Shape(NamedTuple):
    """A table's name, the name of its key, and the class of its rows: their fields are columns.

    `version` is another as soon as what a row says is another, and counts in units of `unit` in
    the database's `user_version`, where each table has three digits; 0 is one never filled.
    """

    table: str
    key: str
    row: type[AccountRow] | type[MasterRow] | type[SpellingRow]
    version: int
    unit: int

    def columns(self) -> tuple[str, ...]:
        return (self.key, *self.row._fields)

    def definition(self) -> str:
        columns = ", ".join(f"{name} TEXT" for name in self.row._fields)
        return f"CREATE TABLE {self.table} ({self.key} TEXT PRIMARY KEY, {columns}) WITHOUT ROWID"

    def standing(self, user_version: int) -> int:
        """The version of the table in a database."""
        return user_version // self.unit % _VERSIONS

    def raised(self, user_version: int) -> int:
        """A `user_version` with this version of the table."""
        return user_version + (self.version - self.standing(user_version)) * self.unit


_VERSIONS = 1000
ACCOUNT = Shape("account", "address", AccountRow, version=2, unit=1)
MASTER = Shape("master", "name", MasterRow, version=1, unit=_VERSIONS)
SPELLING = Shape("spelling", "domain", SpellingRow, version=1, unit=_VERSIONS**2)
SHAPES = (ACCOUNT, MASTER, SPELLING)
#: `PRAGMA user_version` of a database whose tables are all of this program's form, and filled.
SCHEMA_VERSION = sum(shape.version * shape.unit for shape in SHAPES)

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES, _VERSION_AT = 100, 60  # sqlite.org/fileformat: user_version, four octets
_PAGE_BYTES_AT, _PAGES_AT = 16, 28
_WINDOW_ROWS = 20_000
_INSERT_ROWS = 500
#: For a lock of another process: Dovecot's user can write the database, and so lock it.
_WAIT_S = 10
_LARGE_WAL_BYTES = 64 << 20
_BESIDE = ("-wal", "-shm", "-journal")
#: The system's numbers of SQLite's result codes; all others are EIO.
_NUMBERS = {3: errno.EACCES, 5: errno.EBUSY, 8: errno.EROFS, 13: errno.ENOSPC, 14: errno.EACCES}


class SqliteTable:
    """One table of the database at a path.

    The file has mode 0660, for Dovecot to write `-wal` and `-shm`, which it must when it recovers
    after a killed writer. In a database that has to be made anew for its damage the other tables
    are empty: fill the accounts first.
    """

    def __init__(self, path: str, shape: Shape, disk: Disk | None = None) -> None:
        self._path, self._shape, self._disk = path, shape, disk or Disk()

    def is_there(self) -> bool:
        try:
            return self._shape.standing(self._header()) == self._shape.version
        except OSError:
            return False

    def damage(self) -> str:
        try:
            return self._damage() or ("" if self._fits() else "it is of another version")
        except OSError as error:
            return error.strerror or str(error)

    def mark(self) -> tuple[int, ...]:
        """Only which file it is: Dovecot copies the log into it at any time."""
        return identity(self._path)[:1]

    def read(self) -> Rows:
        if not self._exists() or not self._fits():
            return {}
        make = self._shape.row._make
        return {key: make(row) for key, row in self._standing()}

    def apply(self, changes: Changes) -> None:
        put = [(key, row) for key, row in changes.items() if row is not None]
        if not self._exists():
            self.fill(put)
            return
        shape = self._shape
        self._disk.step(self._path)
        with self._connected() as connection:
            if not _fits(connection):
                raise OSError(errno.EIO, "the tables are of another version", self._path)
            with self._transaction(connection):
                drop = ((key,) for key, row in changes.items() if row is None)
                connection.executemany(f"DELETE FROM {shape.table} WHERE {shape.key} = ?", drop)
                _insert(connection, shape, put)

    def fill(self, rows: "Iterable[Item]", *, is_sorted: bool = False) -> Filled:
        from mailroster.publish.targets.ordered_fill import in_order, put_in_place

        given = iter(rows) if is_sorted else in_order(rows)
        damaged = self._damage()
        if damaged or not self._fits():
            return self._build(given, salvage=not damaged)
        filled = put_in_place(given, self._standing(), self.apply)
        with self._connected() as connection:
            version = self._shape.raised(found := _user_version(connection))
            if version != found:
                with self._transaction(connection):
                    connection.execute(f"PRAGMA user_version = {version}")
            if version != found or identity(f"{self._path}-wal").size > _LARGE_WAL_BYTES:
                _empty_log(connection)  # `is_there` reads the version from the file
        return filled

    def _exists(self) -> bool:
        """A crash may leave an empty file, which is no database yet. One that another user has put
        there is none of ours: user dovecot may write to the folder."""
        return is_own(self._path) and identity(self._path).size > 0

    def _header(self) -> int:
        """`user_version` by the first bytes of the file. Raises OSError if it is no database, or
        was cut short."""
        if not is_own(self._path):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), self._path)
        with open(self._path, "rb") as file:
            head = file.read(_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
        if len(head) < _HEADER_BYTES or not head.startswith(_MAGIC):
            raise OSError(errno.EIO, "not a database", self._path)
        page_bytes = struct.unpack_from(">H", head, _PAGE_BYTES_AT)[0]
        pages, version = (struct.unpack_from(">I", head, at)[0] for at in (_PAGES_AT, _VERSION_AT))
        # What was not copied from the log yet is missing in the file.
        if size < pages * page_bytes and not identity(f"{self._path}-wal").size:
            raise OSError(errno.EIO, "the file was cut short", self._path)
        return int(version)

    def _fits(self) -> bool:
        with self._connected() as connection:
            return _fits(connection)

    def _damage(self) -> str:
        """As `damage`, but of whatever version the tables are."""
        if not self._exists():
            return "there is none"
        try:
            self._header()
            with self._connected() as connection:
                words = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
                if words == "ok" and self._shape.table in _definitions(connection):
                    for _ in connection.execute(f"SELECT * FROM {self._shape.table}"):
                        pass  # each text is decoded
            return "" if words == "ok" else words
        except OSError as error:
            if error.errno not in (errno.EIO, errno.ENOENT):
                raise
            return error.strerror or str(error)

    def _build(self, given: "Iterator[Item]", *, salvage: bool) -> Filled:
        """A new database beside, renamed over. The old one's log must be gone by then: SQLite would
        take it for the new one's. `salvage`: the other tables are taken over."""
        new = f"{self._path}.new"
        self._disk.step(new)
        for path in (new, *(new + end for end in _BESIDE)):
            self._remove(path)
        self._disk.create(new, b"", 0o660, None)
        with SqliteTable(new, self._shape, self._disk)._connected(log=False) as connection:
            if salvage:
                connection.execute("ATTACH DATABASE ? AS old", (self._path,))
            with self._transaction(connection):
                count = self._make(connection, given, salvage=salvage)
            if salvage:
                connection.execute("DETACH DATABASE old")
            connection.execute("PRAGMA journal_mode = WAL")
        fd = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._disk.sync(fd)
        finally:
            os.close(fd)
        for end in _BESIDE:
            self._remove(self._path + end)
        self._disk.rename(new, self._path)
        self._disk.step(self._path)
        return Filled(count, [], replaced=True)

    def _make(self, connection: "Connection", given: "Iterator[Item]", *, salvage: bool) -> int:
        """All tables, this one filled; with how many rows."""
        version = self._shape.raised(0)
        old = _definitions(connection, "old.sqlite_master") if salvage else {}
        for shape in SHAPES:
            connection.execute(shape.definition())
            if shape != self._shape and old.get(shape.table) == shape.definition():
                rows = f"SELECT * FROM old.{shape.table}"
                connection.execute(f"INSERT INTO main.{shape.table} {rows}")
                if shape.standing(_user_version(connection, "old")) == shape.version:
                    version = shape.raised(version)
        count = _insert(connection, self._shape, given)
        connection.execute(f"PRAGMA main.user_version = {version}")
        return count

    def _remove(self, path: str) -> None:
        if os.path.lexists(path):
            self._disk.remove(path)

    def _remove_links(self) -> None:
        """SQLite follows none for its log, and would refuse to open the database."""
        for end in _BESIDE:
            if os.path.islink(path := self._path + end):
                self._disk.remove(path)

    def _standing(self) -> "Iterator[Item]":
        """Every row in order, read a part at a time, so that the log can be emptied in between."""
        shape, last = self._shape, ""
        columns = ", ".join(shape.columns())
        rest = f"WHERE {shape.key} > ? ORDER BY {shape.key} LIMIT {_WINDOW_ROWS}"
        with self._connected() as connection:
            query = f"SELECT {columns} FROM {shape.table} {rest}"
            while part := connection.execute(query, (last,)).fetchall():
                for key, *row in part:
                    yield key, tuple(row)
                last = part[-1][0]

    @contextmanager
    def _transaction(self, connection: "Connection") -> Iterator[None]:
        """Undone, when the connection closes, unless it comes to its end."""
        connection.execute("BEGIN IMMEDIATE")
        yield
        self._disk.step(self._path)
        connection.execute("COMMIT")
        self._disk.step(self._path)

    @contextmanager
    def _connected(self, *, log: bool = True) -> Iterator["Connection"]:
        """A connection to the file that is there, whose faults are OSErrors. Without a log nothing
        is safe: for a file that nobody reads yet."""
        # Late, as many an edit changes no table of Dovecot; and not by sqlite3, which is the same
        # names and loads datetime: 2 ms, a twentieth of an edit.
        import _sqlite3 as sqlite3

        try:
            if not is_own(self._path):
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), self._path)
            self._remove_links()
            connection = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None)
            try:
                # User dovecot may write the schema, and gets no function run by it.
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute(f"PRAGMA journal_mode = {'WAL' if log else 'OFF'}")
                connection.execute(f"PRAGMA synchronous = {'NORMAL' if log else 'OFF'}")
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            number = _NUMBERS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, errno.EIO)
            raise OSError(number, str(error), self._path) from error


def _user_version(connection: "Connection", database: str = "main") -> int:
    return int(connection.execute(f"PRAGMA {database}.user_version").fetchone()[0])


def _definitions(connection: "Connection", master: str = "sqlite_master") -> dict[str, str]:
    """How each table was made."""
    return dict(connection.execute(f"SELECT name, sql FROM {master} WHERE type = 'table'"))


def _fits(connection: "Connection") -> bool:
    """Whether all tables have this program's form, and none says something else."""
    made, found = _definitions(connection), _user_version(connection)
    return all(
        made.get(shape.table) == shape.definition() and shape.standing(found) in (0, shape.version)
        for shape in SHAPES
    )


def _insert(connection: "Connection", shape: Shape, rows: Iterable[tuple[str, Row]]) -> int:
    """Puts rows; how many.

    Columns that no row of a part has set are left out, which are most: sqlite3 takes 0.2 us for
    each None, and with all columns three times as long.
    """
    waiting, count = iter(rows), 0
    while part := list(islice(waiting, _INSERT_ROWS)):
        keys, values = zip(*part, strict=True)
        columns = zip(shape.columns(), (keys, *zip(*values, strict=True)), strict=True)
        given = {name: column for name, column in columns if column.count(None) < len(part)}
        names, marks = ", ".join(given), ", ".join("?" * len(given))
        insert = f"INSERT OR REPLACE INTO main.{shape.table} ({names}) VALUES ({marks})"
        count += connection.executemany(insert, zip(*given.values(), strict=True)).rowcount
    return count


def _empty_log(connection: "Connection") -> None:
    """Copies the log into the database and cuts it, if no reader is in the way."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
