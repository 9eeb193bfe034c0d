"""Tables that another version of the program has built are made anew by the next reconciliation:
those of an older one, and, for who goes back, those of a newer one."""

import sqlite3
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mailroster.publish import destinations, marks
from mailroster.publish.tables import dovecot
from mailroster.publish.targets import sqlite_table
from mailroster.roster.formats.quotas import Quota
from mailroster.servers.config.dovecot.schema import (
    ACCOUNT,
    SCHEMA_VERSION,
    SHAPES,
    AccountRow,
    Shape,
)
from mailroster.system.files import Disk
from tests.support.faulty import ACCOUNTS, HASH
from tests.support.published_home import Home

_FIELDS, _DEFAULTS = AccountRow._fields, AccountRow._field_defaults


def row(*fields: str) -> Any:
    """The class of rows of another program."""
    return namedtuple("row", fields, defaults=[None] * (len(fields) - 2))


class Program(NamedTuple):
    """What another version would have otherwise."""

    row: Any = AccountRow
    version: int = ACCOUNT.version

    def put_in_place(self, patch: pytest.MonkeyPatch) -> None:
        shape = Shape(ACCOUNT.table, ACCOUNT.key, self.row, self.version, ACCOUNT.unit)
        for module in (sqlite_table, marks):
            patch.setattr(module, "SHAPES", (shape, *SHAPES[1:]))
        patch.setattr(destinations, "ACCOUNT", shape)
        patch.setattr(marks, "SCHEMA_VERSION", SCHEMA_VERSION - ACCOUNT.version + self.version)
        patch.setattr(dovecot, "AccountRow", self.row)
        patch.setattr(dovecot, "_plain_row", self._plain_row)

    def _plain_row(
        self, password: str | None, maildir: str, quota: Quota | None, services: str | None = None
    ) -> Any:
        size = quota.size if quota else None
        rule = f"*:storage={size}" if size else None
        return self.row(password=password, maildir=maildir, quota_rule=rule, storage_size=size)


PROGRAMS = {
    "a newer one with a column more": Program(row(*_FIELDS, "later"), ACCOUNT.version + 1),
    "an older one with a column less": Program(row(*_FIELDS[:-1]), ACCOUNT.version - 1),
    "a column more and no other version": Program(row(*_FIELDS, "later")),
    "columns in another order": Program(row(*_FIELDS[:2], *reversed(_FIELDS[2:]))),
    "a newer one with the same columns": Program(version=ACCOUNT.version + 1),
    "an older one with the same columns": Program(version=ACCOUNT.version - 1),
}
KINDS = pytest.mark.parametrize("index_from", (1, 1 << 20), ids=("indexed", "small"))


@KINDS
@pytest.mark.parametrize("other", PROGRAMS)
@pytest.mark.parametrize("changed", (False, True), ids=("same files", "files changed meanwhile"))
def test_from_one_version_to_another_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str, index_from: int, changed: bool
) -> None:
    home, program = Home(tmp_path, index_from), PROGRAMS[other]
    home.make()
    ours = columns(home)
    assert ours == list(ACCOUNT.columns())
    with monkeypatch.context() as patch:
        program.put_in_place(patch)
        if changed:
            append(home, "later@x.com")
        home.reconcile()
        home.in_step()
        assert columns(home) == [ACCOUNT.key, *program.row._fields]
        assert home.reconcile() == 0
    if changed:
        append(home, "back@x.com")
    home.reconcile()
    home.in_step()
    assert columns(home) == ours
    assert user_version(home) == SCHEMA_VERSION
    assert home.reconcile(verify=True) == 0


@KINDS
@pytest.mark.parametrize(
    "stamp", [b"", b"0 x\n", b"999999999 x\n", b"not a stamp\xff", None], ids=repr
)
def test_a_stamp_of_another_program_makes_every_row_be_compared(
    tmp_path: Path, stamp: bytes | None, index_from: int
) -> None:
    home = Home(tmp_path, index_from)
    home.make()
    built = Path(home.layout.built)
    right = built.read_bytes()
    forge(home)
    assert home.reconcile() == 0, "by the right stamp nobody looks at every row"
    if stamp is None:
        built.unlink()
    else:
        built.write_bytes(stamp)
    assert home.reconcile() == 1
    home.in_step()
    assert built.read_bytes() == right


@KINDS
def test_what_a_newer_program_keeps_beside_the_tables_is_no_hindrance(
    tmp_path: Path, index_from: int
) -> None:
    home = Home(tmp_path, index_from)
    home.make()
    with sqlite3.connect(home.layout.database) as database:
        database.execute("CREATE TABLE later (key TEXT PRIMARY KEY)")
    for folder in (home.layout.tables, home.layout.served):
        (Path(folder) / "later").write_text("of a newer program\n")
    home.edit(Disk(), adding("new@x.com"))
    home.in_step()


def adding(address: str) -> Callable[[Any], Any]:
    def add(roster: Any) -> Any:
        return roster._replace(accounts=roster.accounts.append(f"{address}|{HASH}"))

    return add


def append(home: Home, address: str) -> None:
    path = home.config / ACCOUNTS
    path.write_text(f"{path.read_text()}\n{address}|{HASH}\n")


def columns(home: Home) -> list[str]:
    with sqlite3.connect(home.layout.database) as database:
        return [name for _, name, *_ in database.execute(f"PRAGMA table_info({ACCOUNT.table})")]


def user_version(home: Home) -> int:
    with sqlite3.connect(home.layout.database) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def forge(home: Home) -> None:
    """Changes a row, as a bug of another program might have."""
    with sqlite3.connect(home.layout.database) as database:
        done = database.execute(
            f"UPDATE {ACCOUNT.table} SET password = 'x' WHERE address = ?", ("a@x.com",)
        )
        assert done.rowcount == 1
