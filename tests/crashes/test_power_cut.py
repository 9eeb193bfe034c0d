"""A power cut loses, in any order, whatever was not synced. From each disk that it may leave, the
next command makes the files of an edit wholly old or wholly new; once the edit was told to be done
they are new.

A run is recorded; the model of the disk is that a new name, a rename or a removal lasts for certain
once its folder was synced, and bytes once their file was. Of the rest any part may be there.
"""

import errno
import os
from collections.abc import Callable, Iterator
from itertools import chain, combinations
from pathlib import Path
from typing import NamedTuple

import pytest

from mailroster.base.content import Content
from mailroster.store.config_folder import Store
from mailroster.system.files import Disk
from mailroster.system.folder_lock import LOCK_FILE
from tests.support.faulty import (
    BEFORE,
    FILES,
    Edit,
    after,
    contents,
    debris,
    delete_with_all,
    delete_with_quota,
    set_password,
    texts,
)

Files = dict[str, bytes]  # by path below the root


class Op(NamedTuple):
    """One effect: what it puts where, and which name it takes away."""

    kind: str
    path: str
    content: bytes = b""
    removed: str = ""

    @property
    def folder(self) -> str:
        return os.path.dirname(self.path)


class Recorder(Disk):
    """Writes down what it does below a root. Mount points can't be renamed over."""

    def __init__(self, root: Path, *, mounted: bool) -> None:
        self._root, self._mounted = root, mounted
        self.log: list[Op] = []
        self._synced = False

    def _below(self, path: str) -> str:
        return os.path.relpath(os.path.realpath(path), os.path.realpath(self._root))

    def sync(self, fd: int) -> None:
        super().sync(fd)
        self._synced = True

    def _note(self, op: Op) -> None:
        if op.kind in ("create", "overwrite", "sync"):
            assert self._synced, "on the disk when it returns"
        self._synced = False
        self.log.append(op)

    def create(self, path: str, content: Content, mode: int, owner: tuple[int, int] | None) -> None:
        super().create(path, content, mode, owner)
        self._note(Op("create", self._below(path), Path(path).read_bytes()))

    def rename(self, old: str, new: str) -> None:
        if self._mounted and os.path.basename(new) in FILES:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        content, removed = Path(old).read_bytes(), self._below(old)
        super().rename(old, new)
        self._note(Op("rename", self._below(new), content, removed))

    def overwrite(self, path: str, content: bytes) -> None:
        super().overwrite(path, content)
        self._note(Op("overwrite", self._below(path), content))

    def remove(self, path: str) -> None:
        removed = self._below(path)
        super().remove(path)
        self._note(Op("remove", removed, removed=removed))

    def sync_folder(self, path: str) -> None:
        super().sync_folder(path)
        self._note(Op("sync", os.path.join(self._below(path), "*")))


def play(files: Files, ops: list[Op]) -> Files:
    files = dict(files)
    for op in ops:
        files.pop(op.removed, None)
        if op.kind in ("create", "rename", "overwrite"):
            files[op.path] = op.content
    return files


def unsynced(log: list[Op]) -> list[int]:
    """Which of the effects on names may not last."""
    return [
        number
        for number, op in enumerate(log)
        if op.kind in ("create", "rename", "remove")
        and not any(o.kind == "sync" and o.folder == op.folder for o in log[number:])
    ]


def half_done(files: Files, op: Op) -> Iterator[Files]:
    """What the disk may hold in the middle of an effect."""
    yield files
    if op.kind in ("create", "overwrite"):
        new, old = op.content, files.get(op.path, b"")
        half, grown = len(new) // 2, old.ljust(len(new), b"\0")
        pieces = (old, new[:half], new[:half] + grown[half:], grown[:half] + new[half:], grown)
        for part in (*pieces, new + old[len(new) :], new):
            if op.kind == "create" or len(part) >= min(len(old), len(new)):
                yield {**files, op.path: part}
    elif op.kind != "sync":
        yield play(files, [op])


def subsets(numbers: list[int]) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(numbers, n) for n in range(len(numbers) + 1))


def left_by_power_cuts(before: Files, log: list[Op]) -> Iterator[tuple[Files, int]]:
    """Each disk that may be found, and after how many effects."""
    for length in range(len(log) + 1):
        run = log[:length]
        doubtful = unsynced(run)
        for lasting in subsets(doubtful):
            lost = set(doubtful) - set(lasting)
            files = play(before, [op for n, op in enumerate(run) if n not in lost])
            for found in half_done(files, log[length]) if length < len(log) else (files,):
                yield found, length


def plain(root: Path) -> None:
    for file in FILES:
        (root / "config" / file).write_bytes(BEFORE[file].encode())


def linked(root: Path) -> None:
    for file in FILES:
        (root / "elsewhere" / file).write_bytes(BEFORE[file].encode())
        (root / "config" / file).symlink_to(f"../elsewhere/{file}")


def make(root: Path, place: Callable[[Path], None]) -> Path:
    for name in ("config", "elsewhere"):
        (root / name).mkdir(parents=True)
    place(root)
    return root / "config"


def files_of(root: Path) -> Files:
    """But for the lock file, which holds nothing."""
    paths = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    paths = (path for path in paths if path.name != LOCK_FILE)
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


PLACES = pytest.mark.parametrize(
    ("place", "mounted"),
    ((plain, False), (linked, False), (plain, True)),
    ids=("files", "links", "mounts"),
)


class Run:
    """Edits made one after the other, and every disk that a power cut may have left of them."""

    def __init__(self, root: Path, place: Callable[[Path], None], mounted: bool) -> None:
        self._root, self._place, self._mounted = root, place, mounted
        recorded = root / "recorded"
        self._folder = make(recorded, place)
        self._before = files_of(recorded)
        self._recorder = Recorder(recorded, mounted=mounted)
        self.states = [contents(self._folder)]
        self.ends = [0]

    def edit(self, edit: Edit) -> None:
        linked = (str(self._folder.parent / "elsewhere"),)
        Store(str(self._folder), self._recorder, linked=linked).transact(edit)
        self.states.append(contents(self._folder))
        self.ends.append(len(self._recorder.log))
        assert play(self._before, self._recorder.log) == files_of(self._root / "recorded")

    def outcomes(self) -> Iterator[tuple[int, int]]:
        """For each such disk how many edits had been told to be done, and how many are done once
        the next command has looked."""
        for number, (disk, length) in enumerate(
            left_by_power_cuts(self._before, self._recorder.log)
        ):
            root = self._root / str(number)
            folder = make(root, self._place)
            for path in files_of(root).keys() - disk.keys():
                (root / path).unlink()
            for path, content in disk.items():
                (root / path).write_bytes(content)
            linked = (str(root / "elsewhere"),)
            seen = Store(str(folder), linked=linked, wait_s=0).read().roster
            recorder = Recorder(root, mounted=self._mounted)
            store = Store(str(folder), recorder, wait_s=0, linked=linked)
            store.transact(lambda roster: roster)
            assert texts(store.read().roster) == texts(seen), "a look sees what a recovery makes"
            assert contents(folder) in self.states, disk
            assert debris(folder, root / "elsewhere") == [], disk
            told = sum(end <= length for end in self.ends) - 1
            yield told, self.states.index(contents(folder))


@PLACES
@pytest.mark.parametrize("edit", (set_password, delete_with_quota, delete_with_all))
def test_after_a_power_cut_at_any_moment_all_files_are_old_or_all_are_new(
    tmp_path: Path, place: Callable[[Path], None], mounted: bool, edit: Edit
) -> None:
    run = Run(tmp_path, place, mounted)
    run.edit(edit)
    assert run.states[1] == after(edit)
    assert set(run.outcomes()) == {(0, 0), (0, 1), (1, 1)}


@PLACES
def test_a_journal_that_a_power_cut_brings_back_does_no_harm_to_the_next_edit(
    tmp_path: Path, place: Callable[[Path], None], mounted: bool
) -> None:
    run = Run(tmp_path, place, mounted)
    run.edit(delete_with_all)
    run.edit(set_password)
    assert set(run.outcomes()) == {(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)}
