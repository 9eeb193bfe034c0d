"""`setup block` on a folder without servers."""

import json
import os

import pytest

from mailroster.base.layout import Layout
from mailroster.publish.block_table import BlockRow, BlockTable, ClosedRow, moment_of
from tests.support.folder import ACCOUNTS, Folder, H, folder

__all__ = ["folder"]  # the fixture

LATER = "2126-12-31 10:00:00"


@pytest.fixture
def on(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A home whose server has run with blocks."""
    folder.write(ACCOUNTS, f"jane@x.com|{H}\n")
    folder.write("mailroster.toml", "block_guessing = true\n")
    os.makedirs(folder.home / "mail-state/sql")
    table(folder).ensure()
    return folder


def table(folder: Folder) -> BlockTable:
    return BlockTable(Layout(str(folder.home / "mail-state")))


@pytest.mark.parametrize("words", [("add", "192.0.2.1"), ("del", "192.0.2.1"), ("list",)])
def test_without_the_setting_and_without_a_database_it_is_refused(
    folder: Folder, words: tuple[str, ...]
) -> None:
    ran = folder.setup("block", *words)
    assert ran.code == 1
    assert "blocks are off; set block_guessing" in ran.err
    folder.write("mailroster.toml", "block_guessing = true\n")
    ran = folder.setup("block", *words)
    assert ran.code == 1
    assert "no database of blocks yet" in ran.err


def test_a_block_is_listed_until_it_is_deleted(on: Folder) -> None:
    assert on.setup("block", "add", "192.0.2.1").out == "blocked: 192.0.2.1\n"
    assert on.setup("block", "add", "2001:DB8::5", "--until", "2126-12-31").out == (
        "blocked: 2001:db8::/64\n"
    )
    listed = json.loads(on.setup("block", "list", "--json").out)
    assert [each["client"] for each in listed["clients"]] == ["192.0.2.1", "2001:db8::/64"]
    assert listed["clients"][0]["until"] is None
    assert listed["clients"][1]["until"] > "2126-12-30"
    assert on.setup("block", "del", "2001:db8::77").out == "unblocked: 2001:db8::/64\n"
    assert on.setup("block", "del", "192.0.2.1").code == 0
    assert on.setup("block", "list").out == ""
    again = on.setup("block", "del", "192.0.2.1")
    assert (again.code, again.err) == (1, "setup: 192.0.2.1 is not blocked\n")


@pytest.mark.parametrize("until", ["9999-12-31", "9999-12-31T23:59"])
def test_a_block_until_the_last_day_of_all_does_not_end_at_once(on: Folder, until: str) -> None:
    """Its end may be in the year 10000, which compares as smaller than this year."""
    on.setup("block", "add", "192.0.2.1", "--until", until)
    (client,) = json.loads(on.setup("block", "list", "--json").out)["clients"]
    assert client["client"] == "192.0.2.1"
    assert client["until"] is None or client["until"] > "9999-12-30"


def test_the_list_says_why(on: Folder) -> None:
    rows = [BlockRow("192.0.2.9", "2026-01-01 00:00:00", LATER, "jane", 1)]
    rows.append(BlockRow("192.0.2.8", "2026-01-02 00:00:00", "2026-01-03 00:00:00", "", 1))
    closed = [ClosedRow("jane@x.com", "2026-01-01 00:00:00", LATER)]
    table(on).write(moment_of(LATER) - 60, rows, closed)
    assert "192.0.2.8" not in on.setup("block", "list").out, "it has ended"
    assert "192.0.2.9\t2126-12-31T10:00:00Z\tby jane\n" in on.setup("block", "list", "--table").out
    assert "* jane@x.com\n" in on.setup("block", "list").out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("add", "nonsense"), 1, "is not an IP address"),
        (("add", "192.0.2.0/24"), 1, "is not an IP address"),
        (("add", "2001:db8::/32"), 1, "is not an IP address"),
        (("add", "::1"), 1, "is this machine"),
        (("add", "192.0.2.1", "--until", "2001-01-01"), 1, "is in the past"),
        (("add", "192.0.2.1", "--until", "soon"), 2, "is not a date"),
        (("add",), 2, ""),
    ],
)
def test_a_bad_argument_changes_nothing(
    on: Folder, words: tuple[str, ...], code: int, message: str
) -> None:
    ran = on.setup("block", *words)
    assert ran.code == code, ran.err
    assert message in ran.err
    assert table(on).blocks() == []


def test_the_history_has_the_command_and_undo_refers_to_it(on: Folder) -> None:
    on.setup("email", "lock", "jane@x.com")
    on.setup("block", "add", "192.0.2.1")
    newest, older = on.setup("log").out.splitlines()[:2]
    assert newest.endswith(": setup block add 192.0.2.1")
    assert "email lock" in older
    assert on.setup("log", "192.0.2.1").out.count("\n") == 1
    ran = on.setup("undo")
    assert ran.code == 1
    assert "undo it by 'setup block add' or 'del'" in ran.err
    assert on.setup("undo", older.split()[0]).code == 0


def test_no_history_is_no_obstacle(on: Folder) -> None:
    on.write("mailroster.toml", "block_guessing = true\nhistory_bytes = 0\n")
    assert on.setup("block", "add", "192.0.2.1").err == ""
    assert on.setup("log").out == ""


def test_a_damaged_database_is_reported(on: Folder) -> None:
    (on.home / "mail-state/sql/blocks.db").write_bytes(b"x" * 5000)
    for words in (("list",), ("add", "192.0.2.1"), ("del", "192.0.2.1")):
        ran = on.setup("block", *words)
        assert ran.code == 1
        assert "the database of blocks: " in ran.err
