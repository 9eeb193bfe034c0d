"""When, by which protocol and from where each app password was last used: a small database that
only root can open. It can be deleted at any time."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from mailroster.base.layout import Layout
from mailroster.servers.config.dovecot.schema import APP_DIGITS, APP_PASSWORD
from mailroster.system.files import is_own

if TYPE_CHECKING:
    from sqlite3 import Connection

_WAIT_S = 5.0
_TABLE = """\
CREATE TABLE IF NOT EXISTS last_use
(key TEXT PRIMARY KEY, time TEXT, service TEXT, remote TEXT) WITHOUT ROWID"""
_SERVED = "SELECT 1 FROM app_password WHERE key >= ? AND key < ? AND substr(key, ?) = ?"


class Use(NamedTuple):
    """One login. `time` is YYYY-MM-DDThh:mm:ssZ, `service` one of base.services.SERVICES."""

    time: str
    service: str
    remote: str


def key(address: str, app: str) -> str:
    """The key of an app password: `app` is the end of its digest, as Dovecot reports it."""
    return f"{address}|{app}"


def record(layout: Layout, uses: Mapping[str, Use]) -> None:
    """Records the last use of each key. Raises OSError."""
    import sqlite3

    rows = [(key, *use) for key, use in uses.items()]
    try:
        if os.path.lexists(layout.last_use) and not is_own(layout.last_use):
            os.unlink(layout.last_use)
        connection = sqlite3.connect(layout.last_use, timeout=_WAIT_S)
        try:
            os.chmod(layout.last_use, 0o600)
            with connection:
                connection.execute(_TABLE)
                insert = "INSERT OR REPLACE INTO last_use VALUES (?, ?, ?, ?)"
                connection.executemany(insert, rows)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            os.unlink(layout.last_use)  # the next record makes another
        raise OSError(str(error)) from error


def prune(layout: Layout) -> int:
    """Removes the uses of app passwords that no longer exist in Dovecot's database, and returns
    their number. Does nothing while that database lacks the table. Raises OSError."""
    if not is_own(layout.last_use) or not is_own(layout.database):
        return 0
    import sqlite3

    try:
        uses, served = _connection(layout.last_use, "rw"), _connection(layout.database, "ro")
        try:
            (version,) = served.execute("PRAGMA user_version").fetchone()
            if APP_PASSWORD.version_in(version) != APP_PASSWORD.version:
                return 0
            keys = [name for (name,) in uses.execute("SELECT key FROM last_use")]
            stale = [(name,) for name in keys if not _is_served(served, name)]
            with uses:
                uses.executemany("DELETE FROM last_use WHERE key = ?", stale)
            return len(stale)
        finally:
            uses.close()
            served.close()
    except sqlite3.Error as error:
        raise OSError(str(error)) from error


def _is_served(served: "Connection", name: str) -> bool:
    """Whether Dovecot's database has the app password of a key."""
    address, _, app = name.rpartition("|")
    below = f"{address}{chr(ord('|') + 1)}"  # behind all keys of the account
    row = served.execute(_SERVED, (f"{address}|", below, -APP_DIGITS, app)).fetchone()
    return row is not None


def _connection(path: str, mode: str) -> "Connection":
    import sqlite3
    from urllib.parse import quote

    url = f"file:{quote(path)}?mode={mode}"
    connection = sqlite3.connect(url, timeout=_WAIT_S, uri=True)
    connection.execute("PRAGMA trusted_schema = OFF")  # another user may write it
    return connection


def recorded(layout: Layout) -> dict[str, Use]:
    """The last use of each key; empty if none is recorded, or if only root can read them."""
    if not is_own(layout.last_use):
        return {}
    import sqlite3

    try:
        connection = _connection(layout.last_use, "ro")
        try:
            rows = connection.execute("SELECT key, time, service, remote FROM last_use").fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return {}
    return {key: Use(*words) for key, *words in rows}
