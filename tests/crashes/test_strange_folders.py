"""Files that are links, folders, pipes or mounts, or not ours to write: done right or refused."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailroster.roster.roster import Roster
from tests.support.faulty import (
    ACCOUNTS,
    BEFORE,
    FILES,
    NOBODY,
    QUOTAS,
    VIRTUAL,
    after,
    contents,
    debris,
    delete_with_all,
    edited,
    fill,
    listing,
    mount,
    own_mounts,
    public_folder,
    recovered,
    set_password,
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with public_folder() as path, own_mounts():
        (path / "config").mkdir(mode=0o755)
        (path / "elsewhere").mkdir(mode=0o755)
        fill(path / "config")
        yield path / "config"


# -- links, owners, modes


def test_a_chain_of_links_into_another_folder_is_followed_to_its_end(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    (folder / VIRTUAL).rename(elsewhere / "real")
    (elsewhere / "link").symlink_to("real")
    (folder / VIRTUAL).symlink_to("../elsewhere/link")
    inode = (elsewhere / "real").stat().st_ino
    assert edited(folder, delete_with_all) == "done"
    assert contents(folder) == after(delete_with_all)
    assert (folder / VIRTUAL).readlink() == Path("../elsewhere/link")
    assert (elsewhere / "link").readlink() == Path("real")
    assert not (elsewhere / "real").is_symlink()
    assert (elsewhere / "real").stat().st_ino != inode, "replaced, so that nobody reads half of it"
    assert debris(folder, elsewhere) == []


def test_a_link_to_a_file_that_is_not_there_yet_makes_it_there(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    (folder / ACCOUNTS).unlink()
    (folder / ACCOUNTS).symlink_to(elsewhere / "accounts")

    def restrict(roster: Roster) -> Roster:
        accounts = roster.accounts.append("new@x.com|{PLAIN}x")
        return roster._replace(accounts=accounts)

    assert edited(folder, restrict) == "done"
    assert (folder / ACCOUNTS).is_symlink()
    assert (elsewhere / "accounts").read_text() == "new@x.com|{PLAIN}x\n"
    assert stat.S_IMODE((elsewhere / "accounts").stat().st_mode) == 0o600
    assert debris(folder, elsewhere) == []


@pytest.mark.parametrize("file", FILES)
def test_a_link_into_a_folder_that_does_not_exist_is_refused(folder: Path, file: str) -> None:
    (folder / file).unlink()
    (folder / file).symlink_to("../elsewhere/at/all")

    def add(roster: Roster) -> Roster:
        return roster._replace(
            accounts=roster.accounts.append("n@x.com|{PLAIN}x"),
            quotas=roster.quotas.append("n@x.com:1G"),
            virtual=roster.virtual.append("n n@x.com"),
        )

    before = {name: (folder / name).read_bytes() for name in FILES if name != file}
    said = edited(folder, add)
    assert said.startswith(f"Refused: {folder.parent}/elsewhere/at: "), said
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert debris(folder) == []


@pytest.mark.parametrize("target", ("../other/file", "/etc/hostname", "/nowhere/at/all"))
def test_a_link_into_a_folder_that_was_not_named_is_refused(folder: Path, target: str) -> None:
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / "file").write_text("kept")
    (folder / QUOTAS).unlink()
    (folder / QUOTAS).symlink_to(target)
    said = edited(folder, set_password)
    assert said.startswith(f"Refused: {folder}/{QUOTAS}: leads to /"), said
    assert "linked_folders" in said
    assert (folder.parent / "other" / "file").read_text() == "kept"
    assert debris(folder) == []


def test_a_link_inside_of_the_folder_is_followed(folder: Path) -> None:
    """As Kubernetes has it, and git-sync."""
    (folder / "..one").mkdir()
    (folder / "..data").symlink_to("..one")
    (folder / ACCOUNTS).rename(folder / "..one" / ACCOUNTS)
    (folder / ACCOUNTS).symlink_to(f"..data/{ACCOUNTS}")
    assert edited(folder, delete_with_all) == "done"
    assert contents(folder) == after(delete_with_all)
    assert (folder / ACCOUNTS).readlink() == Path(f"..data/{ACCOUNTS}")
    assert debris(folder, folder / "..one") == []


def test_a_copied_file_keeps_the_owner_and_mode_of_the_old_one(folder: Path) -> None:
    os.chown(folder / ACCOUNTS, 1234, 4321)
    (folder / ACCOUNTS).chmod(0o640)
    assert edited(folder, set_password) == "done"
    status = (folder / ACCOUNTS).stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 4321, 0o640)


def test_in_a_folder_that_hands_down_its_group_a_file_keeps_its_own(folder: Path) -> None:
    os.chown(folder, 0, 4321)
    folder.chmod(0o2755)
    assert edited(folder, set_password) == "done"
    assert (folder / ACCOUNTS).stat().st_gid == 0


@pytest.mark.parametrize(("file", "mode"), ((ACCOUNTS, 0o600), (QUOTAS, 0o640), (VIRTUAL, 0o640)))
def test_a_new_file_is_secret_if_it_holds_secrets(folder: Path, file: str, mode: int) -> None:
    for name in FILES:
        (folder / name).unlink()

    def add(roster: Roster) -> Roster:
        return roster._replace(
            accounts=roster.accounts.append("n@x.com|{PLAIN}x"),
            quotas=roster.quotas.append("n@x.com:1G"),
            virtual=roster.virtual.append("n n@x.com"),
        )

    assert edited(folder, add) == "done"
    assert stat.S_IMODE((folder / file).stat().st_mode) == mode


# -- what is in the place of a file


def a_folder(path: Path) -> None:
    path.mkdir()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("file", (*FILES, "postfix-regexp.cf"))
@pytest.mark.parametrize("make", (a_folder, a_fifo, a_loop, a_device))
def test_what_is_no_file_is_refused_at_once_by_its_name(
    folder: Path, make: Callable[[Path], None], file: str
) -> None:
    (folder / file).unlink(missing_ok=True)
    make(folder / file)
    before = listing(folder)[file]
    said = edited(folder, delete_with_all)
    assert said.startswith(f"Refused: {folder}/{file}: "), said
    assert recovered(folder) == "done", "the other files can be read"
    assert listing(folder)[file] == before
    assert debris(folder) == []


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_we_may_not_read_is_refused_by_its_name(folder: Path, file: str) -> None:
    (folder / file).chmod(0o600)
    os.chown(folder, NOBODY, NOBODY)
    assert edited(folder, delete_with_all, uid=NOBODY) == (
        f"Refused: {folder}/{file}: Permission denied; run it as root (sudo)"
    )
    assert debris(folder) == []


# -- folders that can't be written


def test_a_read_only_mount_is_refused_and_can_be_read(folder: Path) -> None:
    mount("--bind", folder, folder)
    mount("-o", "remount,ro,bind", folder)
    assert edited(folder, delete_with_all).startswith(
        f"Refused: {folder}/{ACCOUNTS}: can't be written"
    )
    assert recovered(folder) == "done"
    assert debris(folder) == []
    assert contents(folder) == {file: text.encode() for file, text in BEFORE.items()}


def test_a_file_that_is_a_read_only_mount_is_refused_before_any_other_is_touched(
    folder: Path,
) -> None:
    real = folder.parent / "elsewhere" / "virtual"
    real.write_bytes((folder / VIRTUAL).read_bytes())
    mount("--bind", real, folder / VIRTUAL)
    mount("-o", "remount,ro,bind", folder / VIRTUAL)
    assert edited(folder, delete_with_all).startswith(
        f"Refused: {folder}/{VIRTUAL}: can't be written"
    )
    assert contents(folder) == {file: text.encode() for file, text in BEFORE.items()}
    assert debris(folder) == []


def test_somebody_without_the_right_to_write_is_refused_and_can_read(folder: Path) -> None:
    assert edited(folder, delete_with_all, uid=NOBODY).startswith(
        f"Refused: {folder}/{ACCOUNTS}: can't be written"
    )
    assert recovered(folder, uid=NOBODY) == "done"
    for file in FILES:
        os.chown(folder / file, NOBODY, NOBODY)
    said = edited(
        folder, delete_with_all, uid=NOBODY
    )  # the files could be written, the folder can't
    assert said.startswith("Refused: "), said
    assert said.endswith("Permission denied; nothing was changed; run it as root (sudo)"), said
    assert contents(folder) == {file: text.encode() for file, text in BEFORE.items()}
    assert debris(folder) == []


def test_a_folder_that_we_may_not_open_is_refused(folder: Path) -> None:
    folder.chmod(0o700)
    for said in (edited(folder, delete_with_all, uid=NOBODY), recovered(folder, uid=NOBODY)):
        assert said.startswith(f"Refused: {folder}: Permission denied"), said


@pytest.mark.parametrize("made", ("a file", "a dangling link"))
def test_a_config_folder_that_is_no_folder_is_refused(tmp_path: Path, made: str) -> None:
    folder = tmp_path / "config"
    if made == "a file":
        folder.write_text("")
    else:
        folder.symlink_to("nowhere")

    def add(roster: Roster) -> Roster:
        return roster._replace(virtual=roster.virtual.append("n n@x.com"))

    said = edited(folder, add)
    assert said == f"Refused: {folder}: File exists; nothing was changed"


def test_an_edit_that_is_refused_makes_no_folder(tmp_path: Path) -> None:
    assert edited(tmp_path / "config", delete_with_all).startswith("Refused: ")
    assert not (tmp_path / "config").exists()


def test_a_full_disk_is_told_and_changes_nothing(folder: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", folder)
    fill(folder)
    with (
        (folder / "ballast").open("wb", buffering=0) as ballast,
        pytest.raises(OSError, match="28"),
    ):
        while True:
            ballast.write(bytes(4096))
    said = edited(folder, delete_with_all)
    assert said.startswith("TryAgain: ") and "No space left on device; nothing was changed" in said
    assert contents(folder) == {file: text.encode() for file, text in BEFORE.items()}
    assert debris(folder) == []


def test_leftovers_that_a_reader_may_not_remove_do_not_keep_it_from_reading(folder: Path) -> None:
    (folder / f".{ACCOUNTS}.mailroster-new").write_text("half")
    assert recovered(folder, uid=NOBODY) == "done"
    assert edited(folder, delete_with_all, uid=NOBODY).startswith("Refused: ")
    assert recovered(folder) == "done"
    assert debris(folder) == []
