"""An edit by hand at each step of ours, saved in each way: seen before the first file is replaced,
and then both are made, or ours is refused; never is one overwritten."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from mailroster.base.findings import Refused
from mailroster.store.config_folder import Store
from tests.support.faulty import (
    ACCOUNTS,
    BEFORE,
    FILES,
    QUOTAS,
    VIRTUAL,
    Edit,
    FaultyDisk,
    after,
    contents,
    debris,
    delete_with_all,
    fill,
    mount,
    own_mounts,
    public_folder,
    set_password,
)
from tests.support.hand_edits import renamed, same_size_and_time, written

#: What somebody changes in each file, which no edit of ours concerns.
BY_HAND = {
    ACCOUNTS: (b"# people", b"# humans"),
    QUOTAS: (b"# c has none", b"# c has some"),
    VIRTUAL: (b",c@x.com", b",d@x.com"),
}


class Meanwhile(FaultyDisk):
    """Lets somebody act before the effect with the given number, if no file is replaced yet.

    Behind our last look there is no more to be demanded: only a lock could close that gap.
    """

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        super().__init__(at, self._act)
        self._somebody, self._replacing = act, False
        self.acted = False

    def _act(self) -> None:
        if not self._replacing:
            self.acted = True
            self._somebody()

    def rename(self, old: str, new: str) -> None:
        self._replacing = True
        try:
            super().rename(old, new)
        except OSError:
            self._replacing = False  # a mount: what is to come takes its time
            raise

    def overwrite(self, path: str, content: bytes) -> None:
        self._replacing = True
        super().overwrite(path, content)


def appended(path: Path, content: bytes) -> None:
    """As `echo '# by hand' >> FILE`, whatever else it was to be."""
    with path.open("ab") as file:
        file.write(b"\n# by hand\n")


@pytest.fixture
def folder() -> Iterator[Path]:
    with public_folder() as path, own_mounts():
        (path / "config").mkdir()
        yield path / "config"


def plain(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    fill(folder)


def linked(folder: Path) -> None:
    """Each file a link to one elsewhere."""
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(exist_ok=True)
    for file in FILES:
        (elsewhere / file).unlink(missing_ok=True)
        if not (folder / file).is_symlink():
            (folder / file).symlink_to(f"../elsewhere/{file}")
    fill(folder)


def mounted(folder: Path) -> None:
    """Each file a mount of one elsewhere, which can't be renamed over."""
    elsewhere = folder.with_name("elsewhere")
    if not elsewhere.exists():
        elsewhere.mkdir()
        fill(folder)
        fill(elsewhere)
        for file in FILES:
            mount("--bind", elsewhere / file, folder / file)
    fill(folder)


CASES = [
    *((set_password, plain, save) for save in (renamed, written, same_size_and_time, appended)),
    *((delete_with_all, plain, save) for save in (renamed, appended)),
    (set_password, linked, renamed),
    (set_password, linked, written),
    (set_password, mounted, written),
]


@pytest.mark.parametrize(("change", "place", "save"), CASES, ids=lambda function: function.__name__)
def test_what_is_saved_at_any_step_before_a_file_is_replaced_is_kept_and_so_is_the_edit(
    folder: Path,
    change: Edit,
    place: Callable[[Path], None],
    save: Callable[[Path, bytes], None],
) -> None:
    steps = 0
    edited = [file for file in FILES if after(change)[file] != BEFORE[file].encode()]
    for file in edited:
        for at in count(1):
            place(folder)
            path = (folder / file).resolve()
            by_hand = path.read_bytes().replace(*BY_HAND[file])
            disk = Meanwhile(at, partial(save, path, by_hand))
            Store(str(folder), disk, linked=(str(folder.with_name("elsewhere")),)).transact(change)
            if disk.count < at:
                break
            if not disk.acted:
                continue
            steps += 1
            expected = after(change)
            if save is appended:
                assert expected[file].rstrip(b"\n") in (folder / file).read_bytes(), (file, at)
                assert b"# by hand" in (folder / file).read_bytes(), (file, at)
            else:
                expected[file] = expected[file].replace(*BY_HAND[file])
                assert contents(folder) == expected, (file, at)
            assert debris(folder) == [], (file, at)
    assert steps >= 3 * len(edited)


@pytest.mark.parametrize("change", (set_password, delete_with_all))
def test_an_accounts_file_that_is_removed_meanwhile_is_not_made_again(
    folder: Path, change: Edit
) -> None:
    for at in count(1):
        plain(folder)
        disk = Meanwhile(at, (folder / ACCOUNTS).unlink)
        try:
            Store(str(folder), disk, linked=(str(folder.with_name("elsewhere")),)).transact(change)
        except Refused as refused:
            assert "there is no account" in str(refused)
        if disk.count < at:
            break
        assert not disk.acted or not (folder / ACCOUNTS).exists(), at
        assert debris(folder) == [], at
    assert at > 3
