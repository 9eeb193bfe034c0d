"""The lock on a folder."""

import errno
import fcntl
import os
import select
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asyncinotify import Inotify, Mask

from mailroster.base.findings import TryAgain
from mailroster.store.config_folder import Store
from mailroster.system.folder_lock import LOCK_FILE, FolderLock
from tests.support.faulty import NOBODY, in_child, listing, mount, own_mounts, public_folder

_HOLD = (
    "import sys; from mailroster.system.folder_lock import FolderLock\n"
    "with FolderLock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture(params=("flock", "no flock"))
def any_file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Also one that can't flock a folder, as NFS."""
    if request.param == "no flock":

        def refuse(fd: int, operation: int) -> None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

        monkeypatch.setattr(fcntl, "flock", refuse)
    return str(request.param)


class Holder:
    """Another process that holds the lock of a folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"held\n"

    def let_go(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def hold() -> Iterator[Callable[[Path], Holder]]:
    holders: list[Holder] = []

    def begin(folder: Path) -> Holder:
        holders.append(Holder(folder))
        return holders[-1]

    yield begin
    for holder in holders:
        if holder.process.poll() is None:
            holder.kill()


def test_who_holds_it_keeps_others_out_until_it_lets_go(
    tmp_path: Path, hold: Callable[[Path], Holder]
) -> None:
    holder = hold(tmp_path)
    with pytest.raises(TryAgain, match="locked"), FolderLock(str(tmp_path), wait_s=0):
        pass
    holder.let_go()
    with FolderLock(str(tmp_path), wait_s=0):
        pass


def test_one_who_waits_gets_it_when_it_is_free(
    tmp_path: Path, hold: Callable[[Path], Holder]
) -> None:
    holder = hold(tmp_path)
    threading.Timer(0.05, holder.let_go).start()
    with FolderLock(str(tmp_path)):
        assert holder.process.wait() == 0


def test_a_dead_holder_holds_nothing(tmp_path: Path, hold: Callable[[Path], Holder]) -> None:
    holder = hold(tmp_path)
    with pytest.raises(TryAgain), FolderLock(str(tmp_path), wait_s=0):
        pass
    holder.kill()
    with FolderLock(str(tmp_path), wait_s=0) as lock:
        assert lock.is_held()


@pytest.mark.parametrize(
    ("folder_mode", "mode"), ((0o755, 0o600), (0o2775, 0o660), (0o700, 0o600), (0o777, 0o666))
)
def test_its_file_is_open_to_those_who_may_write_the_folder(
    tmp_path: Path, folder_mode: int, mode: int
) -> None:
    os.chown(tmp_path, 1234, 4321)
    tmp_path.chmod(folder_mode)
    for _ in range(2):
        with FolderLock(str(tmp_path)):
            status = (tmp_path / LOCK_FILE).stat()
            assert (status.st_uid, status.st_gid) == (1234, 4321)
            assert stat.S_IMODE(status.st_mode) == mode
        (tmp_path / LOCK_FILE).chmod(0o644)  # as git checks it out
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]


def test_to_take_it_wakes_nobody_who_watches_the_folder(tmp_path: Path) -> None:
    with FolderLock(str(tmp_path)):
        pass
    before = listing(tmp_path)
    with Inotify() as inotify:
        inotify.add_watch(tmp_path, Mask.MODIFY | Mask.CLOSE_WRITE | Mask.ATTRIB | Mask.CREATE)
        with FolderLock(str(tmp_path)):
            pass
        assert not select.select([inotify.fd], [], [], 0)[0]
    assert listing(tmp_path) == before


@pytest.mark.parametrize("kind", ("link", "dangling link", "fifo", "folder", "hard link"))
def test_what_is_no_lock_file_is_refused_and_stays(tmp_path: Path, kind: str) -> None:
    folder, outside = tmp_path / "config", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("kept")
    path = folder / LOCK_FILE
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "hard link":
        path.hardlink_to(outside)
    else:
        path.symlink_to(outside if kind == "link" else tmp_path / "nowhere")
    with pytest.raises(OSError, match="should be a lock; remove it"), FolderLock(str(folder)):
        pass
    assert outside.read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()


def test_the_message_names_the_holder(tmp_path: Path, hold: Callable[[Path], Holder]) -> None:
    holder = hold(tmp_path)
    words = rf"process {holder.process.pid} of user root\); try again"
    with pytest.raises(TryAgain, match=words), FolderLock(str(tmp_path), wait_s=0):
        pass


def test_a_lock_of_another_user_is_told_by_its_owner() -> None:
    with public_folder() as folder:
        os.chown(folder, NOBODY, NOBODY)
        (folder / LOCK_FILE).touch(0o600)
        os.utime(folder / LOCK_FILE)
        said = in_child(lambda: _wait_for_age(folder), uid=NOBODY)
    assert "belongs to user root" in said, said


def _wait_for_age(folder: Path) -> None:
    try:
        with FolderLock(str(folder)):
            pass
    except PermissionError as error:
        raise TryAgain(str(error)) from None


def test_who_may_not_write_the_folder_needs_no_lock(tmp_path: Path) -> None:
    with public_folder() as folder, FolderLock(str(folder)):
        assert in_child(lambda: FolderLock(str(folder), 0).__enter__(), uid=NOBODY) == "done"


def test_where_files_cannot_be_flocked_they_are_locked_by_fcntl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with FolderLock(str(tmp_path)):
        check = (
            "import fcntl, sys\n"
            "try: fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
            "except OSError: sys.exit(7)"
        )
        assert subprocess.run([sys.executable, "-c", check, tmp_path / LOCK_FILE]).returncode == 7
    with FolderLock(str(tmp_path), wait_s=0):
        pass


def test_where_nobody_can_write_there_is_nobody_to_keep_out(tmp_path: Path) -> None:
    with own_mounts():
        mount("--bind", tmp_path, tmp_path)
        mount("-o", "remount,bind,ro", tmp_path)
        before = os.listdir("/proc/self/fd")
        for _ in range(2):
            with FolderLock(str(tmp_path), wait_s=0):
                assert list(tmp_path.iterdir()) == []
        assert os.listdir("/proc/self/fd") == before


def test_one_lock_can_be_taken_again(tmp_path: Path, any_file_system: str) -> None:
    lock = FolderLock(str(tmp_path), wait_s=0)
    for _ in range(3):
        with lock:
            assert lock.is_held()
        assert not lock.is_held()


def test_no_descriptor_is_left_behind(
    tmp_path: Path, any_file_system: str, hold: Callable[[Path], Holder]
) -> None:
    before = os.listdir("/proc/self/fd")
    with FolderLock(str(tmp_path)):
        pass
    if any_file_system == "flock":
        holder = hold(tmp_path)
        before = os.listdir("/proc/self/fd")
        with pytest.raises(TryAgain), FolderLock(str(tmp_path), wait_s=0.01):
            pass
        assert holder.process.poll() is None
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("again", (True, False), ids=("replaced", "gone"))
def test_the_lock_of_a_folder_that_was_replaced_meanwhile_is_not_taken_for_that_of_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, any_file_system: str, again: bool
) -> None:
    """The folder is exchanged between the opening of it and the lock."""
    folder, lock = tmp_path / "config", FolderLock(str(tmp_path / "config"), wait_s=1)
    folder.mkdir()
    name = "flock" if any_file_system == "flock" else "lockf"
    real = getattr(fcntl, name)
    calls: list[int] = []

    def exchange_first(fd: int, operation: int) -> None:
        if not calls:
            folder.rename(tmp_path / "old")
            if again:
                folder.mkdir()
        calls.append(fd)
        real(fd, operation)

    monkeypatch.setattr(fcntl, name, exchange_first)
    if not again:
        with pytest.raises(FileNotFoundError), lock:
            pass
        return
    with lock:
        assert len(calls) == 2
        assert os.path.samestat(os.fstat(calls[-1]), (folder / LOCK_FILE).stat())


def test_a_folder_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), FolderLock(str(tmp_path / "nowhere")):
        pass


def test_an_edit_waits_as_long_as_it_is_told_and_a_reader_does_not(
    tmp_path: Path, hold: Callable[[Path], Holder]
) -> None:
    hold(tmp_path)
    Store(str(tmp_path), wait_s=0.01).read()
    Store(str(tmp_path), wait_s=0.01).transact(lambda roster: roster, dry_run=True)
    with pytest.raises(TryAgain, match="locked by another command"):
        Store(str(tmp_path), wait_s=0.01).transact(lambda roster: roster)


def test_unless_told_otherwise_it_waits_for_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: Callable[[Path], Holder]
) -> None:
    import time

    hold(tmp_path)
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    with pytest.raises(TryAgain):
        Store(str(tmp_path)).transact(lambda roster: roster)
    assert 60 < clock[0] < 61
