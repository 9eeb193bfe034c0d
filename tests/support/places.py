"""Config folders of every kind: with links, owners, mounts."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faulty import (
    FILES,
    NOBODY,
    Edit,
    FaultyDisk,
    debris,
    edited,
    fill,
    mount,
    own_mounts,
    public_folder,
    recovered,
)


class Place:
    """A config folder of one kind, in its first state whenever `again` was called."""

    def __init__(self, root: Path) -> None:
        self.folder, self.elsewhere = root / "config", root / "elsewhere"
        self.uid: int | None = None
        for folder in (self.folder, self.elsewhere):
            folder.mkdir(mode=0o755)
        self.again()

    def again(self) -> None:
        fill(self.folder)

    def looks(self) -> list[tuple[int, int, int, bool]]:
        """Mode, owner and group of every file, and whether it is a link."""
        paths = [self.folder / file for file in FILES]
        found = [path.stat() for path in paths]
        return [
            (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, path.is_symlink())
            for path, status in zip(paths, found, strict=True)
        ]

    def run(self, edit: Edit, disk: FaultyDisk) -> str:
        return edited(self.folder, edit, disk, uid=self.uid)

    def recover(self, disk: FaultyDisk | None = None) -> str:
        return recovered(self.folder, disk, uid=self.uid)

    def debris(self) -> list[str]:
        return debris(self.folder, self.elsewhere)

    def state(self) -> frozenset[tuple[str, int, bytes]]:
        """Path, mode and content of all that is in the folder and elsewhere."""
        paths = [path for folder in (self.folder, self.elsewhere) for path in folder.rglob("*")]
        return frozenset(
            (str(path), path.lstat().st_mode, path.read_bytes()) for path in paths if path.is_file()
        )


class Linked(Place):
    """Two files are links to another folder, one is a link to another name."""

    def again(self) -> None:
        for number, file in enumerate(FILES):
            path = self.folder / file
            if not path.is_symlink():
                place = self.folder if number == 1 else self.elsewhere
                path.symlink_to(place / f"real-{number}")
        super().again()


class Mounted(Place):
    """Each file is a mount point: no rename can replace it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        for file in FILES:
            (self.elsewhere / file).touch()
            mount("--bind", self.elsewhere / file, self.folder / file)
        self.again()


class Foreign(Place):
    """We may write the files, but not give a new one to their owner."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.uid = NOBODY
        os.chown(self.folder, NOBODY, NOBODY)
        for file in FILES:
            os.chown(self.folder / file, 0, NOBODY)
            (self.folder / file).chmod(0o660)


@pytest.fixture
def root() -> Iterator[Path]:
    with public_folder() as path, own_mounts():
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", path)  # where a sync costs nothing
        yield path
