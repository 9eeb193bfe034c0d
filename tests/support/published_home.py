"""A home with tables, whose reconciliation can be stopped at any effect."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailroster.base.address import account
from mailroster.base.layout import Layout
from mailroster.edits import accounts, aliases
from mailroster.publish.destinations import targets_of
from mailroster.publish.live_tables import LiveTables
from mailroster.publish.published_files import PublishedFiles
from mailroster.publish.reconcile import reconcile
from mailroster.publish.tables.order import tables_for
from mailroster.publish.tables.table import full
from mailroster.roster.documents.large import whole
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.servers.patterns import PatternMatcher
from mailroster.store.config_folder import Store
from mailroster.system.files import Disk
from mailroster.system.stability import Settling
from tests.support.faulty import (
    HASH,
    Edit,
    debris,
    fill,
)

ORIGIN = "host.test"


REGEXP = "postfix-regexp.cf"


class Home:
    """A config folder and the tables made of it, with no server."""

    def __init__(self, root: Path, index_from: int) -> None:
        self.root, self.config, self._index_from = root, root / "config", index_from
        self.layout = Layout(str(root / "state"))

    def make(self) -> None:
        self.config.mkdir()
        fill(self.config)
        (self.config / REGEXP).write_text("/^q[0-9]@x\\.com$/ a@x.com\n")
        for folder in (self.layout.tables, self.layout.sql, self.layout.served):
            os.makedirs(folder)
        self.within(Disk(), lambda store, tables: tables.begin(ORIGIN, "2.3", "/srv/mail"))
        self.reconcile()

    def within(self, disk: Disk, act: Callable[[Store, LiveTables], Any]) -> Any:
        copies = PublishedFiles(self.layout.served, disk, self._index_from)
        try:
            store = Store(str(self.config), disk, wait_s=1, find=copies.current)
            return act(store, LiveTables(self.layout, targets_of(self.layout, disk), copies, disk))
        finally:
            copies.close()

    def reconcile(self, *, verify: bool = False) -> int:
        """As the next command or `up` would; how many rows that changed."""

        def act(store: Store, tables: LiveTables) -> int:
            return reconcile(store, tables, self.layout, Settling(0), verify=verify).rows

        rows: int = self.within(Disk(), act)
        return rows

    def edit(self, disk: Disk, verb: Edit) -> None:
        """As a command does."""

        def act(store: Store, tables: LiveTables) -> None:
            edited = store.transact(verb, announce=lambda plan: tables.intents.record(plan.keys))
            reconcile(store, tables, self.layout, Settling(0), edited=edited)

        self.within(disk, act)

    def follow(self, disk: Disk, by_hand: dict[str, str]) -> None:
        """As `up` does when somebody has saved files."""
        for file, text in by_hand.items():
            (self.config / file).write_text(text)
        self.within(disk, lambda store, tables: reconcile(store, tables, self.layout, Settling(0)))

    def in_step(self) -> None:
        """Asserts that every table and every copy is what the files say, and nothing lies about."""

        def act(store: Store, tables: LiveTables) -> None:
            roster = Roster(*(whole(document) for document in store.read().roster))
            router = Router(roster, ORIGIN, PatternMatcher(roster.regexp))
            for table in tables_for("2.3"):
                for target in tables.targets[table.name]:
                    assert target.read() == full(table, router), table.name
            for (_, copy), (_, file) in zip(
                tables.copies.roster().documents(), roster.documents(), strict=True
            ):
                assert bytes(copy) == bytes(file), copy.format.file
            assert tables.are_whole()

        self.within(Disk(), act)
        assert debris(self.config) == []
        left = [path.name for path in Path(self.layout.state).rglob("*.new*")]
        assert left == []


def add(roster: Roster) -> Roster:
    return accounts.add_account(roster, Account(account("new@fresh.org"), HASH))


def add_alias(roster: Roster) -> Roster:
    return aliases.add_alias(roster, "fresh@x.com", ["only@x.com"], ORIGIN)


def set_quota(roster: Roster) -> Roster:
    return accounts.set_quota(roster, Quota(account("a@x.com"), "20G"))


@pytest.fixture
def root() -> Iterator[Path]:
    """Where a sync costs nothing."""
    path = Path(f"/dev/shm/mr-reconcile-{os.getpid()}")
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)
