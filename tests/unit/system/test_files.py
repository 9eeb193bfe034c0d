"""Effects on files: what is there afterwards, and that no descriptor is left open."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mailroster.base.content import Range
from mailroster.system import files as disk
from mailroster.system.files import (
    Disk,
    identity,
    identity_of,
    is_own,
    make_folder,
    mode_for_all,
    owner_and_mode,
    owner_of,
    read,
    read_own,
    read_small,
)
from tests.support.faulty import public_folder


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
    folders = Folders()
    folders.make_folder(str(tmp_path / "a/b/c"), 0o700)
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o700
    assert set(folders.synced) == {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a/b")}
    folders.make_folder(str(tmp_path / "a/b/c"))
    assert len(folders.synced) == 3


def test_a_folder_may_be_named_from_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = Folders()
    folders.make_folder("a/b")
    assert (tmp_path / "a/b").is_dir()
    assert set(folders.synced) == {str(tmp_path), str(tmp_path / "a")}


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


def test_a_file_is_ours_if_no_other_user_can_have_put_it_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert (is_own(str(path)), read_own(str(path))) == (False, b"")
    path.write_bytes(b"ours")
    assert (is_own(str(path)), read_own(str(path))) == (True, b"ours")
    (tmp_path / "link").symlink_to(path)
    assert (is_own(str(tmp_path / "link")), read_own(str(tmp_path / "link"))) == (False, b"")
    assert (is_own(str(path / "inner")), read_own(str(path / "inner"))) == (False, b"")
    (tmp_path / "other").hardlink_to(path)
    assert (is_own(str(path)), read_own(str(path))) == (False, b"")
    (tmp_path / "other").unlink()
    os.chown(path, 65534, 65534)
    assert (is_own(str(path)), read_own(str(path))) == (False, b"")
    os.mkfifo(tmp_path / "fifo")
    assert not is_own(str(tmp_path / "fifo"))
    assert read_own(str(tmp_path / "fifo")) == b""
    assert not is_own(str(tmp_path))


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1234")
    assert read_small(str(path)) == read(str(path)) == b"1234"
    assert read_small(str(tmp_path / "none")) == b""
    monkeypatch.setattr(disk, "SMALL_MAX_BYTES", 4)
    assert read_small(str(path)) == b"1234"
    path.write_bytes(b"12345")
    with pytest.raises(OSError, match="larger than 4 bytes") as raised:
        read_small(str(path))
    assert raised.value.errno == errno.EFBIG
    assert read(str(path)) == b"12345"


def test_a_folder_is_open_to_all_whatever_the_umask_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o077)
    try:
        make_folder("a/b")
    finally:
        os.umask(before)
    assert [Path(path).stat().st_mode & 0o777 for path in ("a", "a/b")] == [0o755, 0o755]
    Path("a").chmod(0o700)
    make_folder(str(tmp_path / "a/b/c"))
    assert Path("a").stat().st_mode & 0o777 == 0o700, "what is there stays as it is"
    assert Path("a/b/c").is_dir()


def test_an_owner_is_kept_and_a_mode_without_what_runs_as_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.chown(path, 1234, 4321)
    path.chmod(0o6755)
    assert owner_and_mode(str(path)) == ((1234, 4321), 0o755)
    (tmp_path / "link").symlink_to("file")
    assert owner_and_mode(str(tmp_path / "link"))[0] == (0, 0)
    assert owner_of(str(tmp_path / "none"), str(path), str(tmp_path)) == 1234
    assert owner_of(str(tmp_path / "none"), str(tmp_path)) == 0
    with pytest.raises(FileNotFoundError):
        owner_of(str(tmp_path / "none"), str(tmp_path / "no file"))


@pytest.mark.parametrize(
    ("folder_mode", "mode", "for_all"),
    [
        (0o755, 0o644, 0o644),
        (0o711, 0o604, 0o604),
        (0o755, 0o640, None),
        (0o750, 0o644, None),
        (0o754, 0o644, None),
    ],
)
def test_a_file_is_readable_for_all_if_each_folder_above_it_lets_them_in(
    folder_mode: int, mode: int, for_all: int | None
) -> None:
    with public_folder() as above:
        folder = above / "folder"
        folder.mkdir()
        (folder / "file").touch()
        (folder / "file").chmod(mode)
        folder.chmod(folder_mode)
        (above / "link").symlink_to(folder / "file")
        assert mode_for_all(str(folder / "file")) == for_all
        assert mode_for_all(str(above / "link")) == for_all
        assert mode_for_all(str(folder / "none")) is None


def test_a_file_that_is_no_regular_one_is_not_read_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = open_files()
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
            read(str(path))
    assert open_files() == before


@pytest.mark.parametrize(
    ("number", "copies"), [(errno.EXDEV, True), (errno.EINVAL, True), (errno.EIO, False)]
)
def test_where_the_kernel_can_not_copy_between_two_files_we_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, copies: bool
) -> None:
    def fails(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "copy_file_range", fails)
    (tmp_path / "base").write_bytes(b"0123456789")
    with (tmp_path / "base").open("rb") as file:
        parts = [Range(file.fileno(), 2, 9)]
        if copies:
            Disk().create(str(tmp_path / "new"), parts, 0o600, None)
            assert (tmp_path / "new").read_bytes() == b"2345678"
        else:
            with pytest.raises(OSError, match="Input/output error"):
                Disk().create(str(tmp_path / "new"), parts, 0o600, None)
