"""Effects on files: what is there afterwards, and that no descriptor is left open."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mailroster.disk import Disk, identity, identity_of
from mailroster.indexed import Range


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


class Failing(Disk):
    """Fails to sync."""

    def __init__(self, number: int) -> None:
        self._number = number

    def sync(self, fd: int) -> None:
        raise OSError(self._number, os.strerror(self._number))


EFFECTS: dict[str, Callable[[Disk, str], None]] = {
    "create": lambda disk, folder: disk.create(f"{folder}/new", b"text", 0o640, None),
    "overwrite": lambda disk, folder: disk.overwrite(f"{folder}/file", b"text"),
    "sync_folder": lambda disk, folder: disk.sync_folder(folder),
    "patch": lambda disk, folder: disk.patch(f"{folder}/file", (), [(0, b"x")], 2, sync=True),
}


@pytest.mark.parametrize("effect", EFFECTS.values(), ids=EFFECTS.keys())
def test_no_descriptor_is_left_open(tmp_path: Path, effect: Callable[[Disk, str], None]) -> None:
    (tmp_path / "file").write_bytes(b"old text")
    before = open_files()
    effect(Disk(), str(tmp_path))
    assert open_files() == before
    (tmp_path / "new").unlink(missing_ok=True)
    with pytest.raises(OSError, match="Input/output error"):
        effect(Failing(errno.EIO), str(tmp_path))
    assert open_files() == before


def test_a_new_file_must_not_exist_and_has_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "new"
    Disk().create(str(path), b"text", 0o640, (65534, 65534))
    status = path.stat()
    assert (path.read_bytes(), status.st_mode & 0o777) == (b"text", 0o640)
    assert (status.st_uid, status.st_gid) == (65534, 65534)
    with pytest.raises(FileExistsError):
        Disk().create(str(path), b"other", 0o600, None)
    assert path.read_bytes() == b"text"


@pytest.mark.parametrize("text", [b"", b"short", b"a longer text than before"])
def test_a_file_that_is_overwritten_is_the_same_file(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"the old text")
    path.chmod(0o604)
    inode = path.stat().st_ino
    Disk().overwrite(str(path), text)
    assert (path.read_bytes(), path.stat().st_ino) == (text, inode)
    assert path.stat().st_mode & 0o777 == 0o604
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        Disk().overwrite(str(tmp_path / "link"), b"through a link")
    assert path.read_bytes() == text


@pytest.mark.parametrize(
    ("number", "raises"), [(errno.EINVAL, False), (errno.EIO, True), (errno.ENOSPC, True)]
)
def test_a_folder_that_syncs_by_itself_is_no_fault(
    tmp_path: Path, number: int, raises: bool
) -> None:
    try:
        Failing(number).sync_folder(str(tmp_path))
    except OSError as error:
        assert (raises, error.errno) == (True, number)
    else:
        assert not raises


class Folders(Disk):
    def __init__(self) -> None:
        self.synced: list[str] = []

    def sync_folder(self, path: str) -> None:
        super().sync_folder(path)
        self.synced.append(os.path.realpath(path))


def test_a_folder_is_made_with_those_above_it_and_each_name_is_synced(tmp_path: Path) -> None:
    disk = Folders()
    disk.make_folder(str(tmp_path / "a/b/c"), 0o700)
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o700
    assert set(disk.synced) == {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a/b")}
    disk.make_folder(str(tmp_path / "a/b/c"))
    assert len(disk.synced) == 3


def test_a_folder_may_be_named_from_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    disk = Folders()
    disk.make_folder("a/b")
    assert (tmp_path / "a/b").is_dir()
    assert set(disk.synced) == {str(tmp_path), str(tmp_path / "a")}


def test_parts_of_a_file_move_before_others_are_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"aaaabbbbcc")
    Disk().patch(str(path), [(4, 0, 4), (8, 4, 2)], [(6, b"XY")], 8)
    assert path.read_bytes() == b"bbbbccXY"
    Disk().patch(str(path), [(2, 6, 6)], [(0, b"longer")], 12)
    assert path.read_bytes() == b"longerbbccXY"
    Disk().patch(str(path), (), (), 3)
    assert path.read_bytes() == b"lon"


def test_a_patch_is_synced_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    Failing(errno.EIO).patch(str(path), (), [(0, b"new")], 3)
    assert path.read_bytes() == b"new"
    with pytest.raises(OSError, match="Input/output error"):
        Failing(errno.EIO).patch(str(path), (), [(0, b"new")], 3, sync=True)


def test_a_content_of_parts_is_put_together(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.write_bytes(b"0123456789")
    with base.open("rb") as file:
        pieces: list[bytes | Range] = [
            b"a",
            Range(file.fileno(), 2, 5),
            b"b",
            Range(file.fileno(), 9, 10),
        ]
        Disk().create(str(tmp_path / "new"), pieces, 0o600, None)
        assert (tmp_path / "new").read_bytes() == b"a234b9"
        short = [Range(file.fileno(), 8, 12)]
        with pytest.raises(OSError, match="shorter"):
            Disk().create(str(tmp_path / "short"), short, 0o600, None)
        assert identity_of(file.fileno()) == identity(str(base))


def test_a_file_of_ours_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / "file.new").symlink_to(path)  # what another user has put there
    before = open_files()
    Disk().replace(str(path), b"new", mode=0o604, group=65534, mtime_s=1000)
    status = path.stat()
    assert (path.read_bytes(), status.st_mode & 0o777) == (b"new", 0o604)
    assert (status.st_gid, status.st_mtime) == (65534, 1000)
    assert os.listdir(tmp_path) == ["file"]
    assert open_files() == before
