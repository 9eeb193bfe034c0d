"""When, by which protocol and from where each app password was last used: a small database that
only root can open. It can be deleted at any time."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from mailroster.base.layout import Layout
from mailroster.system.files import is_own

_WAIT_S = 5.0
_TABLE = """\
CREATE TABLE IF NOT EXISTS last_use
(key TEXT PRIMARY KEY, time TEXT, service TEXT, remote TEXT) WITHOUT ROWID"""


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


def recorded(layout: Layout) -> dict[str, Use]:
    """The last use of each key; empty if none is recorded, or if only root can read them."""
    if not is_own(layout.last_use):
        return {}
    import sqlite3

    try:
        connection = sqlite3.connect(f"file:{layout.last_use}?mode=ro", timeout=_WAIT_S, uri=True)
        try:
            rows = connection.execute("SELECT key, time, service, remote FROM last_use").fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return {}
    return {key: Use(*words) for key, *words in rows}
