"""What follows from reports of logins: blocks and known clients in the database."""

import asyncio
import os
import sqlite3
import time
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, Sources, load
from mailroster.daemons.blocker import Blocker
from mailroster.daemons.login_reports import LoginReport
from mailroster.publish.block_table import NEVER, BlockRow, BlockTable, Login, text_of
from mailroster.servers.config.dovecot.blocks import EVERY_ACCOUNT

REPORT = LoginReport("A@X.com", "imap", "203.0.113.9", False, "", "0a3", name="a@x.com")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "sql").mkdir()
    layout = Layout(str(tmp_path))
    BlockTable(layout).ensure()
    return layout


def made(layout: Layout, never: str = "10.0.0.0/8") -> Settings:
    options = {"home": layout.state, "block_guessing": "1", "never_blocked": never}
    return load(Sources(options, {}, lambda path: b"", lambda path: True, node="mail.example.test"))


def after(layout: Layout, reports: list[LoginReport], never: str = "10.0.0.0/8") -> BlockTable:
    """The database after some reports."""

    async def run() -> None:
        blocker, stop = Blocker(made(layout, never), layout), asyncio.Event()
        writer = asyncio.ensure_future(blocker.write(stop))
        await asyncio.sleep(0.05)  # it reads earlier blocks first
        for report in reports:
            blocker.take(report)
        await asyncio.sleep(0.3)
        stop.set()
        await asyncio.wait_for(writer, 20)

    asyncio.run(run())
    return BlockTable(layout)


def guesses(count: int, report: LoginReport = REPORT) -> list[LoginReport]:
    return [report._replace(password_hash=f"{number:03x}") for number in range(count)]


def known(layout: Layout) -> list[tuple[str, str]]:
    with sqlite3.connect(layout.blocks) as connection:
        return connection.execute("SELECT account, key FROM known ORDER BY 1, 2").fetchall()


def test_five_guesses_block_a_client_and_four_do_not(layout: Layout) -> None:
    assert after(layout, guesses(4)).blocks() == []
    (row,) = after(layout, guesses(5)).blocks()
    assert (row.client, row.author, row.in_a_row) == ("203.0.113.9", "", 1)


def test_refused_logins_of_a_blocked_client_are_no_guesses(layout: Layout) -> None:
    blocked = REPORT._replace(is_blocked=True)
    assert after(layout, guesses(50, blocked)).blocks() == []


@pytest.mark.parametrize("remote", ["", "x", "203.0.113", "::g", "10.1.2.3", "::ffff:10.1.2.3"])
def test_no_address_and_a_network_that_is_never_blocked(layout: Layout, remote: str) -> None:
    assert after(layout, guesses(20, REPORT._replace(remote=remote))).blocks() == []


def test_a_client_is_known_to_the_account_or_to_the_master(layout: Layout) -> None:
    success = REPORT._replace(success=True)
    reports = [success, success, success._replace(master="Admin", remote="2001:db8::1")]
    after(layout, [*reports, success._replace(remote="10.0.0.7")])
    assert known(layout) == [
        (EVERY_ACCOUNT, "10.0.0.7:"), ("a@x.com", "203.0.113.9:"), ("admin", "2001:db8:0:0:"),
    ]  # fmt: skip


def test_many_clients_close_an_account(layout: Layout) -> None:
    reports = [
        REPORT._replace(remote=f"192.0.2.{number % 200}", password_hash=f"{number:03x}")
        for number in range(120)
    ]
    (row,) = after(layout, reports).closed()
    assert row.account == "a@x.com"


def test_a_wrong_password_of_a_master_counts_for_the_master(layout: Layout) -> None:
    reports = [
        REPORT._replace(
            login=f"{number}@x.com", name="admin", remote=f"192.0.2.{number}",
            password_hash=f"{number:03x}",
        )
        for number in range(120)
    ]  # fmt: skip
    assert [row.account for row in after(layout, reports).closed()] == ["admin"]


def test_blocks_of_networks_that_are_never_blocked_now_end_and_others_stay(layout: Layout) -> None:
    table = BlockTable(layout)
    rows = [
        BlockRow(client, text_of(0), text_of(time.time() + 3600), "", 1)
        for client in ("10.0.0.9", "192.0.2.9")
    ]
    rows.append(BlockRow("10.0.0.8", text_of(0), NEVER, "jane", 0))
    with sqlite3.connect(layout.blocks) as connection:
        for row in rows:
            connection.execute(
                "INSERT INTO block VALUES (?, ?, ?, ?, ?, ?)", (f"{row.client}:", *row)
            )
    connection.close()
    after(layout, [])
    left = {row.client for row in table.blocks() if row.in_a_row >= 0}
    assert left == {"192.0.2.9", "10.0.0.8"}


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the log."""
    lines = list[str]()
    monkeypatch.setattr("mailroster.daemons.blocker.log", lines.append)
    return lines


def test_each_block_is_logged_once(layout: Layout, logged: list[str]) -> None:
    after(layout, guesses(5))
    after(layout, guesses(9))  # in force already: it becomes longer
    assert len([line for line in logged if line.startswith("203.0.113.9 guesses")]) == 1
    end = BlockTable(layout).blocks()[0].until
    assert any("it is blocked until" in line and line.endswith(" UTC") for line in logged)
    assert end > text_of(time.time() + 600)
    assert logged[0] == (
        "clients that guess passwords are blocked (block_guessing), except those of "
        "never_blocked: 10.0.0.0/8"
    )


def test_a_closed_account_is_logged_once(layout: Layout, logged: list[str]) -> None:
    reports = [
        REPORT._replace(remote=f"192.0.2.{number}", password_hash=f"{number:03x}")
        for number in range(101)
    ]
    after(layout, reports[:100])
    (row,) = BlockTable(layout).closed()
    line = (
        f"many passwords of 'a@x.com' are guessed; until {row.until} UTC only clients that have "
        "logged in before may log in"
    )
    assert logged.count(line) == 1
    after(layout, reports[100:])
    assert sum("many passwords" in each for each in logged) == 1, "it is closed longer"


def insert(layout: Layout, table: str, *row: object) -> None:
    with sqlite3.connect(layout.blocks) as connection:
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)
    connection.close()


def test_after_a_restart_a_block_in_a_row_is_longer(layout: Layout) -> None:
    ended = text_of(time.time() - 60)
    insert(layout, "block", "203.0.113.9:", "203.0.113.9", ended, ended, "", 1)
    (row,) = after(layout, guesses(1)).blocks()
    assert row.in_a_row == 2
    assert row.until > text_of(time.time() + 1100)


def test_after_a_restart_a_closed_account_has_no_guesses(layout: Layout) -> None:
    now, until = text_of(time.time()), text_of(time.time() + 720)
    insert(layout, "closed", "a@x.com", now, until)
    reports = [
        REPORT._replace(remote=f"192.0.2.{number}", password_hash=f"{number:03x}")
        for number in range(10)
    ]
    (row,) = after(layout, reports).closed()
    assert row.until > until


def test_the_block_of_an_administrator_is_no_guess(layout: Layout) -> None:
    """After a restart the client has all of its guesses."""
    ended = text_of(time.time() - 60)
    insert(layout, "block", "203.0.113.9:", "203.0.113.9", ended, ended, "jane", 0)
    (row,) = after(layout, guesses(4)).blocks()
    assert (row.author, row.until) == ("jane", ended)


def test_a_known_client_is_written_once_a_day(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of too many the one that logged in first is written again."""
    monkeypatch.setattr("mailroster.daemons.blocker._LOGINS_MAX", 2)
    written = list[list[str]]()

    def write(self: BlockTable, *arguments: list[Login], **more: object) -> list[str]:
        written.append([login.client for login in arguments[-1]])
        return []

    monkeypatch.setattr(BlockTable, "write", write)

    def written_of(*clients: str) -> list[str]:
        written.clear()
        success = REPORT._replace(success=True)
        after(layout, [success._replace(remote=client) for client in clients])
        return [client for each in written for client in each]

    one, two, three = "192.0.2.1", "192.0.2.2", "192.0.2.3"
    assert written_of(one, one, one) == [one]

    async def run() -> None:
        blocker = Blocker(made(layout), layout)
        for client in (one, two, one, three, three, two, one):
            blocker._logins.clear()
            blocker.take(REPORT._replace(success=True, remote=client))
            written.append([login.client for login in blocker._logins])

    written.clear()
    asyncio.run(run())
    assert written == [[one], [two], [], [three], [], [], [one]]


def test_without_more_reports_nothing_more_is_written(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = list[object]()

    def write(*arguments: object, **more: object) -> list[str]:
        counts.append(arguments)
        return []

    monkeypatch.setattr(BlockTable, "write", write)
    after(layout, [REPORT._replace(success=True)])
    assert 1 <= len(counts) <= 2, "once, and at the end"


def test_a_lost_database_is_made_again_and_no_block_is_lost(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    reopened = list[str]()
    monkeypatch.setattr(
        "mailroster.daemons.blocker.reopen_database",
        lambda layout, path: reopened.append(path),
    )
    for name in os.listdir(f"{layout.state}/sql"):
        os.unlink(f"{layout.state}/sql/{name}")

    async def run() -> None:
        blocker, stop = Blocker(made(layout), layout), asyncio.Event()
        writer = asyncio.ensure_future(blocker.write(stop))
        await asyncio.sleep(0.05)
        for report in guesses(5):
            blocker.take(report)
        for _ in range(400):
            await asyncio.sleep(0.05)
            if os.path.exists(layout.blocks) and BlockTable(layout).blocks():
                break
        stop.set()
        await asyncio.wait_for(writer, 20)

    asyncio.run(run())
    assert [row.client for row in BlockTable(layout).blocks()] == ["203.0.113.9"]
    assert reopened == [layout.blocks], "Dovecot opens the new one"
