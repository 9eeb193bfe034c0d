"""The record of the last use of app passwords."""

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.daemons import last_uses
from mailroster.daemons.login_reports import LoginReport
from mailroster.servers.config.dovecot.schema import APP_PASSWORD
from mailroster.servers.last_use import Use, key, prune, record, recorded
from tests.support.instance import until

USE = Use("2026-11-30T21:04:12Z", "imap", "192.0.2.1")
PHONE, TABLET, BOB = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A state folder whose name has characters that have a meaning in a URL."""
    layout = Layout(str(tmp_path / "a?b%20#c"))
    for path in (layout.last_use, layout.database):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    return layout


def serve(layout: Layout, *keys: str, version: int = APP_PASSWORD.version) -> None:
    """Dovecot's database with these app passwords."""
    with sqlite3.connect(layout.database) as database:
        database.execute(APP_PASSWORD.definition())
        insert = "INSERT INTO app_password (key) VALUES (?)"
        database.executemany(insert, [(key,) for key in keys])
        database.execute(f"PRAGMA user_version = {version * APP_PASSWORD.unit}")
    database.close()


def test_uses_of_what_no_longer_exists_are_removed(layout: Layout) -> None:
    names = [
        key("a@x.com", PHONE[-16:]), key("a@x.com", TABLET[-16:]), key("bob@x.com", BOB[-16:]),
        key("a@x.co", PHONE[-16:]),
    ]  # fmt: skip
    record(layout, dict.fromkeys(names, USE))
    serve(layout, f"a@x.com|{PHONE}", f"bob@x.com|{PHONE}", f"a@x.com.example|{TABLET}")
    assert prune(layout) == 3
    assert recorded(layout) == {names[0]: USE}
    assert prune(layout) == 0


def test_nothing_is_removed_while_the_table_is_missing_or_of_another_version(
    layout: Layout,
) -> None:
    record(layout, {key("a@x.com", PHONE[-16:]): USE})
    assert prune(layout) == 0
    Path(layout.database).write_bytes(b"x" * 5000)
    with pytest.raises(OSError, match="not a database"):
        prune(layout)
    Path(layout.database).unlink()
    serve(layout, version=APP_PASSWORD.version + 1)
    assert prune(layout) == 0
    assert len(recorded(layout)) == 1


def test_no_record_is_made_by_a_look(layout: Layout) -> None:
    serve(layout)
    assert prune(layout) == 0
    assert recorded(layout) == {}
    assert not os.path.lexists(layout.last_use)


def test_the_listener_removes_them_now_and_then(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_uses, "_PAUSE_S", 0.01)
    monkeypatch.setattr(last_uses, "_FIRST_PRUNE_S", 0.0)
    monkeypatch.setattr(last_uses, "_PRUNE_S", 0.0)
    serve(layout, f"a@x.com|{PHONE}")

    async def run() -> None:
        stop, uses = asyncio.Event(), last_uses.LastUses(layout)
        writing = asyncio.ensure_future(uses.write(stop))
        for digest in (PHONE, TABLET):
            uses.take(LoginReport("a@x.com", "imap", "192.0.2.1", True, digest[-16:], ""))
        name = key("a@x.com", PHONE[-16:])
        await asyncio.to_thread(until, lambda: [*recorded(layout)] == [name], 30)
        stop.set()
        await writing

    asyncio.run(run())
