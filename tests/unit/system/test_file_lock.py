"""A lock that another process has is waited for only so long, and its holder is named."""

import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailroster.publish.targets.lmdb_file import _walk_rows
from mailroster.publish.targets.lmdb_lookup import LmdbLookup
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.system import file_lock

_HOLD = (
    "import fcntl, sys; file = open(sys.argv[1], 'r+b');"
    "getattr(fcntl, sys.argv[2])(file, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
)


@contextmanager
def held(path: Path, how: str = "lockf", user: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a user that has a file locked."""
    process = subprocess.Popen(
        ["python3", "-c", _HOLD, str(path), how],
        executable="/usr/bin/python3",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=user,
        group=user,
        extra_groups=[],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    try:
        yield process
    finally:
        process.communicate()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = Path("/tmp", f"{tmp_path.name}-{os.getpid()}")  # which other users can get to
    path.touch()
    path.chmod(0o666)
    yield path
    path.unlink()


@pytest.mark.parametrize("how", ["lockf", "flock"])
def test_who_has_the_lock_is_named(file: Path, how: str) -> None:
    with held(file, how, user=1234) as process, file.open("r+b") as mine:
        with pytest.raises(BlockingIOError) as raised:
            file_lock.lock(mine.fileno(), str(file), how=getattr(fcntl, how), wait_s=0.1)
        assert raised.value.filename == str(file)
        words = f"by process {process.pid} (python3, uid 1234)"
        assert words in str(raised.value.strerror)
        assert file_lock.holders(mine.fileno()) == [process.pid]


def test_a_process_of_root_is_waited_for_longer(file: Path) -> None:
    with held(file), file.open("r+b") as mine:
        began = time.monotonic()
        with pytest.raises(BlockingIOError):
            file_lock.lock(mine.fileno(), str(file), wait_s=0.0, wait_for_root_s=0.3)
        assert time.monotonic() - began >= 0.3


def test_a_lock_that_is_given_back_is_taken(file: Path) -> None:
    with file.open("r+b") as mine:
        with held(file) as process:
            thread = threading.Timer(0.1, process.kill)
            thread.start()
            file_lock.lock(mine.fileno(), str(file))
            thread.join()
        assert file_lock.holders(mine.fileno()) == [os.getpid()]


def test_a_name_with_escapes_can_be_shown(file: Path) -> None:
    process = subprocess.Popen(
        ["\x1b[2J\n", "-c", _HOLD, str(file), "lockf"],
        executable="/usr/bin/python3", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    with file.open("r+b") as mine, pytest.raises(BlockingIOError) as raised:
        file_lock.lock(mine.fileno(), str(file), wait_s=0, wait_for_root_s=0)
    process.communicate()
    assert str(raised.value.strerror).isprintable()


def test_a_table_that_another_process_keeps_locked_is_an_error_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = LmdbTable(str(tmp_path / "t"))
    table.fill([("a@x.com", "b@x.com")])
    monkeypatch.setattr(file_lock, "WAIT_S", 0.1)
    monkeypatch.setattr(file_lock, "WAIT_FOR_ROOT_S", 0.1)
    with held(tmp_path / "t.lmdb") as process:
        with pytest.raises(BlockingIOError, match=str(process.pid)):
            table.apply({"c@x.com": "d@x.com"})
        with pytest.raises(OSError, match=str(process.pid)):
            LmdbLookup(str(tmp_path / "t")).get("a@x.com")
        assert _walk_rows(str(tmp_path / "t.lmdb")) == "", "a lock is no damage"
    table.apply({"c@x.com": "d@x.com"})
    assert table.read() == {"a@x.com": "b@x.com", "c@x.com": "d@x.com"}
