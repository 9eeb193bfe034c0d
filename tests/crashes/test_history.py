"""A change that is killed or fails anywhere is in the history once if it was made, and else not.

FAULTS=1 in the environment stops at every effect of every kind of folder; else at some.
"""

import errno
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from asyncinotify import Inotify

from mailroster.daemons.file_events import _MASK
from mailroster.publish.reconcile import reconcile
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store
from mailroster.store.history.entry import HistoryEntry
from mailroster.store.history.log import HISTORY
from mailroster.store.history.undo import revert
from mailroster.system.files import Disk
from mailroster.system.stability import Settling
from tests.support.faulty import (
    ACCOUNTS,
    BEFORE,
    FILES,
    HASH,
    NOBODY,
    VIRTUAL,
    Edit,
    FaultyDisk,
    contents,
    debris,
    delete_with_all,
    delete_with_quota,
    die,
    elsewhere,
    fail,
    fill,
    in_child,
    listing,
    public_folder,
    set_password,
)
from tests.support.places import Foreign, Linked, Mounted, Place
from tests.support.places import root as root  # a fixture
from tests.support.published_home import Home, add

LIMIT = 1 << 20
EVERY = bool(os.environ.get("FAULTS"))
EDITS = (set_password, delete_with_quota, delete_with_all)
OLD = {file: text.encode() for file, text in BEFORE.items()}


def store(folder: Path, disk: Disk | None = None, limit: int = LIMIT, wait_s: int = 1) -> Store:
    return Store(
        str(folder),
        disk,
        wait_s,
        history_bytes=limit,
        author=lambda: "0:root - setup test",
        linked=elsewhere(folder),
    )


def history(folder: Path) -> list[HistoryEntry]:
    return list(store(folder).history())


def undone(folder: Path) -> dict[str, bytes]:
    """What the files hold once the newest change is taken back."""
    entry = history(folder)[0]
    store(folder, limit=0).transact(lambda roster: revert(roster, entry))
    return contents(folder)


def in_place(place: Place, disk: Disk, edit: Edit, limit: int = LIMIT) -> str:
    return in_child(lambda: store(place.folder, disk, limit).transact(edit), uid=place.uid)


def first(place: Place) -> None:
    """The folder in its first state, with a history of two changes."""
    place.again()
    path = place.folder / HISTORY
    path.write_bytes(two_changes())
    path.chmod(0o600)
    if place.uid is not None:
        os.chown(path, place.uid, place.uid)


@cache
def two_changes() -> bytes:
    with public_folder() as folder:
        fill(folder)
        for edit in (twice, set_password):
            store(folder).transact(edit)
        return (folder / HISTORY).read_bytes()


def twice(roster: Roster) -> Roster:
    return roster._replace(virtual=roster.virtual.append("more@x.com a@x.com"))


@pytest.mark.parametrize(
    ("kind", "edit"),
    [(Place, edit) for edit in EDITS]
    + [(kind, delete_with_all) for kind in (Linked, Mounted, Foreign)],
)
def test_killed_at_every_effect_a_change_is_noted_once_if_it_was_made(
    root: Path, kind: type[Place], edit: Edit
) -> None:
    place = kind(root)
    ended, at, seen = "killed", 0, set()
    while ended == "killed":
        at += 1 if EVERY or kind is Place else 3
        first(place)
        ended = in_place(place, FaultyDisk(at, die), edit)
        assert place.recover() == "done", at
        made = contents(place.folder) != OLD
        found = history(place.folder)
        assert [entry.id for entry in found] == ([3, 2, 1] if made else [2, 1]), at
        assert place.debris() == [], at
        if made:
            assert undone(place.folder) == OLD, at
        seen.add(made)
    assert ended == "done"
    assert seen == {True, False}
    assert at > 8


@pytest.mark.parametrize("kind", (Place, Mounted))
def test_killed_and_looked_at_by_the_next_change_it_is_noted_once(
    root: Path, kind: type[Place]
) -> None:
    """As above, but it is the next change that finds what was left."""
    place = kind(root)
    ended, at = "killed", 0
    while ended == "killed":
        at += 1 if EVERY or kind is Place else 3
        first(place)
        ended = in_place(place, FaultyDisk(at, die), delete_with_all)
        assert in_place(place, Disk(), twice) == "done", at
        now = contents(place.folder)
        assert now[VIRTUAL].endswith(b"more@x.com a@x.com\n")
        made = now[ACCOUNTS] != OLD[ACCOUNTS]
        ids = [entry.id for entry in history(place.folder)]
        assert ids == ([4, 3, 2, 1] if made else [3, 2, 1]), at
    assert ended == "done"


@pytest.mark.parametrize("number", (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS))
@pytest.mark.parametrize("edit", (set_password, delete_with_all))
def test_a_failure_at_any_effect_loses_no_change_and_none_is_noted_that_was_not_made(
    root: Path, edit: Edit, number: int
) -> None:
    place, failed, at = Place(root), True, 0
    told = 0
    while failed:
        at += 1
        first(place)
        failed = False

        def fault() -> None:
            nonlocal failed
            failed = True
            fail(number)()

        unnoted, said = "", ""
        try:
            unnoted = store(place.folder, FaultyDisk(at, fault)).transact(edit).history_fault
        except Exception as error:  # noqa: BLE001 - whatever it is, judged below
            said = str(error)
        assert place.recover() == "done"
        made = contents(place.folder) != OLD
        assert made or said, (at, "a change that is not made is told")
        ids = [entry.id for entry in history(place.folder)]
        assert ids == ([3, 2, 1] if made and not unnoted else [2, 1]), (at, said, unnoted)
        told += bool(unnoted)
        assert place.debris() == [], at
    assert told > 1, "a history that can't be written is told, and the change is made"


def test_a_kill_while_the_older_half_is_dropped_loses_nothing_else(root: Path) -> None:
    place, at, ended = Place(root), 0, "killed"
    limit = 1500
    while ended == "killed":
        at += 1
        first(place)
        for _ in range(4):
            assert in_place(place, Disk(), set_password, limit) == "done"
            place.again()
        before = [entry.id for entry in history(place.folder)]
        ended = in_place(place, FaultyDisk(at, die), delete_with_all, limit)
        assert place.recover() == "done"
        made = contents(place.folder) != OLD
        ids = [entry.id for entry in history(place.folder)]
        assert ids[:2] == ([7, 6] if made else [6, 5]), at
        assert ids == list(range(ids[0], ids[-1] - 1, -1))
        assert place.debris() == [], at
    assert len(ids) < len(before), "the last run has dropped some"
    assert (place.folder / HISTORY).stat().st_size < limit


@pytest.mark.parametrize(
    "tail",
    [
        b"change 3 2026-01-01T00:00:00Z 0:root - setup te",
        b"change 3 2026-01-01T00:00:00Z 0:root - setup test\nfile postfix-accounts.cf 1 2\nat 0",
        b"change 3 2026-01-01T00:00:00Z 0:root - setup test\nfile x 1 2\nat 0 1\n+x\nend",
        bytes(100),
        b"change 3" + bytes(100),
        b"no line of ours",
        b"change x y z\nend x\n",
    ],
)
def test_a_torn_end_is_skipped_and_mended(root: Path, tail: bytes) -> None:
    place = Place(root)
    first(place)
    with (place.folder / HISTORY).open("ab") as file:
        file.write(tail)
    assert [entry.id for entry in history(place.folder)] == [2, 1]
    assert in_place(place, Disk(), set_password) == "done"
    found = history(place.folder)
    assert [entry.id for entry in found] == [3, 2, 1]
    assert undone(place.folder) == OLD


def test_whatever_is_cut_off_a_history_the_next_change_is_noted(root: Path) -> None:
    place = Place(root)
    first(place)
    whole = (place.folder / HISTORY).read_bytes()
    for length in range(0, len(whole), 7):
        place.again()
        (place.folder / HISTORY).write_bytes(whole[:length])
        assert store(place.folder).transact(set_password).history_fault == ""
        ids = [entry.id for entry in history(place.folder)]
        assert ids == list(range(ids[0], 0, -1)), length
        assert undone(place.folder) == OLD, length


@pytest.mark.parametrize("what", ("folder", "link", "fifo", "read only"))
def test_a_history_that_can_not_be_written_stops_no_change(root: Path, what: str) -> None:
    place = Foreign(root)
    place.again()
    path = place.folder / HISTORY
    if what == "folder":
        path.mkdir()
    elif what == "link":
        (root / "elsewhere/kept").write_text("kept")
        path.symlink_to(root / "elsewhere/kept")
    elif what == "fifo":
        os.mkfifo(path)
    else:
        path.write_text("# of root\n")
        path.chmod(0o600)
    told = in_child(
        lambda: print_unnoted(store(place.folder).transact(set_password).history_fault), uid=NOBODY
    )
    assert told.startswith("TryAgain: ")
    assert HISTORY in told
    assert contents(place.folder)[ACCOUNTS] != OLD[ACCOUNTS]
    if what == "link":
        assert (root / "elsewhere/kept").read_text() == "kept"


def print_unnoted(words: str) -> None:
    from mailroster.base.findings import TryAgain

    raise TryAgain(words)  # what a child tells


def test_of_changes_at_once_each_is_noted_once_and_has_its_own_number(root: Path) -> None:
    place = Place(root)
    first(place)

    def add_recipient(number: int) -> None:
        def edit(roster: Roster) -> Roster:
            return roster._replace(virtual=roster.virtual.append(f"n{number}@x.com a@x.com"))

        store(place.folder, wait_s=60).transact(edit)

    children = []
    for number in range(20):
        child = os.fork()
        if not child:
            add_recipient(number)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 20
    found = history(place.folder)
    assert [entry.id for entry in found] == list(range(22, 0, -1))
    added = {hunk.added for entry in found[:20] for part in entry.files for hunk in part.hunks}
    assert added == {f"n{number}@x.com a@x.com\n".encode() for number in range(20)}
    for entry in found[:20]:
        store(place.folder, limit=0).transact(partial(reverted, entry=entry))
    assert contents(place.folder) == OLD


# -- looking


@contextmanager
def watched(folder: Path) -> Iterator[Callable[[], bool]]:
    """Gives whether `up`, which watches a folder, would be woken by now."""
    with Inotify() as inotify:
        inotify.add_watch(folder, _MASK)
        yield lambda: bool(select.select([inotify.fd], [], [], 0)[0])


def test_a_look_at_the_history_wakes_nobody(root: Path) -> None:
    place = Place(root)
    first(place)
    roster = Store(str(place.folder)).read()
    with watched(place.folder) as woken:
        assert [entry.id for entry in history(place.folder)] == [2, 1]
        noting = store(place.folder)
        assert noting.record_manual_edits(roster.roster, roster.roster, roster.identities) == ""
        Store(str(place.folder)).read()
        assert not woken()
        in_place(place, Disk(), set_password)
        assert woken(), "the test sees"


def test_tables_that_can_not_be_written_wake_nobody_again_and_again(root: Path) -> None:
    """A hand edit is noted once; to try again opens nothing for writing."""
    home = Home(root, 1 << 20)
    home.make()
    before = store(home.config).read()
    path = home.config / ACCOUNTS
    path.write_bytes(path.read_bytes() + f"\nhand@x.com|{HASH}\n".encode())
    noting = store(home.config)
    now = noting.read()
    assert noting.record_manual_edits(before.roster, now.roster, now.identities) == ""
    assert [entry.by_hand for entry in history(home.config)] == [True]
    with watched(home.config) as woken:
        for _ in range(3):
            assert noting.record_manual_edits(before.roster, now.roster, now.identities) == ""
        assert not woken()
    assert len(history(home.config)) == 1


@pytest.mark.parametrize("edit", EDITS)
def test_after_a_kill_at_every_effect_the_history_is_seen_as_a_recovery_makes_it(
    root: Path, edit: Edit
) -> None:
    place, ended, at = Place(root), "killed", 0
    while ended == "killed":
        at += 1
        first(place)
        ended = in_place(place, FaultyDisk(at, die), edit)
        before = listing(place.folder)
        seen = history(place.folder)
        assert listing(place.folder) == before, at
        assert place.recover() == "done", at
        assert in_child(lambda: store(place.folder).transact(twice)) == "done"
        assert history(place.folder)[1:] == seen, at


# -- large files, and a reconciliation


@pytest.fixture
def home(root: Path) -> Home:
    """With an index of each file."""
    home = Home(root, 1)
    home.make()
    path = home.config / ACCOUNTS
    path.write_bytes(path.read_bytes() + b"\r\n")
    home.reconcile()
    return home


def within(home: Home, disk: Disk, act: Callable[[Store, Any], Any]) -> Any:
    def with_history(plain: Store, tables: Any) -> Any:
        find = tables.copies.current
        noting = Store(str(home.config), disk, 1, find, LIMIT, lambda: "0:root - setup test")
        return act(noting, tables)

    return home.within(disk, with_history)


def command(home: Home, disk: Disk, edit: Edit, *, wait: bool = True) -> None:
    def act(noting: Store, tables: Any) -> None:
        edited = noting.transact(edit, announce=lambda plan: tables.intents.record(plan.keys))
        if wait:
            reconcile(noting, tables, home.layout, Settling(0), edited=edited)

    within(home, disk, act)


def follow(home: Home, disk: Disk | None = None) -> None:
    within(home, disk or Disk(), lambda s, t: reconcile(s, t, home.layout, Settling(0)) and None)


def test_a_line_that_is_appended_is_noted_once_wherever_it_is_killed(home: Home) -> None:
    old, at, ended = contents(home.config), 0, "killed"
    while ended == "killed":
        at += 1 if EVERY else 4
        for file, content in old.items():
            (home.config / file).write_bytes(content)
        (home.config / HISTORY).unlink(missing_ok=True)
        home.reconcile()
        ended = in_child(lambda: command(home, FaultyDisk(at, die), add))  # noqa: B023
        follow(home)
        found = history(home.config)
        made = contents(home.config) != old
        assert [(entry.id, entry.command) for entry in found] == (
            [(1, "setup test")] if made else []
        ), at
        assert debris(home.config) == []
        if made:
            (change,) = found[0].files
            assert [hunk.added for hunk in change.hunks] == [f"new@fresh.org|{HASH}\r\n".encode()]
            assert undone(home.config) == old, at
    assert ended == "done"


@pytest.mark.parametrize("edit", (set_password, delete_with_all))
def test_what_a_killed_command_has_noted_is_not_noted_again_by_hand(home: Home, edit: Edit) -> None:
    old, at, ended = contents(home.config), 0, "killed"
    while ended == "killed":
        at += 1 if EVERY else 7
        for file, content in old.items():
            (home.config / file).write_bytes(content)
        (home.config / HISTORY).unlink(missing_ok=True)
        home.reconcile()
        ended = in_child(lambda: command(home, FaultyDisk(at, die), edit))  # noqa: B023
        follow(home)
        follow(home)
        made = contents(home.config) != old
        assert [e.command for e in history(home.config)] == ["setup test"] * made, at
    assert ended == "done"


def test_an_edit_by_hand_is_noted_once_wherever_its_convergence_is_killed(home: Home) -> None:
    old, at, ended = contents(home.config), 0, "killed"
    while ended == "killed":
        at += 1 if EVERY else 7
        (home.config / ACCOUNTS).write_bytes(old[ACCOUNTS])
        (home.config / HISTORY).unlink(missing_ok=True)
        home.reconcile()
        by_hand = old[ACCOUNTS].replace(b"# people", b"# persons") + b"hand@x.com|{PLAIN}x\r\n"
        (home.config / ACCOUNTS).write_bytes(by_hand)
        ended = in_child(lambda: follow(home, FaultyDisk(at, die)))  # noqa: B023
        follow(home)
        (entry,) = history(home.config)
        assert entry.by_hand, at
        assert undone(home.config) == old, at
        home.reconcile()
    assert ended == "done"
    assert at > 5


def test_an_edit_by_hand_beside_commands_that_do_not_wait_is_told_from_them(home: Home) -> None:
    old = contents(home.config)
    command(home, Disk(), set_password, wait=False)
    path = home.config / ACCOUNTS
    path.write_bytes(path.read_bytes() + b"hand@x.com|{PLAIN}x\r\n")
    command(home, Disk(), add, wait=False)
    follow(home)
    hand, added, changed = history(home.config)
    assert [hand.command, added.command, changed.command] == ["by hand", "setup test", "setup test"]
    assert [h.added for f in hand.files for h in f.hunks] == [b"hand@x.com|{PLAIN}x\r\n"]
    for entry in (hand, added, changed):
        store(home.config, limit=0).transact(partial(reverted, entry=entry))
    assert contents(home.config) == old


def reverted(roster: Roster, entry: HistoryEntry) -> Roster:
    return revert(roster, entry)


def test_files_are_all_there(root: Path) -> None:
    """What the tests above compare are all files of the edits."""
    assert set(contents(Place(root).folder)) == set(FILES)
