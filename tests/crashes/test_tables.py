"""A table whose writer is killed, or hit by an error of the system, before any single effect: it
reads wholly old or wholly new, and the next fill makes it right and leaves nothing behind."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from mailroster.publish.tables.table import Changes, Row, Rows
from mailroster.publish.targets import Target, ordered_fill
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.publish.targets.sqlite_table import SqliteTable
from mailroster.publish.targets.text_table import PasswdFile, PcreRules, PcreTable
from mailroster.servers.config.dovecot.schema import ACCOUNT, MASTER, AccountRow, MasterRow
from mailroster.system.files import Disk
from tests.support.faulty import FaultyDisk, die, fail, in_child

Made = Callable[[Path, Disk], Target]


def lmdb(folder: Path, disk: Disk) -> Target:
    return LmdbTable(str(folder / "table"), disk)


def accounts(folder: Path, disk: Disk) -> Target:
    return SqliteTable(str(folder / "roster.db"), ACCOUNT, disk)


def masters(folder: Path, disk: Disk) -> Target:
    return SqliteTable(str(folder / "roster.db"), MASTER, disk)


def exceptions(folder: Path, disk: Disk) -> Target:
    return PasswdFile(str(folder / "exceptions"), disk)


def pcre(folder: Path, disk: Disk) -> Target:
    return PcreTable(str(folder / "regexp"), disk)


def spellings(folder: Path, disk: Disk) -> Target:
    return PcreRules(str(folder / "spellings"), disk)


def rule(key: str, word: str) -> Row:
    return f"/^(.*@)(?:{word})$/ ${{1}}{key}${{2}}"


def text(key: str, word: str) -> Row:
    return f"{key}:{word}"


def account(key: str, word: str) -> Row:
    return AccountRow(word, key, quota_rule=None if word == "old" else "*:storage=1G")


def master(key: str, word: str) -> Row:
    return MasterRow(word)


KEYS = [f"user{n:02}@x.com" for n in range(20)]
TABLES: list[tuple[Made, Callable[[str, str], Row]]] = [
    (lmdb, text), (accounts, account), (masters, master), (exceptions, text), (pcre, text),
    (spellings, rule),
]  # fmt: skip
EACH = pytest.mark.parametrize(("made", "row"), TABLES, ids=[made.__name__ for made, _ in TABLES])
NUMBERS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)
FAULTS = [pytest.param(die, id="killed")] + [
    pytest.param(fail(number), id=errno.errorcode[number]) for number in NUMBERS
]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty rows are many: they are put in parts."""
    monkeypatch.setattr(ordered_fill, "PART_ROWS", 5)


def before(made: Made, row: Callable[[str, str], Row]) -> Rows:
    return {"": "old"} if made is pcre else {key: row(key, "old") for key in KEYS[:15]}


def after(made: Made, row: Callable[[str, str], Row]) -> Rows:
    """Five rows gone, five as before, five changed, five new."""
    if made is pcre:
        return {"": "new"}
    return {key: row(key, "old" if key < KEYS[10] else "new") for key in KEYS[5:]}


def each_effect(
    folder: Path, prepare: Callable[[Path], None], act: Callable[[Path, Disk], object]
) -> list[int]:
    """The number of every effect of an act, and the act has some."""
    folder.mkdir()
    prepare(folder)
    disk = FaultyDisk(0, die)
    act(folder, disk)
    assert disk.count
    return list(range(1, disk.count + 1))


def struck(
    act: Callable[[Path, Disk], object], folder: Path, at: int, fault: Callable[[], None]
) -> None:
    """Does something to which a fault happens, in a child, and asserts that it does not get by."""
    word = in_child(lambda: act(folder, FaultyDisk(at, fault)))
    assert word == "killed" if fault is die else "OSError" in word or "PermissionError" in word


def is_mended(target: Target, wanted: Rows, folder: Path) -> None:
    """A fill, and the drops that it leaves to its caller, make a table right."""
    filled = target.fill(reversed(wanted.items()))
    target.apply(dict.fromkeys(filled.surplus))
    assert target.read() == wanted
    assert target.is_there()
    assert target.damage() == ""
    assert target.fill(wanted.items()) == (0, [], False)
    assert [path.name for path in folder.iterdir() if ".new" in path.name] == []


@EACH
@pytest.mark.parametrize("fault", FAULTS)
def test_one_change_is_in_force_wholly_or_not_at_all(
    tmp_path: Path, made: Made, row: Callable[[str, str], Row], fault: Callable[[], None]
) -> None:
    old, new = before(made, row), after(made, row)
    changes: Changes = {**dict.fromkeys(old.keys() - new.keys()), **new}

    def prepare(folder: Path) -> None:
        made(folder, Disk()).fill(old.items())

    def act(folder: Path, disk: Disk) -> None:
        made(folder, disk).apply(changes)

    for at in each_effect(tmp_path / "whole", prepare, act):
        folder = tmp_path / str(at)
        folder.mkdir()
        prepare(folder)
        struck(act, folder, at, fault)
        assert made(folder, Disk()).read() in (old, new), at
        is_mended(made(folder, Disk()), new, folder)


@EACH
@pytest.mark.parametrize(
    ("fault", "damage"),
    [pytest.param(*fault.values, None, id=str(fault.id)) for fault in FAULTS]
    + [pytest.param(die, damage, id=damage) for damage in ("gone", "cut", "zeroed", "text")]
    + [pytest.param(fail(errno.ENOSPC), "gone", id="gone and ENOSPC")],
)
def test_every_row_of_a_fill_is_the_old_one_or_the_new_one(
    tmp_path: Path,
    made: Made,
    row: Callable[[str, str], Row],
    fault: Callable[[], None],
    damage: str | None,
) -> None:
    if made in (exceptions, pcre, spellings) and damage:
        damage = "gone"  # any text is one to them
    old, new = before(made, row), after(made, row)

    def prepare(folder: Path) -> None:
        made(folder, Disk()).fill(old.items())
        if damage:
            harm(next(folder.iterdir()), damage)

    def act(folder: Path, disk: Disk) -> None:
        made(folder, disk).fill(new.items())

    for at in each_effect(tmp_path / "whole", prepare, act):
        folder = tmp_path / str(at)
        folder.mkdir()
        prepare(folder)
        struck(act, folder, at, fault)
        target = made(folder, Disk())
        if damage is None:
            found = target.read()
            assert old.keys() & new.keys() <= found.keys() <= old.keys() | new.keys(), at
            assert all(found[key] in (old.get(key), new.get(key)) for key in found), at
        elif target.is_there() and not target.damage():
            assert target.read() == new, at
        is_mended(target, new, folder)


def harm(path: Path, damage: str) -> None:
    """Does something to a file."""
    raw = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    elif damage == "zeroed":
        path.write_bytes(bytes(len(raw)))
    else:
        path.write_bytes(b"no table " * (len(raw) // 9))
