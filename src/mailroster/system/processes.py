"""Looks at the processes of the machine (proc(5)), and sends them signals. `programs` starts them.

The pid of an ended process is soon reused. So a signal goes through a pidfd (pidfd_open(2)), which
is opened first; then the process is checked, and only then the signal is sent. If the process ends
in between, the signal reaches no other one.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

#: The time that the kernel may need to remove a killed process.
KILLED_S = 5.0


def arguments(pid: int | str) -> list[bytes]:
    """The words of the command line; empty if the process has ended or has none."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")[:-1]
    except OSError:
        return []


def program_name(pid: int) -> str:
    """The name of the program from the command line, without its folder; "" if there is none.

    Dovecot may write `dovecot/imap [USER ADDRESS]` there as one word (verbose_proctitle)."""
    words = arguments(pid)
    return os.path.basename(os.fsdecode(words[0].partition(b" ")[0])) if words else ""


def users(pid: int) -> frozenset[int]:
    """The real, effective, saved and file system uid; empty for a process that has ended.

    Not the owner of /proc/PID: any process can make root that owner (prctl(2), PR_SET_DUMPABLE).
    """
    return frozenset(int(word) for word in _field(pid, "Uid").split())


def uids(*names: str) -> list[int]:
    """The uids of users, without those that do not exist."""
    import pwd

    result = []
    for name in names:
        try:
            result.append(pwd.getpwnam(name).pw_uid)
        except KeyError:
            pass
    return result


def is_trusted(pid: int, *more: int) -> bool:
    """Whether a process belongs only to root, to our own user, or to the users `more`."""
    owners = users(pid)
    return bool(owners) and owners <= {0, os.geteuid(), *more}


def catches(pid: int, signal: int) -> bool:
    """Whether a process has a handler for a signal (proc(5), SigCgt)."""
    mask = _field(pid, "SigCgt")
    return bool(mask) and bool(int(mask, 16) >> (signal - 1) & 1)


def stat(pid: int | str) -> list[str]:
    """State, parent, … (proc(5), stat). Raises OSError for a process that has ended."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


class ProcessEntry(NamedTuple):
    """One process as /proc/PID/stat shows it."""

    pid: int
    state: str
    parent: int
    session: int
    started: int  # in clock ticks since the boot; unique together with the pid

    def is_dead(self) -> bool:
        return self.state in ("Z", "X")


def entry_of(pid: int | str) -> ProcessEntry:
    """The process with a pid. Raises OSError if there is none."""
    words = stat(pid)
    return ProcessEntry(int(pid), words[0], int(words[1]), int(words[3]), int(words[19]))


def entries() -> dict[int, ProcessEntry]:
    """All processes of this pid namespace."""
    result = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            entry = entry_of(name)
        except (OSError, IndexError, ValueError):
            continue  # it has ended
        result[entry.pid] = entry
    return result


def parent(pid: int | str) -> int | None:
    """The parent of a process; None if the process has ended."""
    try:
        return int(stat(pid)[1])
    except OSError:
        return None


def children(master: int) -> Iterator[int]:
    """The children of a process."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        if parent(name) == master:
            yield int(name)


def works_in(pid: int, folder: str) -> bool:
    """Whether a folder is the current one of a process. True if the kernel hides that from us, as
    from root without CAP_SYS_PTRACE."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), os.stat(folder))
    except PermissionError:
        return True
    except OSError:
        return False


def open_pidfd(pid: int, is_right: Callable[[int], bool]) -> int | None:
    """Opens a pidfd of a process, which the caller closes. None if the process has ended, or if
    `is_right` rejects the pid."""
    if pid <= 0:  # for kill(2) a process group, or all processes
        return None
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if is_right(pid):
        return fd
    os.close(fd)
    return None


def send(pid: int, number: int, is_right: Callable[[int], bool]) -> bool:
    """Sends a signal to a process if `is_right` accepts the pid; whether it was sent."""
    fd = open_pidfd(pid, is_right)
    if fd is None:
        return False
    try:
        return send_to(fd, number)
    finally:
        os.close(fd)


def send_to(pidfd: int, number: int) -> bool:
    """Sends a signal through a pidfd; False if the process has ended or we have no right to."""
    import signal  # loads enum: 2 ms, and most commands send no signal

    try:
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end(pidfds: Collection[int], patience_s: float) -> bool:
    """Ends processes with SIGTERM, after `patience_s` with SIGKILL; whether all have ended. Closes
    the pidfds."""
    import signal

    try:
        waiting = list(pidfds)
        for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, KILLED_S)):
            for pidfd in waiting:
                send_to(pidfd, number)
            waiting = still_running(waiting, wait_s)
        return not waiting
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def still_running(pidfds: Collection[int], wait_s: float) -> list[int]:
    """The pidfds of processes that have not ended after `wait_s`, or earlier if all have."""
    import select

    deadline, waiting = time.monotonic() + wait_s, list(pidfds)
    while waiting:
        poll = select.poll()
        for pidfd in waiting:
            poll.register(pidfd, select.POLLIN)
        left_s = max(0.0, deadline - time.monotonic())
        ended = {pidfd for pidfd, _ in poll.poll(left_s * 1000)}
        if not ended:
            break
        waiting = [pidfd for pidfd in waiting if pidfd not in ended]
    return waiting


def _field(pid: int, name: str) -> str:
    """The value of a line of /proc/PID/status; "" for a process that has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            lines = (line.partition(":\t") for line in file)
            return next((value.strip() for key, _, value in lines if key == name), "")
    except OSError:
        return ""
