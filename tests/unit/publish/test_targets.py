"""Tables put in force: what is written is read again, only what changes is touched, and what can't
be used is an OSError, whatever library says so."""

import errno
import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.publish.damage import damaged
from mailroster.publish.destinations import targets_of
from mailroster.publish.tables.table import Changes, Row, stream
from mailroster.publish.targets import FillResult, Target, ordered_fill
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.publish.targets.sqlite_table import SqliteTable
from mailroster.publish.targets.text_table import PasswdFile, PcreRules, PcreTable
from mailroster.roster.roster import Roster
from mailroster.routing.change import Change
from mailroster.routing.router import Router
from mailroster.servers.config.dovecot.schema import (
    ACCOUNT,
    APP_PASSWORD,
    MASTER,
    SCHEMA_VERSION,
    SHAPES,
    SPELLING,
    AccountRow,
    AppPasswordRow,
    MasterRow,
    SpellingRow,
)
from mailroster.system.files import Disk
from tests.support.faulty import mount, own_mounts, public_folder
from tests.support.project import ROOT

Made = Callable[[Path], Target]


def lmdb(folder: Path) -> Target:
    return LmdbTable(str(folder / "table"))


def accounts(folder: Path) -> Target:
    return SqliteTable(str(folder / "roster.db"), ACCOUNT)


def masters(folder: Path) -> Target:
    return SqliteTable(str(folder / "roster.db"), MASTER)


def app_passwords(folder: Path) -> Target:
    return SqliteTable(str(folder / "roster.db"), APP_PASSWORD)


def spelt(folder: Path) -> Target:
    return SqliteTable(str(folder / "roster.db"), SPELLING)


def exceptions(folder: Path) -> Target:
    return PasswdFile(str(folder / "exceptions"), Disk())


def spellings(folder: Path) -> Target:
    return PcreRules(str(folder / "spellings"), Disk())


ROWS: list[tuple[Made, Row, Row]] = [
    (lmdb, "a@x.com, b@x.com", "c@x.com"),
    (accounts, AccountRow("{X}h", "x.com/a"), AccountRow(None, "x.com/o'b", quota_rule="*:1")),
    (masters, MasterRow("{X}one"), MasterRow("{X}two")),
    (spelt, SpellingRow("é"), SpellingRow("é", "e\u0301")),
    (exceptions, "a@x.com:{X}h::::::k=v", "a@x.com:{X}i::::::k=w"),
    (spellings, "/^(a@)(?:b)$/ ${1}a@x.com${2}", "/^(a@)(?:c)$/ ${1}a@x.com${2}"),
]


@pytest.mark.parametrize(("made", "one", "two"), ROWS, ids=[r[0].__name__ for r in ROWS])
def test_rows_are_put_changed_and_dropped(tmp_path: Path, made: Made, one: Row, two: Row) -> None:
    target = made(tmp_path)
    assert not target.is_there()
    assert target.read() == {}
    target.apply({})
    assert target.is_there()
    assert target.read() == {}
    other = one.replace("a@x.com", "b@x.com") if isinstance(one, str) else one
    target.apply({"a@x.com": one, "b@x.com": other})
    assert made(tmp_path).read() == {"a@x.com": one, "b@x.com": other}
    target.apply({"a@x.com": two, "b@x.com": None, "never@x.com": None})
    assert made(tmp_path).read() == {"a@x.com": two}


def test_a_pcre_table_is_its_text(tmp_path: Path) -> None:
    target = PcreTable(str(tmp_path / "regexp"), Disk())
    target.apply({"": "/a/ b\n"})
    assert target.read() == {"": "/a/ b\n"}


@pytest.mark.parametrize(
    ("made", "file"),
    [(lmdb, "table.lmdb"), (accounts, "roster.db"), (masters, "roster.db")],
    ids=["lmdb", "accounts", "masters"],
)
def test_a_damaged_table_is_an_oserror_that_names_it(tmp_path: Path, made: Made, file: str) -> None:
    (tmp_path / file).write_bytes(b"no table " * 1000)
    for use in (made(tmp_path).read, lambda: made(tmp_path).apply({"a@x.com": None})):
        with pytest.raises(OSError) as raised:
            use()
        assert raised.value.filename == str(tmp_path / file)


def test_a_database_that_a_crash_left_without_tables_gets_them(tmp_path: Path) -> None:
    (tmp_path / "roster.db").touch()
    assert accounts(tmp_path).read() == {}
    masters(tmp_path).apply({"boss": MasterRow("{X}h")})
    assert masters(tmp_path).read() == {"boss": MasterRow("{X}h")}


def test_the_passwd_file_is_always_younger_by_a_second(tmp_path: Path) -> None:
    target = PasswdFile(str(tmp_path / "exceptions"), Disk())
    path = tmp_path / "exceptions"
    target.apply({"a@x.com": "a@x.com:one::::::k=v"})
    for round in range(3):
        before = path.stat().st_mtime
        target.apply({"a@x.com": f"a@x.com:{round}::::::k=v"})
        assert path.stat().st_mtime >= before + 1
    assert path.stat().st_mode & 0o007 == 0


def pcre(folder: Path) -> Target:
    return PcreTable(str(folder / "regexp"), Disk())


@pytest.mark.parametrize(("made", "one", "two"), ROWS, ids=[r[0].__name__ for r in ROWS])
def test_a_fill_writes_what_differs_and_tells_what_is_too_much(
    tmp_path: Path, made: Made, one: Row, two: Row
) -> None:
    target = made(tmp_path)
    row = {key: one.replace("a@x.com", key) if isinstance(one, str) else one for key in "edcba"}
    assert target.fill(row.items()) == FillResult(5, [], replaced=True)
    assert list(target.read()) == ["a", "b", "c", "d", "e"]
    assert target.fill(row.items()) == FillResult(0, [])
    changed = row | {"b": two.replace("a@x.com", "b") if isinstance(two, str) else two}
    del changed["d"], changed["e"]
    assert target.fill(changed.items()) == FillResult(1, ["d", "e"])
    assert target.read() == {**changed, "d": row["d"], "e": row["e"]}
    assert (target.is_there(), target.damage()) == (True, "")


def test_a_fill_of_a_pcre_table_is_its_text(tmp_path: Path) -> None:
    target = pcre(tmp_path)
    assert target.damage() == "there is none"
    assert target.fill([("", "/a/ b\n")]) == FillResult(1, [], replaced=True)
    assert target.fill([("", "/a/ b\n")]) == FillResult(0, [])
    target.apply({})
    assert target.read() == {"": "/a/ b\n"}


UNSORTED = [f"{n * 37 % 50}é" for n in range(50)] + ["", "ÿ", "\U0001f600", "\uffff"]


def test_rows_are_sorted_by_the_octets_of_their_keys() -> None:
    rows: list[tuple[str, Row]] = [(key, AccountRow(key, "m")) for key in UNSORTED]
    found = list(ordered_fill.in_order(rows))
    assert found == sorted(rows, key=lambda item: item[0].encode())


class Named:
    """A table whose keys come in no order, and whose rows are asked for one at a time."""

    name = "named"

    def __init__(self) -> None:
        self.asked = 0

    def keys(self, router: Router) -> list[str]:
        return UNSORTED

    def row(self, router: Router, key: str) -> str | None:
        self.asked += 1
        return None if key == "ÿ" else f"to {key}"

    def affected(self, change: Change) -> list[str]:
        return []


def test_a_stream_is_sorted_and_makes_each_row_when_it_is_taken() -> None:
    table = Named()
    rows = stream(table, Router(Roster(), "host.test", lambda address: None))
    wanted = sorted((key for key in UNSORTED if key != "ÿ"), key=str.encode)
    for number, (key, row) in enumerate(rows):
        assert (key, row) == (wanted[number], f"to {wanted[number]}")
        assert table.asked <= number + 2
    assert table.asked == len(UNSORTED)


@pytest.mark.parametrize("made", [lmdb, accounts], ids=["lmdb", "accounts"])
def test_a_fill_with_sorted_rows_is_one_with_any(tmp_path: Path, made: Made) -> None:
    for name, is_sorted in (("any", False), ("sorted", True)):
        (tmp_path / name).mkdir()
        rows: list[tuple[str, Row]]
        rows = [(key, key if made is lmdb else AccountRow(key, "m")) for key in UNSORTED if key]
        given = ordered_fill.in_order(rows) if is_sorted else iter(rows)
        filled = made(tmp_path / name).fill(given, is_sorted=is_sorted)
        assert filled == FillResult(len(rows), [], replaced=True)
        assert made(tmp_path / name).read() == dict(rows)
        given = ordered_fill.in_order(rows[1:]) if is_sorted else iter(rows[1:])
        assert made(tmp_path / name).fill(given, is_sorted=is_sorted) == FillResult(0, [rows[0][0]])


def spoil(path: Path, how: str) -> None:
    raw = bytearray(path.read_bytes())
    if how == "cut":
        raw = raw[: len(raw) // 2]
    elif how == "cut by an octet":
        raw = raw[:-1]
    elif how == "zeroed":
        raw = bytearray(len(raw))
    elif how == "zeros inside":
        raw[len(raw) // 2 : len(raw) * 3 // 4] = bytes(len(raw) * 3 // 4 - len(raw) // 2)
    elif how == "noise inside":
        noise = random.Random(1).randbytes(len(raw) // 4)
        raw[len(raw) // 2 : len(raw) // 2 + len(noise)] = noise
    elif how == "text":
        raw = bytearray(b"no table " * 1000)
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("made", "file", "row"),
    [
        (lmdb, "table.lmdb", "a@x.com"),
        (accounts, "roster.db", AccountRow("{X}h", "a")),
        (masters, "roster.db", MasterRow("{X}h")),
    ],
    ids=["lmdb", "accounts", "masters"],
)
@pytest.mark.parametrize(
    "how", ["cut", "cut by an octet", "zeroed", "zeros inside", "noise inside", "text"]
)
def test_damage_is_found_without_harm_and_a_fill_mends_it(
    tmp_path: Path, made: Made, file: str, row: Row, how: str
) -> None:
    rows = {f"{n}@x.com": row for n in range(5000)}
    made(tmp_path).fill(rows.items())
    path = tmp_path / file
    spoil(path, how)
    target = made(tmp_path)
    assert target.damage()
    if "inside" not in how:
        assert not target.is_there()
    mark = target.mark()
    assert target.fill(rows.items()) == FillResult(5000, [], replaced=True)
    assert target.mark() != mark
    assert (target.damage(), target.is_there(), target.read()) == ("", True, rows)


@pytest.mark.parametrize("threads", [0, 1], ids=["alone", "beside a thread"])
@pytest.mark.parametrize("how", ["sound", "inside"])
def test_a_process_with_threads_does_not_fork_to_find_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, how: str
) -> None:
    """The child would wait for ever for a lock that another thread held."""
    table = lmdb(tmp_path)
    table.fill((f"{n}@x.com", "x" * 100) for n in range(2000))
    if how != "sound":
        raw = (tmp_path / "table.lmdb").read_bytes()
        (tmp_path / "table.lmdb").write_bytes(raw[:12288] + bytes(len(raw) - 12288))
    monkeypatch.setattr(threading, "active_count", lambda: 1 + threads)
    if threads:
        monkeypatch.setattr(os, "fork", lambda: pytest.fail("it forks"))
    assert bool(table.damage()) == (how != "sound")


def test_damaged_tables_are_named_by_a_program(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    (tmp_path / "tables").mkdir()
    for name in ("aliases", "mailboxes"):
        LmdbTable(layout.table(name)).fill([("a@x.com", "a@x.com")])
    Path(f"{layout.table('aliases')}.lmdb").write_bytes(bytes(9000))
    assert damaged(layout, ["mailboxes", "aliases", "senders"]) == ["aliases", "senders"]


def test_of_an_lmdb_table_that_is_cut_short_a_change_is_refused(tmp_path: Path) -> None:
    table = lmdb(tmp_path)
    table.fill((f"{n}@x.com", "x" * 100) for n in range(2000))
    path = tmp_path / "table.lmdb"
    path.write_bytes(path.read_bytes()[:40960])
    for use in (table.read, lambda: table.apply({"a@x.com": "b"})):
        with pytest.raises(OSError) as raised:
            use()
        assert raised.value.filename == str(path)


def test_a_table_that_shrank_is_no_table_that_was_cut(tmp_path: Path) -> None:
    """Pages that one transaction takes and frees are never written."""
    table = lmdb(tmp_path)
    for round in range(5):
        rows: Changes = {f"{round}-{n}@x.com": "x" * 400 for n in range(3000)}
        table.apply(rows)
        table.apply({**dict.fromkeys(rows), "a@x.com": str(round)})
        assert (table.is_there(), table.damage()) == (True, "")
    assert table.read() == {"a@x.com": "4"}


@pytest.mark.parametrize("size_mb", [1, 3])
@pytest.mark.parametrize(
    ("made", "file", "row"),
    [(lmdb, "table.lmdb", "b@x.com"), (accounts, "roster.db", AccountRow("{X}h", "m"))],
    ids=["lmdb", "accounts"],
)
def test_a_full_disk_is_told_as_such_and_the_table_is_as_it_was(
    size_mb: int, made: Made, file: str, row: Row
) -> None:
    long = "x" * 200
    big: Row = long if isinstance(row, str) else AccountRow(long, long)
    rows = {f"{n}@x.com": big for n in range(40_000)}
    with public_folder() as folder, own_mounts():
        mount("-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", folder)
        target = made(folder)
        target.fill([("a@x.com", row)])
        for use in (lambda: target.apply({**rows}), lambda: target.fill(rows.items())):
            with pytest.raises(OSError) as raised:
                use()
            assert raised.value.errno == errno.ENOSPC
            assert made(folder).read()["a@x.com"] == row
        (folder / file).unlink()
        with pytest.raises(OSError) as raised:
            target.fill(rows.items())
        assert raised.value.errno == errno.ENOSPC
        assert raised.value.filename.startswith(str(folder / file.partition(".")[0]))


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("new", [".new", ""])
def test_what_lies_beside_a_lost_database_is_removed(tmp_path: Path, end: str, new: str) -> None:
    """SQLite would take a log or a journal of that name for that of the new database."""
    beside = tmp_path / f"roster.db{new}{end}"
    beside.write_bytes(b"left by another one")
    left = beside.stat().st_ino
    wanted = {"a@x.com": AccountRow("{X}a", "a")}
    accounts(tmp_path).fill(wanted.items())
    assert not beside.exists() or beside.stat().st_ino != left
    assert accounts(tmp_path).read() == wanted
    assert accounts(tmp_path).damage() == ""


def test_an_lmdb_table_is_written_under_the_lock_that_postfix_takes(tmp_path: Path) -> None:
    """By fcntl(2), which only another process can see."""
    seen: list[str] = []

    class Looking(Disk):
        def step(self, path: str) -> None:
            program = (
                "import fcntl, sys\n"
                "try:\n"
                "    fcntl.lockf(open(sys.argv[1], 'rb'), fcntl.LOCK_SH | fcntl.LOCK_NB)\n"
                "except BlockingIOError:\n"
                "    print('locked')\n"
                "else:\n"
                "    print('free')\n"
            )
            done = subprocess.run(
                [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
            )
            seen.append(done.stdout.strip())

    lmdb(tmp_path).fill([("a@x.com", "b@x.com")])
    LmdbTable(str(tmp_path / "table"), Looking()).apply({"a@x.com": "c@x.com", "b@x.com": None})
    assert seen == ["free", "locked", "free"]  # before, within the transaction, and behind it
    assert lmdb(tmp_path).read() == {"a@x.com": "c@x.com"}


def test_a_stale_log_is_not_taken_for_that_of_a_new_database(tmp_path: Path) -> None:
    first, path = accounts(tmp_path), tmp_path / "roster.db"
    first.fill([("old@x.com", AccountRow("{X}old", "old"))])
    reader = sqlite3.connect(path)  # keeps the log alive, as Dovecot does
    reader.execute("SELECT * FROM account").fetchall()
    first.apply({"late@x.com": AccountRow("{X}late", "late")})
    assert (tmp_path / "roster.db-wal").stat().st_size > 0
    path.unlink()
    wanted = {"new@x.com": AccountRow("{X}new", "new")}
    accounts(tmp_path).fill(wanted.items())
    assert accounts(tmp_path).read() == wanted
    reader.close()
    assert accounts(tmp_path).read() == wanted
    assert accounts(tmp_path).damage() == ""


def test_a_database_of_another_version_is_made_anew_and_the_rest_taken_over(
    tmp_path: Path,
) -> None:
    path = tmp_path / "roster.db"
    accounts(tmp_path).fill([("a@x.com", AccountRow("{X}h", "a"))])
    masters(tmp_path).fill([("boss", MasterRow("{X}h"))])
    spelt(tmp_path).fill([("xn--x", SpellingRow("é", "e\u0301"))])
    phone = {"a@x.com|abc": AppPasswordRow("a@x.com", "phone", " imap ")}
    app_passwords(tmp_path).fill(phone.items())
    assert user_version(path) == SCHEMA_VERSION
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE account ADD COLUMN more TEXT")
    assert "version" in accounts(tmp_path).damage()
    with pytest.raises(OSError, match="version"):
        accounts(tmp_path).apply({"b@x.com": None})
    filled = accounts(tmp_path).fill([("b@x.com", AccountRow("{X}h", "b"))])
    assert filled == FillResult(1, [], replaced=True)
    assert accounts(tmp_path).read() == {"b@x.com": AccountRow("{X}h", "b")}
    assert masters(tmp_path).is_there()
    assert masters(tmp_path).read() == {"boss": MasterRow("{X}h")}
    assert spelt(tmp_path).read() == {"xn--x": SpellingRow("é", "e\u0301")}
    assert app_passwords(tmp_path).read() == phone
    assert user_version(path) == SCHEMA_VERSION


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, SCHEMA_VERSION + MASTER.unit])
def test_another_version_of_one_table_is_seen_in_the_number_alone(
    tmp_path: Path, version: int
) -> None:
    both = accounts(tmp_path), masters(tmp_path)
    both[0].fill([("a@x.com", AccountRow("{X}h", "a"))])
    both[1].fill([("boss", MasterRow("{X}h"))])
    with closing(sqlite3.connect(tmp_path / "roster.db")) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    assert [target.is_there() for target in both] == [
        version != SCHEMA_VERSION + 1,
        version != SCHEMA_VERSION + MASTER.unit,
    ]


def test_a_database_in_use_keeps_its_schema(tmp_path: Path) -> None:
    """Or each of Dovecot's connections would fail one lookup."""
    accounts(tmp_path).fill([("a@x.com", AccountRow("{X}h", "a"))])
    with closing(sqlite3.connect(tmp_path / "roster.db")) as connection:
        cookie = connection.execute("PRAGMA schema_version").fetchone()
        assert not masters(tmp_path).is_there()
        masters(tmp_path).fill([("boss", MasterRow("{X}h"))])
        assert masters(tmp_path).is_there()
        accounts(tmp_path).fill([("b@x.com", AccountRow("{X}h", "b"))])
        accounts(tmp_path).apply({"a@x.com": None})
        assert connection.execute("PRAGMA schema_version").fetchone() == cookie


def test_the_log_of_a_database_that_is_read_all_the_while_does_not_grow(tmp_path: Path) -> None:
    target = accounts(tmp_path)
    target.fill([])
    sizes = []
    with closing(sqlite3.connect(tmp_path / "roster.db")) as reader:
        for word in "abcdefgh":
            target.fill((f"{n}@x.com", AccountRow(word * 400, "m")) for n in range(5000))
            reader.execute("SELECT * FROM account LIMIT 3").fetchall()
            sizes.append((tmp_path / "roster.db-wal").stat().st_size)
    assert max(sizes) < 8_000_000 < (tmp_path / "roster.db").stat().st_size * len(sizes)


def test_the_page_of_tables_has_every_column_and_the_version() -> None:
    page = (ROOT / "docs/reference/tables.md").read_text(encoding="utf-8")
    for shape in SHAPES:
        section = page.partition(f"\n### {shape.table}\n")[2].partition("\n#")[0]
        listed = re.findall(r"^\| `(\w+)` \|", section, re.M)
        assert listed == list(shape.columns()), shape.table
    assert f"`PRAGMA user_version` is {SCHEMA_VERSION}:" in page
    for name, targets in targets_of(Layout(".")).items():
        if any(isinstance(target, LmdbTable) for target in targets):
            assert f"| `{name}.lmdb` |" in page, name


def user_version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_a_table_grows_past_its_map(tmp_path: Path) -> None:
    table = LmdbTable(str(tmp_path / "table"))
    rows: dict[str, Row | None] = {f"{n}@x.com": "r" * 1000 for n in range(30_000)}
    table.apply(rows)
    assert len(table.read()) == 30_000


def test_a_table_that_is_renewed_is_another_file_without_rows(tmp_path: Path) -> None:
    """A process of Postfix that has the old one open sees that it was removed, and starts anew."""
    table = LmdbTable(str(tmp_path / "table"))
    table.fill([("a@x.com", "b@x.com")])
    with open(tmp_path / "table.lmdb", "rb") as old:
        table.renew()
        assert os.fstat(old.fileno()).st_nlink == 0
    assert table.read() == {}


def test_a_database_that_another_process_writes_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailroster.publish.targets.sqlite_file._WAIT_S", 0)
    target = accounts(tmp_path)
    target.fill([])
    with closing(sqlite3.connect(tmp_path / "roster.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(OSError) as raised:
            target.apply({"a@x.com": AccountRow("{X}h", "a")})
    assert raised.value.errno == errno.EBUSY


def test_columns_that_a_row_has_not_set_are_null_whatever_the_rows_beside_it_have(
    tmp_path: Path,
) -> None:
    def row(number: int) -> AccountRow:
        field = ("home", "nologin", "reason", "quota_rule", "storage_size")[number // 500 % 5]
        fields = {field: str(number)} if number % 3 else {}
        return AccountRow("{X}h" if number % 1000 < 500 else None, f"m{number}", **fields)

    rows = {f"{number:04}@x.com": row(number) for number in range(2600)}
    table = accounts(tmp_path)
    table.fill(rows.items())
    assert table.read() == rows
    others = {key: row(2599 - number) for number, key in enumerate(rows)}
    table.apply({**others})
    assert table.read() == others
    assert table.fill(rows.items()).surplus == []
    assert table.read() == rows
