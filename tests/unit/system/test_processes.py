"""Which process has a number, and that a signal reaches no other."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from mailroster.system import processes


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    while not processes.arguments(process.pid):  # for a moment after exec(2) there are none
        time.sleep(0.001)
    yield process
    process.kill()
    process.wait()


def test_a_process_is_shown_as_it_is(sleeper: subprocess.Popen[bytes]) -> None:
    assert processes.arguments(sleeper.pid) == [b"sleep", b"60"]
    assert processes.program_name(sleeper.pid) == "sleep"
    assert processes.parent(sleeper.pid) == os.getpid()
    assert sleeper.pid in processes.children(os.getpid())
    assert processes.users(sleeper.pid) == {os.geteuid()}
    assert processes.works_in(sleeper.pid, os.getcwd())
    assert not processes.works_in(sleeper.pid, "/proc")


def test_a_process_that_has_ended_is_nothing(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    pid = sleeper.pid
    assert processes.arguments(pid) == []
    assert processes.program_name(pid) == ""
    assert processes.users(pid) == frozenset()
    assert processes.parent(pid) is None
    assert not processes.is_trusted(pid)
    assert not processes.catches(pid, signal.SIGINT)
    assert not processes.works_in(pid, "/")
    assert not processes.send(pid, signal.SIGKILL, lambda pid: True)


def test_the_users_are_those_of_the_process_not_the_owner_of_its_folder() -> None:
    """To other users proc(5) shows root as the owner, once a process has changed its users."""
    argv = ["setpriv", "--reuid=1234", "--clear-groups", "sh", "-c", "echo; read x"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert processes.users(process.pid) == {1234}
        assert not processes.is_trusted(process.pid)
        assert processes.is_trusted(process.pid, 1234)
    finally:
        process.communicate(b"\n")


@pytest.mark.parametrize("pid", [0, -1, 1 << 30])
def test_what_is_no_process_gets_no_signal(pid: int) -> None:
    """To kill(2) 0 would be ourselves with all that we started, and -1 every process."""
    assert not processes.send(pid, signal.SIGKILL, lambda pid: True)


def test_a_signal_goes_to_the_process_that_is_meant_only(
    sleeper: subprocess.Popen[bytes],
) -> None:
    assert not processes.send(sleeper.pid, signal.SIGKILL, lambda pid: False)
    assert sleeper.poll() is None
    assert processes.send(sleeper.pid, signal.SIGTERM, lambda pid: pid == sleeper.pid)
    assert sleeper.wait(20) == -signal.SIGTERM


def test_a_number_that_becomes_anothers_after_the_look_gets_no_signal() -> None:
    """The process ends between the look and the signal: the pidfd leads to nothing then."""

    def ends(pid: int) -> bool:
        process.kill()
        process.wait()
        return True

    process = subprocess.Popen(["sleep", "60"])
    assert not processes.send(process.pid, signal.SIGTERM, ends)


def test_whether_a_process_handles_a_signal(sleeper: subprocess.Popen[bytes]) -> None:
    for handler, catches in ((lambda *_: None, True), (signal.SIG_IGN, False)):
        before = signal.signal(signal.SIGUSR2, handler)
        try:
            assert processes.catches(os.getpid(), signal.SIGUSR2) is catches
        finally:
            signal.signal(signal.SIGUSR2, before)
    assert not processes.catches(sleeper.pid, signal.SIGTERM)


@pytest.mark.parametrize(
    ("shell", "signal_number"),
    [
        pytest.param("echo; exec sleep 600", signal.SIGTERM, id="mild"),
        pytest.param("trap '' TERM; echo; exec sleep 600", signal.SIGKILL, id="stubborn"),
        pytest.param("echo; kill -STOP $$", signal.SIGKILL, id="stopped"),
    ],
)
def test_a_process_is_asked_to_end_and_then_killed(shell: str, signal_number: int) -> None:
    process = subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1)
    pidfd = os.pidfd_open(process.pid)
    try:
        assert processes.still_running([pidfd], 0) == [pidfd]
        if shell.endswith("$$"):
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert processes.end([pidfd], 0.3)
        assert process.wait() == -signal_number
        with pytest.raises(OSError):
            os.fstat(pidfd)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_nothing_to_end_is_no_error() -> None:
    assert processes.end([], 0.0)
    assert processes.still_running([], 0.0) == []
