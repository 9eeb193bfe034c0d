"""Processes of the machine as proc(5) shows them, and signals that reach no other process.

The number of a process that has ended is soon the number of another. So a signal goes through a
pidfd (pidfd_open(2)): it is opened first, then the process behind the number is checked, and only
then is the signal sent. If the process ends in between, the signal reaches nothing.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

#: How long a killed process may need until the kernel has removed it.
KILLED_S = 5.0


def arguments(pid: int | str) -> list[bytes]:
    """The command line, word by word; empty for a process that has ended or that has none."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")[:-1]
    except OSError:
        return []


def program_name(pid: int) -> str:
    """The name of the program by the command line, without its folder; "" if there is none.

    Dovecot can write `dovecot/imap [USER ADDRESS]` there as one word (verbose_proctitle)."""
    words = arguments(pid)
    return os.path.basename(os.fsdecode(words[0].partition(b" ")[0])) if words else ""


def users(pid: int) -> frozenset[int]:
    """The real, effective, saved and file system uid; empty for a process that has ended.

    Not the owner of /proc/PID: any process can make root that owner (prctl(2), PR_SET_DUMPABLE).
    """
    return frozenset(int(word) for word in _field(pid, "Uid").split())


def uids(*names: str) -> list[int]:
    """The numbers of those of some users that this machine has."""
    import pwd

    found = []
    for name in names:
        try:
            found.append(pwd.getpwnam(name).pw_uid)
        except KeyError:
            pass
    return found


def is_trusted(pid: int, *more: int) -> bool:
    """Whether a process belongs to root, to our own user, or to one more user, and to no other."""
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


class Entry(NamedTuple):
    """One process as /proc/PID/stat shows it."""

    pid: int
    state: str
    parent: int
    session: int
    started: int  # in clock ticks since the machine started; with the pid it names one process

    def is_dead(self) -> bool:
        return self.state in ("Z", "X")


def entry_of(pid: int | str) -> Entry:
    """The process with a number. Raises OSError if there is none."""
    words = stat(pid)
    return Entry(int(pid), words[0], int(words[1]), int(words[3]), int(words[19]))


def entries() -> dict[int, Entry]:
    """All processes of this pid namespace."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            entry = entry_of(name)
        except (OSError, IndexError, ValueError):
            continue  # it has ended
        found[entry.pid] = entry
    return found


def parent(pid: int | str) -> int | None:
    """The parent of a process; None if the process has ended."""
    try:
        return int(stat(pid)[1])
    except OSError:
        return None


def children(master: int) -> Iterator[int]:
    """The processes that have a process as their parent."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        if parent(name) == master:
            yield int(name)


def works_in(pid: int, folder: str) -> bool:
    """Whether the current folder of a process is this one. True where the kernel does not show it
    to us, as to root without CAP_SYS_PTRACE."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), os.stat(folder))
    except PermissionError:
        return True
    except OSError:
        return False


def opened(pid: int, is_meant: Callable[[int], bool]) -> int | None:
    """A pidfd of the process that has this number, to be closed by the caller; None if it has ended
    or is not the one that is meant."""
    if pid <= 0:  # to kill(2) ourselves with all that we started, or every process
        return None
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if is_meant(pid):
        return fd
    os.close(fd)
    return None


def send(pid: int, number: int, is_meant: Callable[[int], bool]) -> bool:
    """Sends a signal to a process if it is the one that is meant; whether it was sent."""
    fd = opened(pid, is_meant)
    if fd is None:
        return False
    try:
        return send_to(fd, number)
    finally:
        os.close(fd)


def send_to(pidfd: int, number: int) -> bool:
    """Sends a signal through a pidfd; False if the process has ended or is not ours to signal."""
    import signal  # loads enum: 2 ms, and most commands send no signal

    try:
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end(pidfds: Collection[int], patience_s: float) -> bool:
    """Ends processes, and closes their pidfds: SIGTERM, and SIGKILL to those that run on for
    `patience_s`. Whether all of them have ended."""
    import signal

    try:
        waiting = list(pidfds)
        for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, KILLED_S)):
            for pidfd in waiting:
                send_to(pidfd, number)
            waiting = running(waiting, wait_s)
        return not waiting
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def running(pidfds: Collection[int], wait_s: float) -> list[int]:
    """The pidfds of those processes that have not ended after some time."""
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
    """A line of /proc/PID/status; "" for a process that has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            lines = (line.partition(":\t") for line in file)
            return next((value.strip() for key, _, value in lines if key == name), "")
    except OSError:
        return ""
