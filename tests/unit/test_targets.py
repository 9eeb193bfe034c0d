"""Tables put in force: what is written is read again, only what changes is touched, and what can't
be used is an OSError, whatever library says so."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mailroster.compile.dovecot import AccountRow, MasterRow
from mailroster.disk import Disk
from mailroster.tables import Row
from mailroster.targets import Target
from mailroster.targets.lmdb_table import LmdbTable
from mailroster.targets.sqlite_table import ACCOUNT, MASTER, SqliteTable
from mailroster.targets.text_table import PasswdFile, PcreTable

Made = Callable[[Path], Target]


def lmdb(folder: Path) -> Target:
    return LmdbTable(str(folder / "table"))


def accounts(folder: Path) -> Target:
    return SqliteTable(str(folder / "roster.db"), ACCOUNT)


def masters(folder: Path) -> Target:
    return SqliteTable(str(folder / "roster.db"), MASTER)


def exceptions(folder: Path) -> Target:
    return PasswdFile(str(folder / "exceptions"), Disk())


ROWS: list[tuple[Made, Row, Row]] = [
    (lmdb, "a@x.com, b@x.com", "c@x.com"),
    (accounts, AccountRow("{X}h", "x.com/a"), AccountRow(None, "x.com/o'b", quota_rule="*:1")),
    (masters, MasterRow("{X}one"), MasterRow("{X}two")),
    (exceptions, "a@x.com:{X}h::::::k=v", "a@x.com:{X}i::::::k=w"),
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


def test_a_table_grows_past_its_map(tmp_path: Path) -> None:
    table = LmdbTable(str(tmp_path / "table"))
    rows: dict[str, Row | None] = {f"{n}@x.com": "r" * 1000 for n in range(30_000)}
    table.apply(rows)
    assert len(table.read()) == 30_000
