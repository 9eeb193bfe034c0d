"""The database of blocked clients, which a passdb of Dovecot reads before all others. The listener
for reports of logins and `setup block` write it; nothing in the config folder does.

A database of its own: it is written while `roster.db` may be locked or rebuilt. Times are
`YYYY-MM-DD hh:mm:ss`, UTC, as SQLite's datetime('now') writes them. docs/reference/tables.md has
the columns.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from mailroster.base.address import split
from mailroster.base.client_network import key
from mailroster.base.layout import Layout
from mailroster.base.spelling import globs
from mailroster.publish.targets.sqlite_file import SqliteFile, definitions
from mailroster.servers.config.dovecot.blocks import EVERY_ACCOUNT, TABLES
from mailroster.system.files import Disk

if TYPE_CHECKING:
    from sqlite3 import Connection

_TIME = "%Y-%m-%d %H:%M:%S"
#: For a block of an administrator without an end.
NEVER = "9999-12-31 23:59:59"
#: Ended blocks are kept for so long: the next one in a row is longer.
_KEPT_S = 3 * 86_400
#: No automatic block ends later than this.
_LATEST_S = 2 * 86_400
#: A client is known to an account for so long after a login, and an account has at most so many.
KNOWN_S, KNOWN_MAX = 90 * 86_400, 50
#: The `in_a_row` of a client that an administrator has unblocked.
FORGIVEN = -1
#: Clients of networks that are never blocked are known to every account.
EVERYWHERE_MAX = 10_000


class BlockRow(NamedTuple):
    """A blocked client. `author` is "" for an automatic block. `in_a_row`: how many automatic
    blocks it had so far."""

    client: str  # as client_network.network writes it
    since: str
    until: str
    author: str
    in_a_row: int


class ClosedRow(NamedTuple):
    """An account that is closed to clients that have never logged in to it."""

    account: str
    since: str
    until: str


class Login(NamedTuple):
    """A successful login: `client` is known to `account` from now on."""

    account: str
    client: str


class BlockTable:
    """The database of an instance. Every method raises OSError."""

    def __init__(self, layout: Layout) -> None:
        self._file = SqliteFile(layout.blocks, Disk())

    def exists(self) -> bool:
        return self._file.exists()

    def ensure(self) -> bool:
        """Makes an empty database if it is missing, damaged or of another version; whether it did.
        Dovecot opens it at its next start."""
        if not self._file.damage(""):
            with self._file.connect() as connection:
                tables = definitions(connection)
            if all(tables.get(name) == sql for name, sql in TABLES.items()):
                return False
        new = SqliteFile(f"{self._file.path}.new", self._file.disk)
        new.create()
        with new.connect(log=False) as connection:
            for sql in TABLES.values():
                connection.execute(sql)
            connection.execute("PRAGMA journal_mode = WAL")
        self._file.replace(new)
        return True

    def blocks(self) -> list[BlockRow]:
        """All blocks, also those that have ended."""
        with self._reading() as connection:
            query = (
                "SELECT client, since, until, author, in_a_row FROM block ORDER BY since, client"
            )
            return [BlockRow(*row) for row in connection.execute(query)]

    def closed(self) -> list[ClosedRow]:
        with self._reading() as connection:
            query = "SELECT account, since, until FROM closed ORDER BY since, account"
            return [ClosedRow(*row) for row in connection.execute(query)]

    def write(
        self,
        now: float,
        blocks: Iterable[BlockRow] = (),
        closed: Iterable[ClosedRow] = (),
        logins: Iterable[Login] = (),
        *,
        forgets: bool = False,
    ) -> set[str]:
        """Adds rows in one transaction, and removes old ones, but not the blocks of an
        administrator: the clock may be wrong. An automatic block never shortens another block.
        `forgets`: for the listener, which gets the clients that were unblocked since its last call.
        No block of these is added."""
        with self._file.connect() as connection, self._file.transaction(connection):
            forgiven = _take_forgiven(connection) if forgets else set()
            for row in blocks:
                if row.client not in forgiven:
                    connection.execute(_BLOCK, (key(row.client), *row))
            for closing in closed:
                connection.execute("INSERT OR REPLACE INTO closed VALUES (?, ?, ?)", closing)
                domain = split(closing.account)[1]
                if patterns := globs(domain) if "xn--" in domain else []:
                    spelling = (domain, *patterns, None)[:3]
                    connection.execute("INSERT OR REPLACE INTO spelling VALUES (?, ?, ?)", spelling)
            for login in logins:
                row_of_login = (login.account, key(login.client), text_of(now))
                connection.execute("INSERT OR REPLACE INTO known VALUES (?, ?, ?)", row_of_login)
                most = EVERYWHERE_MAX if login.account == EVERY_ACCOUNT else KNOWN_MAX
                connection.execute(_FEWER, (login.account, login.account, most))
            old = text_of(now - _KEPT_S)
            late = text_of(now + _LATEST_S)  # the clock has gone back since
            connection.execute("DELETE FROM block WHERE author = '' AND until > ?", (late,))
            connection.execute("DELETE FROM closed WHERE until > ?", (late,))
            connection.execute("DELETE FROM block WHERE author = '' AND until < ?", (old,))
            connection.execute("DELETE FROM closed WHERE until < ?", (old,))
        return forgiven

    def tidy(self, now: float) -> None:
        """Removes ended blocks of administrators, and clients that have not logged in for a long
        time. Only for a clock that is right."""
        with self._file.connect() as connection, self._file.transaction(connection):
            connection.execute("DELETE FROM block WHERE until < ?", (text_of(now - _KEPT_S),))
            connection.execute("DELETE FROM known WHERE time < ?", (text_of(now - KNOWN_S),))

    def remove(self, client: str) -> bool:
        """Unblocks a client; whether it had a block that has not ended. The row stays until the
        listener has seen that the client is forgiven."""
        with self._file.connect() as connection, self._file.transaction(connection):
            return bool(connection.execute(_FORGIVE, (FORGIVEN, key(client))).rowcount)

    @contextmanager
    def _reading(self) -> "Iterator[Connection]":
        with self._file.connect() as connection:
            yield connection


def _take_forgiven(connection: "Connection") -> set[str]:
    """Removes the rows of unblocked clients; the clients."""
    query = "SELECT client FROM block WHERE in_a_row = ?"
    clients = {client for (client,) in connection.execute(query, (FORGIVEN,))}
    if clients:
        connection.execute("DELETE FROM block WHERE in_a_row = ?", (FORGIVEN,))
    return clients


_BLOCK = """\
INSERT INTO block (key, client, since, until, author, in_a_row) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
since = CASE WHEN until > datetime('now') AND excluded.author = '' THEN since
ELSE excluded.since END,
until = CASE WHEN excluded.author = '' THEN max(until, excluded.until) ELSE excluded.until END,
author = CASE WHEN until > datetime('now') AND excluded.author = '' THEN author
ELSE excluded.author END,
in_a_row = max(in_a_row, excluded.in_a_row)"""
_FORGIVE = """\
UPDATE block SET until = datetime('now', '-1 second'), in_a_row = ?
WHERE key = ? AND until > datetime('now')"""
_FEWER = """\
DELETE FROM known WHERE account = ? AND key NOT IN
(SELECT key FROM known WHERE account = ? ORDER BY time DESC LIMIT ?)"""


def text_of(moment: float) -> str:
    """A time in seconds as the database has it."""
    return time.strftime(_TIME, time.gmtime(moment))


def moment_of(text: str) -> float:
    """The time in seconds of a time of the database; for a damaged one, the time 0."""
    import calendar

    try:
        return float(calendar.timegm(time.strptime(text, _TIME)))
    except (ValueError, OverflowError):
        return 0.0
