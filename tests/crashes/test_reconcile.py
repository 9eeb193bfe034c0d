"""A change that is stopped before any single effect, on the files or on the tables: the next
reconciliation makes the tables what the files say, which are wholly old or wholly new.

FAULTS=1 in the environment stops at every effect; else at some, spread over all changes.
"""

import errno
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from mailroster.base.address import account
from mailroster.base.findings import Refused
from mailroster.edits import accounts, aliases
from mailroster.publish import live_tables, removal_guard
from mailroster.publish.live_tables import LiveTables
from mailroster.publish.reconcile import reconcile
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store
from mailroster.system.files import Disk
from mailroster.system.stability import Settling
from tests.support.faulty import (
    ACCOUNTS,
    HASH,
    QUOTAS,
    VIRTUAL,
    FaultyDisk,
    contents,
    delete_with_all,
    die,
    fail,
    in_child,
    interrupt,
    set_password,
)
from tests.support.published_home import ORIGIN, REGEXP, Home, add, add_alias, set_quota
from tests.support.published_home import root as root

EVERY = bool(os.environ.get("FAULTS"))


def add_recipient(roster: Roster) -> Roster:
    return aliases.add_alias(roster, "only@x.com", ["c@x.com"], ORIGIN)


def longer_password(roster: Roster) -> Roster:
    return accounts.set_password(roster, account("a@x.com"), HASH + "longer")


def restrict(roster: Roster) -> Roster:
    return accounts.restrict(roster, "send_access", "a@x.com")


COMMANDS = (
    add, add_alias, add_recipient, longer_password, set_password, set_quota, restrict,
    delete_with_all,
)  # fmt: skip
BY_HAND: dict[str, dict[str, str]] = {
    "lines here and there": {
        ACCOUNTS: f"# all\na@x.com|{HASH}2\nc@x.com|{HASH}\nd@y.org|{HASH}\n",
        QUOTAS: "a@x.com:2G\nd@y.org:1G\n",
        VIRTUAL: "all@x.com a@x.com\n@y.org d@y.org\n",
    },
    "a rule": {REGEXP: "/^r[0-9]@x\\.com$/ b@x.com\n"},
}
KINDS = pytest.mark.parametrize("index_from", (1, 1 << 20), ids=("indexed", "small"))
FAULTS = {
    "killed": die,
    "interrupted": interrupt,
    "full": fail(errno.ENOSPC),
    "broken": fail(errno.EIO),
    "closed": fail(errno.EACCES),
    "read-only": fail(errno.EROFS),
}


class Change(NamedTuple):
    """One change, as a command or `up` makes it."""

    name: str
    run: Callable[[Home, Disk], None]


def follow_a_large_change(home: Home, disk: Disk) -> None:
    """As `up` does when most lines differ: every row is compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_tables, "MANY", 1)
        patch.setattr(removal_guard, "_MANY", 1)
        home.follow(disk, BY_HAND["lines here and there"])


CHANGES = [
    *(Change(verb.__name__, partial(Home.edit, verb=verb)) for verb in COMMANDS),
    *(Change(name, partial(Home.follow, by_hand=texts)) for name, texts in BY_HAND.items()),
]
LARGE = Change("a large change", follow_a_large_change)


#: An edit and a change by hand are tried with every fault. The others are not tried with EIO and
#: EROFS, which take the same path as ENOSPC and EACCES.
STOPS = [
    pytest.param(change, fault, id=f"{change.name}-{fault}")
    for change in CHANGES
    for fault in FAULTS
    if EVERY or fault not in ("broken", "read-only") or change in (CHANGES[0], CHANGES[-2])
]


@KINDS
@pytest.mark.parametrize(("change", "fault"), STOPS)
def test_a_change_that_is_stopped_anywhere_is_made_whole_by_the_next_convergence(
    root: Path, change: Change, fault: str, index_from: int
) -> None:
    step = 4 if (fault, index_from) == ("killed", 1) else 12
    _is_made_whole(root, change, fault, index_from, step, first=1 + CHANGES.index(change) % step)


@KINDS
def test_a_large_change_that_is_stopped_is_made_whole_by_the_next_convergence(
    root: Path, index_from: int
) -> None:
    """At fewer places, as each takes a look at all tables."""
    _is_made_whole(root, LARGE, "killed", index_from, step=24, first=3 + 12 * (index_from == 1))


def _is_made_whole(
    root: Path, change: Change, fault: str, index_from: int, step: int, first: int
) -> None:
    template = Home(root / "template", index_from)
    template.root.mkdir()
    template.make()
    whole = Home(root / "whole", index_from)
    shutil.copytree(template.root, whole.root)
    change.run(whole, Disk())
    whole.in_step()
    states = (contents(template.config), contents(whole.config))
    at, step = (1, 1) if EVERY else (first, step)
    stopped = True
    while stopped:
        home = Home(root / f"at-{at}", index_from)
        shutil.copytree(template.root, home.root)
        disk = FaultyDisk(at, FAULTS[fault])
        said = in_child(partial(_run, change, home, disk, root))
        stopped = (root / "stopped").exists()
        if stopped:
            (root / "stopped").unlink()
            expected = "killed" if fault == "killed" else ("TryAgain: ", "Refused: ", "Traceback")
            assert said.startswith(expected) or said == "done", (at, said)
            if fault not in ("killed", "interrupted"):
                assert not said.startswith("Traceback"), (at, said)
        home.reconcile()
        assert contents(home.config) in states, at
        home.in_step()
        assert home.reconcile(verify=True) == 0, at
        shutil.rmtree(home.root)
        at += step
    assert at > 8


def _run(change: Change, home: Home, disk: FaultyDisk, root: Path) -> None:
    fault = disk.fault

    def told() -> None:
        (root / "stopped").touch()
        fault()

    disk.fault = told
    change.run(home, disk)


@KINDS
def test_a_history_of_changes_leads_to_what_a_full_build_gives(root: Path, index_from: int) -> None:
    home = Home(root / "home", index_from)
    home.root.mkdir()
    home.make()
    for change in CHANGES[: len(COMMANDS)] * 2:
        try:
            change.run(home, Disk())
        except Refused:
            pass  # some edits can't be made twice
        home.in_step()
    assert home.reconcile(verify=True) == 0


@KINDS
def test_a_thousand_lines_more_by_hand_are_in_force_and_a_bad_one_is_told(
    root: Path, index_from: int
) -> None:
    home = Home(root / "home", index_from)
    home.root.mkdir()
    home.make()
    before = (home.config / ACCOUNTS).read_text()
    lines = [f"u{n}@many.org|{HASH}\n" for n in range(1500)]
    (home.config / ACCOUNTS).write_text(f"{before}\nbad line\n{''.join(lines)}")

    def act(store: Store, tables: LiveTables) -> list[str]:
        return [f.code for f in reconcile(store, tables, home.layout, Settling(0)).faults]

    assert home.within(Disk(), act) == ["missing-password"]
    home.in_step()
    (home.config / ACCOUNTS).write_text(f"{before}\n{''.join(lines[::2])}")
    home.reconcile()
    home.in_step()
    assert home.reconcile(verify=True) == 0
