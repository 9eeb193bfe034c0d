"""The database of blocks, and the query by which Dovecot reads it."""

import os
import sqlite3
import time
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.base.spelling import globs
from mailroster.publish.block_table import (
    KNOWN_MAX,
    NEVER,
    BlockRow,
    BlockTable,
    ClosedRow,
    Login,
    moment_of,
    text_of,
)
from mailroster.servers.config.dovecot.blocks import EVERY_ACCOUNT, query

NOW = float(int(time.time()))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "sql").mkdir()
    return Layout(str(tmp_path))


@pytest.fixture
def table(layout: Layout) -> BlockTable:
    table = BlockTable(layout)
    assert table.ensure()
    return table


def is_refused(layout: Layout, client: str, name: str = "a@x.com") -> bool:
    """What Dovecot's query says now."""
    user, _, domain = name.partition("@")
    with sqlite3.connect(layout.blocks) as connection:
        return bool(connection.execute(query(client, name, user, domain)).fetchone())


def later(seconds: float) -> str:

    return text_of(time.time() + seconds)


def block(client: str, until: str, author: str = "", in_a_row: int = 1) -> BlockRow:
    return BlockRow(client, text_of(NOW), until, author, in_a_row)


def test_a_block_refuses_the_client_alone_until_it_ends(layout: Layout, table: BlockTable) -> None:
    table.write(NOW, [block("192.0.2.1", later(60)), block("2001:db8:0:1::/64", later(60))])
    table.write(NOW, [block("192.0.2.2", later(-1))])
    for client in ("192.0.2.1", "2001:db8:0:1::5", "2001:db8:0:1:ffff::", "2001:db8:0:1:1:2:3:4"):
        assert is_refused(layout, client), client
    for client in ("192.0.2.2", "192.0.2.10", "192.0.2.11", "2001:db8::1", "2001:db8:0:11::1", ""):
        assert not is_refused(layout, client), client


def test_a_closed_account_is_open_to_clients_that_have_logged_in(
    layout: Layout, table: BlockTable
) -> None:
    logins = [Login("a@x.com", "192.0.2.1"), Login("a@x.com", "2001:db8::/64")]
    logins += [Login("b@x.com", "192.0.2.7"), Login(EVERY_ACCOUNT, "10.0.0.1")]
    table.write(NOW, closed=[ClosedRow("a@x.com", text_of(NOW), later(60))], logins=logins)
    for client in ("192.0.2.1", "2001:db8::77", "10.0.0.1"):
        assert not is_refused(layout, client), client
    for client in ("192.0.2.7", "192.0.2.10", "2001:db9::1", "10.0.0.10"):
        assert is_refused(layout, client), client
        assert not is_refused(layout, client, "b@x.com"), client


def test_every_spelling_of_a_domain_is_the_account(layout: Layout, table: BlockTable) -> None:
    domain = "xn--mller-kva.example"
    assert globs(domain)
    table.write(NOW, closed=[ClosedRow(f"u@{domain}", text_of(NOW), later(60))])
    for spelling in (domain, "müller.example", "mÜller.example", "mu\u0308ller.example"):
        assert is_refused(layout, "192.0.2.1", f"u@{spelling}"), spelling
    assert not is_refused(layout, "192.0.2.1", "v@müller.example")


def test_an_automatic_block_never_shortens_another(layout: Layout, table: BlockTable) -> None:
    table.write(NOW, [block("192.0.2.1", NEVER, "jane", 0)])
    table.write(NOW, [block("192.0.2.1", later(60))])
    (row,) = table.blocks()
    assert (row.until, row.author, row.in_a_row) == (NEVER, "jane", 1)
    table.write(NOW, [block("192.0.2.1", later(90), "joe", 0)])
    assert [row.author for row in table.blocks()] == ["joe"], "an administrator may"


def test_an_unblocked_client_is_forgiven_once(layout: Layout, table: BlockTable) -> None:
    table.write(NOW, [block("192.0.2.1", later(60))])
    assert table.remove("192.0.2.1")
    assert not is_refused(layout, "192.0.2.1")
    assert not table.remove("192.0.2.1")
    mine = block("192.0.2.9", later(60), "jane", 0)
    assert table.write(NOW, [mine]) == set(), "a command is not the listener"
    again = block("192.0.2.1", later(60))
    assert table.write(NOW, [again], forgets=True) == {"192.0.2.1"}
    assert not is_refused(layout, "192.0.2.1")
    assert table.write(NOW, forgets=True) == set()


def test_old_rows_and_too_many_logins_go(layout: Layout, table: BlockTable) -> None:
    table.write(NOW, [block("192.0.2.1", text_of(NOW - 10 * 86_400)), block("192.0.2.2", NEVER)])
    table.write(NOW, [block("192.0.2.3", text_of(NOW + 100 * 86_400))])
    assert table.blocks() == [], "the clock went back"
    for number in range(KNOWN_MAX + 20):
        table.write(NOW + number, logins=[Login("a@x.com", f"10.0.{number}.1")])
    with sqlite3.connect(layout.blocks) as connection:
        rows = connection.execute("SELECT key FROM known ORDER BY time").fetchall()
    assert len(rows) == KNOWN_MAX
    assert rows[0] == ("10.0.20.1:",)
    table.tidy(NOW + 365 * 86_400)
    with sqlite3.connect(layout.blocks) as connection:
        assert connection.execute("SELECT count(*) FROM known").fetchone() == (0,)


def test_a_clock_that_was_years_ahead_ends_no_block_of_an_administrator(
    layout: Layout, table: BlockTable
) -> None:
    table.write(NOW, [block("192.0.2.1", later(3600), author="root")])
    table.write(NOW + 3 * 365 * 86_400, [block("192.0.2.2", later(3 * 365 * 86_400))])
    assert is_refused(layout, "192.0.2.1"), "with the right clock again"
    table.tidy(NOW + 30 * 86_400)
    assert not any(row.author for row in table.blocks())


@pytest.mark.parametrize("content", [b"", b"x" * 5000])
def test_a_damaged_database_is_made_again(
    layout: Layout, table: BlockTable, content: bytes
) -> None:
    assert not table.ensure()
    Path(layout.blocks).write_bytes(content)
    assert table.ensure()
    assert table.blocks() == []
    assert os.stat(layout.blocks).st_mode & 0o777 == 0o660


def test_a_link_in_its_place_is_replaced(layout: Layout, table: BlockTable, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    os.unlink(layout.blocks)
    os.symlink(other, layout.blocks)
    with pytest.raises(OSError):
        table.write(NOW, [block("192.0.2.1", NEVER)])
    assert table.ensure()
    assert other.read_bytes() == b"precious"
    assert table.blocks() == []


def test_times() -> None:
    assert moment_of(text_of(NOW)) == NOW
    assert moment_of("nonsense") == 0.0
    assert moment_of(NEVER) > NOW


def test_an_account_knows_fifty_clients_for_ninety_days(layout: Layout, table: BlockTable) -> None:
    for number in range(51):
        table.write(NOW - 100 + number, logins=[Login("a@x.com", f"192.0.2.{number}")])
    table.write(NOW, closed=[ClosedRow("a@x.com", text_of(NOW), later(60))])
    refused = [number for number in range(51) if is_refused(layout, f"192.0.2.{number}")]
    assert refused == [0], "the one that logged in first is forgotten"
    table.tidy(NOW + 90 * 86_400 - 100)
    assert not is_refused(layout, "192.0.2.1")
    table.tidy(NOW + 90 * 86_400 + 100)
    assert is_refused(layout, "192.0.2.1")


def test_ended_blocks_are_kept_for_three_days_and_impossible_ones_removed(
    table: BlockTable,
) -> None:
    """The next block in a row is longer. A block that ends later than any can was written before
    the clock went back."""
    day_s = 86_400
    ends = {
        "192.0.2.1": -3 * day_s + 60, "192.0.2.2": -3 * day_s - 60, "192.0.2.3": 2 * day_s - 60,
        "192.0.2.4": 2 * day_s + 60,
    }  # fmt: skip
    for client, left_s in ends.items():
        table.write(NOW, [block(client, text_of(NOW + left_s))])
    table.write(NOW, [block("192.0.2.5", text_of(NOW + 9 * day_s), author="root")])
    table.write(NOW)
    assert {row.client for row in table.blocks()} == {"192.0.2.1", "192.0.2.3", "192.0.2.5"}
