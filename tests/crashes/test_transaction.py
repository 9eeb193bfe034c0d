"""A transaction that is killed or fails at any of its effects is wholly done or not done at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from mailroster.base.address import account
from mailroster.edits.accounts import add_account
from mailroster.roster.formats.accounts import Account
from mailroster.roster.roster import Roster
from mailroster.system.folder_lock import LOCK_FILE
from tests.support.faulty import (
    ACCOUNTS,
    BEFORE,
    FILES,
    NOBODY,
    Edit,
    FaultyDisk,
    after,
    contents,
    delete_with_all,
    delete_with_quota,
    die,
    edited,
    fail,
    recovered,
    set_password,
)
from tests.support.places import Foreign, Linked, Mounted, Place
from tests.support.places import root as root

EDITS = (set_password, delete_with_quota, delete_with_all)


class Owned(Place):
    """The files have owners and modes of their own."""

    def again(self) -> None:
        super().again()
        for number, file in enumerate(FILES):
            os.chown(self.folder / file, 1000 + number, 2000 + number)
            (self.folder / file).chmod(0o640 + number)


class LinkedForeign(Place):
    """The files are links to a folder where we may write the files, but make none."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.uid = NOBODY
        os.chown(self.folder, NOBODY, NOBODY)
        for file in FILES:
            (self.folder / file).rename(self.elsewhere / file)
            (self.folder / file).symlink_to(self.elsewhere / file)
            os.chown(self.elsewhere / file, NOBODY, NOBODY)


PLACES = (Place, Linked, Owned, Mounted, Foreign, LinkedForeign)


def states(edit: Edit) -> tuple[dict[str, bytes], dict[str, bytes]]:
    old = {file: text.encode() for file, text in BEFORE.items()}
    return old, after(edit)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("kind", PLACES)
def test_killed_at_every_effect_all_files_are_old_or_all_are_new(
    root: Path, kind: type[Place], edit: Edit
) -> None:
    place = kind(root)
    looks = place.looks()
    old, new = states(edit)
    assert old != new
    seen = []
    ended, at = "killed", 0
    while ended == "killed":
        at += 1
        place.again()
        ended = place.run(edit, FaultyDisk(at, die))
        assert place.recover() == "done", at
        assert contents(place.folder) in (old, new), at
        assert place.debris() == [], at
        assert place.looks() == looks, at
        seen.append(contents(place.folder) == new)
    assert ended == "done"
    assert at > 5
    assert seen == sorted(seen), "once an edit counts, no later kill takes it back"
    assert (seen[0], seen[-1]) == (False, True)


#: In a plain folder all errors; elsewhere one that passes and one that does not, as others of their
#: sort take the same path.
ERRORS = [
    *((Place, number) for number in (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)),
    *((kind, number) for kind in PLACES[1:] for number in (errno.ENOSPC, errno.EACCES)),
]


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize(("kind", "number"), ERRORS)
def test_failing_at_every_effect_says_so_and_leaves_no_half(
    root: Path, kind: type[Place], edit: Edit, number: int
) -> None:
    place = kind(root)
    looks = place.looks()
    old, new = states(edit)
    failed = root / "failed"
    failed.touch()
    failed.chmod(0o666)

    def fault() -> None:
        failed.write_text("yes")
        fail(number)()

    at = 0
    while at == 0 or failed.read_text():
        at += 1
        place.again()
        failed.write_text("")
        said = place.run(edit, FaultyDisk(at, fault))
        at_once = contents(place.folder)
        assert said == "done" or said.startswith(("Refused: ", "TryAgain: ")), said
        if "nothing was changed" in said:
            assert at_once == old, (at, said)
            assert os.strerror(number) in said
        assert place.recover() == "done", (at, said)
        found = contents(place.folder)
        assert found in (old, new), (at, said)
        if said == "done" or "the edit is committed" in said:
            assert found == new, (at, said)
        if "nothing was changed" in said:
            assert found == old, (at, said)
        assert place.debris() == [], (at, said)
        assert place.looks() == looks, (at, said)
    assert at > 5


@pytest.mark.parametrize("kind", PLACES)
def test_killed_again_while_a_crash_is_mended_it_is_mended_by_the_next(
    root: Path, kind: type[Place]
) -> None:
    place = kind(root)
    looks = place.looks()
    old, new = states(delete_with_all)
    at, ended = 0, "killed"
    proved = set()  # states that a killed edit leaves: a sync that is missing changes none
    while ended == "killed":
        at += 1
        place.again()
        ended = place.run(delete_with_all, FaultyDisk(at, die))
        if (state := place.state()) in proved:
            assert place.recover() == "done", at
            continue
        proved.add(state)
        counts = (place.folder / ".mailroster-journal").exists() or contents(place.folder) == new
        again, recovery = 0, "killed"
        while recovery == "killed":
            if again:
                place.again()
                place.run(delete_with_all, FaultyDisk(at, die))
            again += 1
            recovery = place.recover(FaultyDisk(again, die))
            assert place.recover() == "done", (at, again)
            assert contents(place.folder) in (old, new), (at, again)
            assert counts or contents(place.folder) == old, (at, again)
            assert place.debris() == [], (at, again)
            assert place.looks() == looks, (at, again)
        assert recovery == "done"
    assert ended == "done"
    assert len(proved) > 5


def test_an_edit_that_makes_the_folder_leaves_it_empty_or_whole(tmp_path: Path) -> None:
    def add(roster: Roster) -> Roster:
        return add_account(roster, Account(account("a@x.com"), "{SHA512-CRYPT}$6$s$h"))

    ended, at = "killed", 0
    while ended == "killed":
        at += 1
        folder = tmp_path / str(at) / "dms" / "config"
        ended = edited(folder, add, FaultyDisk(at, die))
        if folder.exists():
            assert recovered(folder) == "done"
            names = [path.name for path in folder.iterdir() if path.name != LOCK_FILE]
            assert names in ([], [ACCOUNTS])
    assert ended == "done"
    assert (folder / ACCOUNTS).read_text() == "a@x.com|{SHA512-CRYPT}$6$s$h\n"
    assert stat.S_IMODE((folder / ACCOUNTS).stat().st_mode) == 0o600
