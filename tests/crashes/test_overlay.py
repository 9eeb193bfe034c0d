"""Bringing what is new into an overlay is safe to stop anywhere and to repeat."""

import errno
from pathlib import Path

import pytest

from mailroster.store.overlay.overlay import Overlay
from tests.support.faulty import (
    ACCOUNTS,
    BEFORE,
    QUOTAS,
    VIRTUAL,
    FaultyDisk,
    contents,
    debris,
    delete_with_all,
    die,
    edited,
    fail,
    in_child,
)
from tests.support.kubelet import Volume

NEW = {ACCOUNTS: f"{BEFORE[ACCOUNTS]}\nd@x.com|{{PLAIN}}d\n", VIRTUAL: "new@x.com d@x.com\n"}
LATER = {**NEW, VIRTUAL: "later@x.com d@x.com\n", QUOTAS: "d@x.com:1G\n"}
#: More than any run here has.
ALL = 1000


class Pair:
    """An overlay that has all of its source, which is then changed."""

    def __init__(self, root: Path) -> None:
        self.volume = Volume(root / "source", BEFORE)
        self.folder = root / "overlay"
        assert self.bring() == "done"
        self.volume.put(NEW)

    def bring(self, disk: FaultyDisk | None = None) -> str:
        overlay = Overlay(str(self.volume.folder), str(self.folder), disk)
        return in_child(lambda: overlay.update(wait_s=0))

    def files(self) -> dict[str, str]:
        return {p.name: p.read_bytes().decode() for p in self.folder.iterdir() if p.name[0] != "."}

    def states(self) -> set[str]:
        overlay = Overlay(str(self.volume.folder), str(self.folder))
        return {each.state for each in overlay.file_states()}


def effects(tmp_path: Path) -> int:
    """How many effects the change has."""
    disk = FaultyDisk(ALL, die)
    pair = Pair(tmp_path / "counted")
    Overlay(str(pair.volume.folder), str(pair.folder), disk).update()
    return disk.count


@pytest.mark.parametrize("then", [NEW, LATER], ids=["the same source", "one that went on"])
@pytest.mark.parametrize("error", [None, errno.ENOSPC, errno.EIO], ids=["kill", "full", "broken"])
def test_what_is_stopped_anywhere_is_made_whole_by_the_next_one(
    tmp_path: Path, then: dict[str, str], error: int | None
) -> None:
    count = effects(tmp_path)
    assert count >= 20
    for at in range(1, count + 1):
        pair = Pair(tmp_path / str(at))
        word = pair.bring(FaultyDisk(at, die if error is None else fail(error)))
        assert word == "killed" if error is None else word.startswith("TryAgain: "), (at, word)
        for file, text in pair.files().items():
            assert text in (BEFORE.get(file), NEW.get(file)), (at, file)
        if then is not NEW:
            pair.volume.put(then)
        assert pair.bring() == "done"
        assert pair.files() == then, at
        assert pair.states() == {"follows"}, at
        assert debris(pair.folder) == [".mailroster-source"], at


def test_an_edit_that_was_cut_short_is_finished_first_and_stays(tmp_path: Path) -> None:
    """What a command was about to do counts here, and is not taken for a file to be replaced."""
    counted = FaultyDisk(ALL, die)
    pair = Pair(tmp_path / "counted")
    assert edited(pair.folder, delete_with_all, counted) == "done"
    finished = 0
    for at in range(1, 200):
        pair = Pair(tmp_path / str(at))
        before = contents(pair.folder)
        word = edited(pair.folder, delete_with_all, FaultyDisk(at, die))
        if word == "done":
            break
        assert pair.bring() == "done"
        found = {file: text.encode() for file, text in pair.files().items()}
        if found != {file: text.encode() for file, text in NEW.items()}:
            finished += 1
            assert b"b@x.com" not in b"".join(found.values()), at
            assert set(found) == set(before), at
        assert debris(pair.folder) == [".mailroster-source"], at
    assert finished > 3


def test_a_file_that_is_saved_in_the_last_moment_is_not_written_over(tmp_path: Path) -> None:
    saved = lost = 0
    for at in range(1, effects(tmp_path) + 1):
        pair = Pair(tmp_path / str(at))
        path = pair.folder / VIRTUAL

        def save(path: Path = path) -> None:
            path.with_name("saved").write_text("saved@x.com a@x.com\n")
            path.with_name("saved").rename(path)

        assert pair.bring(FaultyDisk(at, save)) == "done"
        text = path.read_text()
        if text == NEW[VIRTUAL]:
            lost += 1
        else:
            saved += 1
            assert text == "saved@x.com a@x.com\n", at
    assert saved > 3
    assert lost == 1, "between the last look and the rename"
