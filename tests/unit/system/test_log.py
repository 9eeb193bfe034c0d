"""Messages of a process that runs on: they never stop it, and never flood."""

import os
import subprocess
import sys

import pytest

from mailroster.system.log import REPEAT_S, Retry, words_of

#: Logs 300 messages, then says on another descriptor that it is through.
PROGRAM = """
import os, sys
from mailroster.system.log import log, open_standard_streams
open_standard_streams()
third = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
assert third > 2, third
for number in range(300):
    log("x" * 100 + "\\udc80\\n" + str(number))
os.write(int(sys.argv[2]), b"through")
"""


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("exec 2>&-", id="stderr is closed"),
        pytest.param("exec <&- >&- 2>&-", id="all three are closed"),
        pytest.param("exec 2>/dev/full", id="stderr is full"),
        pytest.param("exec 2>/dev/null", id="stderr takes all"),
    ],
)
def test_whatever_stderr_is_the_work_goes_on(before: str, tmp_path: os.PathLike[str]) -> None:
    table = os.path.join(tmp_path, "table")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    argv = [sys.executable, "-c", PROGRAM, table, str(writer)]
    subprocess.run(["sh", "-c", f'{before}\nexec "$@"', "sh", *argv], close_fds=False, check=True)
    os.close(writer)
    with open(reader, "rb") as file:
        assert file.read() == b"through"
    assert os.path.getsize(table) == 0


@pytest.mark.parametrize("is_read", [False, True])
def test_a_pipe_that_is_never_read_or_gone_stops_nothing(
    is_read: bool, tmp_path: os.PathLike[str]
) -> None:
    table = os.path.join(tmp_path, "table")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    stderr_reader, stderr_writer = os.pipe()
    if is_read:
        os.close(stderr_reader)
    else:
        os.set_blocking(stderr_writer, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(stderr_writer, b"x" * 4096)
        os.set_blocking(stderr_writer, True)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, table, str(writer)], stderr=stderr_writer, close_fds=False
    )
    assert done.returncode == 0
    os.close(writer)
    with open(reader, "rb") as file:
        assert file.read() == b"through"


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def retry(clock: Clock, lines: list[str]) -> Retry:
    return Retry("not in step", "in step again", lines.append, monotonic=clock)


def test_a_failure_is_said_once_a_minute_and_the_recovery_once() -> None:
    clock, lines = Clock(), list[str]()
    work = retry(clock, lines)
    tries = 0
    while clock.now < 3 * REPEAT_S:
        if work.is_due():
            tries += 1
            work.failed("no space")
        clock.now += 0.05  # somebody wakes us 20 times a second
    assert lines.count("not in step: no space") == 3
    assert len(lines) == 3
    assert tries < 3 * REPEAT_S / 5, "the waiting times grow"
    work.worked()
    work.worked()
    assert lines[3:] == ["in step again"]
    assert work.is_due()


def test_another_reason_is_said_at_once() -> None:
    clock, lines = Clock(), list[str]()
    work = retry(clock, lines)
    work.failed("no space")
    work.failed("read-only")
    work.failed("no space")
    assert lines == ["not in step: no space", "not in step: read-only"]


def test_what_has_changed_is_tried_earlier_but_not_at_once() -> None:
    clock, lines = Clock(), list[str]()
    work = retry(clock, lines)
    for _ in range(10):
        work.failed("no space")
    assert not work.is_due(changed=True)
    clock.now += 1.0
    assert work.is_due(changed=True)
    assert not work.is_due()
    clock.now += 9.0
    assert work.is_due()


def test_a_failure_that_differs_each_time_fills_no_memory() -> None:
    clock, lines = Clock(), list[str]()
    work = retry(clock, lines)
    for number in range(1000):
        work.failed(number)
        clock.now += 10
    assert len(work._logged) < 10


def test_an_exception_without_words_has_its_name() -> None:
    assert words_of(KeyError()) == "KeyError"
    assert words_of(OSError(28, "no space")) == "OSError: [Errno 28] no space"
