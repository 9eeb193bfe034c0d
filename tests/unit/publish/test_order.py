"""The order in which Postfix's tables change: at no moment does a row lead to what is not there.

Mail to a domain that Postfix doesn't know yet, or no more, would leave for another server.
"""

import errno
import gc
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mailroster.base import address
from mailroster.base.address import split
from mailroster.base.layout import Layout
from mailroster.publish import live_tables
from mailroster.publish.destinations import targets_of
from mailroster.publish.live_tables import LiveTables
from mailroster.publish.published_files import PublishedFiles
from mailroster.publish.reconcile import without_collector
from mailroster.publish.tables.table import Changes, Row
from mailroster.publish.targets import FillResult
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.app_passwords import APP_PASSWORDS
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.servers.patterns import PatternMatcher
from tests.support.faulty import FaultyDisk, fail


def of(accounts: str, virtual: str) -> Router:
    roster = Roster(accounts=Document(ACCOUNTS, accounts), virtual=Document(VIRTUAL, virtual))
    return Router(roster, "host.test", PatternMatcher(roster.regexp))


ONE = of("a@x.com|{PLAIN}x\n", "crowd@x.com a@x.com\n")
OTHER = of(
    "b@new.org|{PLAIN}x\nc@x.com|{PLAIN}x\n",
    "crowd@x.com b@new.org,info@late.net\na@x.com b@new.org\ninfo@late.net c@x.com\n",
)


class Seen:
    """A table that lets somebody look after each change."""

    def __init__(self, target: Any, look: Callable[[], None]) -> None:
        self._target, self._look = target, look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def apply(self, changes: Changes) -> None:
        self._target.apply(changes)
        self._look()

    def fill(self, rows: Iterable[tuple[str, Row]], *, is_sorted: bool = False) -> FillResult:
        filled: FillResult = self._target.fill(rows, is_sorted=is_sorted)
        self._look()
        return filled


@pytest.mark.parametrize("how", ["what differs", "a large change", "all rows"])
@pytest.mark.parametrize(("old", "new"), [(ONE, OTHER), (OTHER, ONE)], ids=["forth", "back"])
def test_no_row_leads_to_what_is_not_there(
    tmp_path: Path, old: Router, new: Router, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(str(tmp_path))
    for folder in (layout.tables, layout.sql, layout.served):
        Path(folder).mkdir(parents=True)
    targets = {name: target for name, (target,) in targets_of(layout).items()}
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        rows = {name: targets[name].read() for name in ("aliases", "mailboxes", "domains")}
        for recipients in rows["aliases"].values():
            for recipient in str(recipients).split(", "):
                assert recipient in rows["mailboxes"] or recipient in rows["aliases"]
                assert split(recipient)[1] in rows["domains"]

    plain = LiveTables(layout, targets_of(layout))
    plain.begin("host.test", "2.3", "/srv/mail")
    plain.rebuild(old)
    tables = LiveTables(layout, {name: [Seen(target, look)] for name, target in targets.items()})
    if how == "all rows":
        tables.rebuild(new)
    else:
        monkeypatch.setattr(live_tables, "MANY", 2 if how == "a large change" else 2000)
        tables.apply_change(old, new)
    assert looks > 3


def test_every_target_of_a_table_holds_the_same_rows(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    for folder in (layout.tables, layout.sql, layout.served):
        Path(folder).mkdir(parents=True)
    second = LmdbTable(layout.table("second"))
    targets = {**targets_of(layout)}
    targets["aliases"] = [*targets["aliases"], second]
    tables = LiveTables(layout, targets)
    tables.begin("host.test", "2.3", "/srv/mail")
    tables.rebuild(ONE)
    assert [target.read() for target in targets["aliases"]] == [{"crowd@x.com": "a@x.com"}] * 2
    tables.apply_change(ONE, OTHER)
    rows = second.read()
    assert [target.read() for target in targets["aliases"]] == [rows] * 2
    assert len(rows) == 3
    os.unlink(layout.table("second.lmdb"))
    assert tables.lost() == ["aliases"]
    assert tables.repair(OTHER, tables.lost()) == 3
    assert second.read() == rows
    assert tables.are_whole()


@pytest.mark.parametrize(
    ("changed", "entries", "is_large"),
    [
        (2000, 0, False),
        (2001, 8003, True),
        (2001, 8004, False),
        (20_000, 79_999, True),
        (20_000, 80_000, False),
    ],
)
def test_a_change_is_large_by_its_share_of_all_entries(
    changed: int, entries: int, is_large: bool
) -> None:
    lines = [f"{n}@x.com|{{PLAIN}}x\n" for n in range(entries // 2)]
    aliases = [f"to-{n}@x.com {n}@x.com\n" for n in range(entries - len(lines))]
    roster = of("".join(lines), "".join(aliases)).roster
    assert live_tables.is_large(changed, roster) is is_large


def test_a_large_change_compares_every_row_and_writes_what_a_small_one_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for many in (2000, 2):
        layout = Layout(str(tmp_path / str(many)))
        for folder in (layout.tables, layout.sql, layout.served):
            Path(folder).mkdir(parents=True)
        tables = LiveTables(layout, targets_of(layout))
        tables.begin("host.test", "2.3", "/srv/mail")
        tables.rebuild(ONE)
        built = os.stat(layout.built).st_mtime_ns
        monkeypatch.setattr(live_tables, "MANY", many)
        changed = tables.apply_change(ONE, OTHER)
        rows.append((changed, {name: target.read() for name, (target,) in tables.targets.items()}))
        assert tables.are_whole()
        assert (os.stat(layout.built).st_mtime_ns != built) is (many == 2)
    assert rows[0] == rows[1]


@pytest.mark.parametrize("many", [2000, 0], ids=["a small change", "a large change"])
def test_a_deleted_or_changed_app_password_ends_the_sessions_of_its_account(
    many: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(str(tmp_path))
    for folder in (layout.tables, layout.sql, layout.served):
        Path(folder).mkdir(parents=True)
    accounts = "".join(f"{name}@x.com|{{PLAIN}}x\n" for name in "abcd")

    def router(*lines: str) -> Router:
        text = "".join(f"{line}\n" for line in lines)
        roster = of(accounts, "").roster
        return of(accounts, "")._replace(
            roster=roster._replace(app_passwords=Document(APP_PASSWORDS, text))
        )

    one, two = (f"{{SHA256.HEX}}{digit * 64}" for digit in "12")
    before = router(f"a@x.com|p|{one}", f"b@x.com|p|{one}", f"c@x.com|p|{one}")
    after = router(f"b@x.com|p|{two}", f"c@x.com|p|{one}|services=imap", f"d@x.com|p|{one}")
    tables = LiveTables(layout, targets_of(layout))
    tables.begin("host.test", "2.3", "/srv/mail")
    tables.rebuild(before)
    ended: set[str] = set()
    monkeypatch.setattr(tables._writer, "end_sessions", ended.update)
    monkeypatch.setattr(live_tables, "MANY", many)
    tables.apply_change(before, after)
    assert ended == {"a@x.com", "b@x.com"}
    rows = {name: target.read() for name, (target,) in tables.targets.items()}["app_passwords"]
    assert sorted(rows) == [f"{n}@x.com|{d * 64}" for n, d in (("b", "2"), ("c", "1"), ("d", "1"))]


def test_a_lost_folder_of_copies_is_made_by_the_next_rebuild(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    for folder in (layout.tables, layout.sql):
        Path(folder).mkdir(parents=True)
    tables = LiveTables(layout, targets_of(layout))
    tables.begin("host.test", "2.3", "/srv/mail")
    tables.rebuild(ONE)
    shutil.rmtree(layout.served)
    assert not tables.are_known()
    assert tables.rebuild(ONE) == 0
    assert tables.are_whole()


@pytest.mark.parametrize("at", range(1, 11))
def test_a_setting_whose_record_is_interrupted_still_leads_to_a_rebuild(
    tmp_path: Path, at: int
) -> None:
    layout = Layout(str(tmp_path))
    for folder in (layout.tables, layout.sql):
        Path(folder).mkdir(parents=True)
    tables = LiveTables(layout, targets_of(layout))
    tables.begin("host.test", "2.3", "/srv/mail")
    tables.rebuild(ONE)
    disk = FaultyDisk(at, fail(errno.EIO))
    with suppress(OSError):
        LiveTables(layout, targets_of(layout), disk=disk).begin("other.test", "2.3", "/srv/mail")
    assert tables.settings.origin() == "host.test" or not tables.are_known()


def test_another_delimiter_makes_every_row_and_the_index_anew(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    for folder in (layout.tables, layout.sql, layout.served):
        Path(folder).mkdir(parents=True)
    copies = PublishedFiles(layout.served, index_from=1)
    tables = LiveTables(layout, targets_of(layout), copies)
    try:
        for delimiters, is_other in (("+", True), ("+", False), ("-", True), ("", True)):
            address.use_delimiters(delimiters)
            tables.begin("host.test", "2.3", "/srv/mail")
            assert Path(layout.unfinished).exists() is is_other
            # No line is looked up by an index that was made for other extensions.
            assert isinstance(copies.roster().virtual, LargeDocument) is not is_other
            tables.rebuild(ONE)
            assert isinstance(copies.roster().virtual, LargeDocument)
    finally:
        address.use_delimiters("+")


@pytest.mark.parametrize("is_enabled", [True, False], ids=["as up", "as a command"])
def test_the_garbage_collector_rests_while_tables_are_built(is_enabled: bool) -> None:
    was_enabled = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()
        with pytest.raises(KeyError), without_collector():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() is is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
