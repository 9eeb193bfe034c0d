"""Locks an open file with a time limit; the error names the process that has the lock."""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator

from mailroster.base.findings import printable
from mailroster.system import processes

#: The limit for any process. A lookup of Postfix has its lock for microseconds only.
WAIT_S = 3.0
#: The limit while only processes of root have it, such as a check of a large table.
WAIT_FOR_ROOT_S = 60.0
_STEP_S = 0.0005
_STEP_MAX_S = 0.01


def lock(
    fd: int,
    path: str,
    *,
    shared: bool = False,
    how: Callable[[int, int], object] = fcntl.lockf,
    wait_s: float | None = None,
    wait_for_root_s: float | None = None,
) -> None:
    """Locks an open file. `how` is fcntl.lockf, Postfix's kind, or fcntl.flock.

    Raises BlockingIOError, with the file and the processes that have the lock, after `wait_s`
    (WAIT_S), or after `wait_for_root_s` (WAIT_FOR_ROOT_S) if only processes of root have it.
    """
    wait_s = WAIT_S if wait_s is None else wait_s
    wait_for_root_s = WAIT_FOR_ROOT_S if wait_for_root_s is None else wait_for_root_s
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    began, step = time.monotonic(), _STEP_S
    while True:
        try:
            how(fd, operation)
            return
        except (BlockingIOError, PermissionError):  # one of both (fcntl(2))
            waited = time.monotonic() - began
        if waited >= wait_s and (waited >= wait_for_root_s or not _is_of_root(fd)):
            raise BlockingIOError(errno.EAGAIN, _reason(fd, waited), path)
        time.sleep(step)
        step = min(step * 1.5, _STEP_MAX_S)


def holders(fd: int) -> list[int]:
    """The processes that have a lock on an open file, according to /proc/locks (proc(5))."""
    status = os.fstat(fd)
    device = os.major(status.st_dev), os.minor(status.st_dev)
    return sorted({pid for pid, *file in _locks() if file == [*device, status.st_ino]})


def _locks() -> Iterator[tuple[int, int, int, int]]:
    """The process, the major and minor number of the device, and the inode of each lock."""
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return
    for words in lines:
        if len(words) < 6 or words[1] == "->":  # a process that waits for the lock
            continue
        major, minor, inode = words[5].split(":")
        yield int(words[4]), int(major, 16), int(minor, 16), int(inode)


def _is_of_root(fd: int) -> bool:
    users = [processes.users(pid) for pid in holders(fd)]
    return bool(users) and all(uids == {0} for uids in users)


def _reason(fd: int, waited_s: float) -> str:
    names = [
        f"process {pid} ({printable(processes.program_name(pid)) or 'unknown'}, "
        f"uid {min(processes.users(pid), default='unknown')})"
        for pid in holders(fd)
    ]
    return f"locked for {waited_s:.0f} s by {', '.join(names) or 'another process'}"
