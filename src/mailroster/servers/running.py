"""Whether the servers of an instance run: by the locks and pid files that they keep.

A pid file may be an old one, and its number may be that of another process by now. So a number
counts only if the process is the program: by its command line, its users and its folder.
"""

import fcntl
import os
from collections.abc import Callable

from mailroster.base.layout import Layout
from mailroster.system import processes

#: The module that is our policy service, and the user as which it runs.
POLICY_MODULE, POLICY_USER = "mailroster.daemons.policy.service", "postfix"
#: Postfix writes its number behind blanks, and cuts nothing off that stood below that line.
_PID_LINE_MAX = 100


def is_running(layout: Layout) -> bool:
    """Whether Postfix or Dovecot of this instance is up."""
    return postfix_pid(layout) is not None or dovecot_pid(layout) is not None


def postfix_pid(layout: Layout) -> int | None:
    """The pid of Postfix's master, which keeps its pid file locked (master(8))."""
    path = os.path.join(layout.spool, "pid", "master.pid")
    return _pid(path, lambda pid: _is_postfix(pid, layout.spool), locked=True)


def dovecot_pid(layout: Layout) -> int | None:
    """The pid of Dovecot's master, which does not lock its pid file. A killed one that nobody has
    reaped has no command line, so that it does not count."""
    return _pid(layout.dovecot_pid, lambda pid: _is_dovecot(pid, layout), locked=False)


def policy_pid(layout: Layout) -> int | None:
    """The pid of our policy service, also of one that an earlier version has started."""
    paths = layout.policy_pid, layout.old_policy_pid
    found = (_pid(path, lambda pid: _is_policy(pid, layout), locked=True) for path in paths)
    return next((pid for pid in found if pid is not None), None)


def up_pid(layout: Layout) -> int | None:
    """The pid of the `mailroster up` of this instance, also of one of an earlier version."""
    paths = layout.up_pid, layout.old_up_pid
    found = (_pid(path, _is_up, locked=True) for path in paths)
    return next((pid for pid in found if pid is not None), None)


def strangers() -> dict[str, int]:
    """Servers that run at their packages' own places, name -> pid. Ours have other places."""
    found = {
        "postfix": _pid(
            "/var/spool/postfix/pid/master.pid",
            lambda pid: _is_postfix(pid, "/var/spool/postfix"),
            locked=True,
        ),
        "dovecot": _pid("/run/dovecot/master.pid", _is_any_dovecot, locked=False),
    }
    return {name: pid for name, pid in found.items() if pid is not None}


def _is_postfix(pid: int, spool: str) -> bool:
    """Its master works in the queue folder."""
    is_master = processes.program_name(pid) == "master" and processes.is_trusted(pid)
    return is_master and processes.works_in(pid, spool)


def _is_any_dovecot(pid: int) -> bool:
    return processes.program_name(pid) == "dovecot" and processes.is_trusted(pid)


def _is_dovecot(pid: int, layout: Layout) -> bool:
    """Its master is started with our configuration; the one of a host needs no `-c`."""
    if not _is_any_dovecot(pid):
        return False
    return layout.kind == "host" or _names(pid, layout.dovecot_conf)


def _is_policy(pid: int, layout: Layout) -> bool:
    is_service = POLICY_MODULE.encode() in processes.arguments(pid)
    is_trusted = is_service and processes.is_trusted(pid, *processes.uids(POLICY_USER))
    return is_trusted and _names(pid, layout.state)


def _names(pid: int, path: str) -> bool:
    """Whether a word of the command line is a path, by any of its names."""
    meant = os.fsencode(os.path.realpath(path))
    return meant in map(os.path.realpath, processes.arguments(pid))


def _is_up(pid: int) -> bool:
    """`mailroster up` or `watch`, by either name of the program."""
    words = processes.arguments(pid)
    names = {os.path.basename(word) for word in words}
    is_ours = bool(names & {b"mailroster", b"setup"}) and bool(names & {b"up", b"watch"})
    return is_ours and processes.is_trusted(pid)


def _pid(path: str, is_meant: Callable[[int], bool], *, locked: bool) -> int | None:
    """The number in a pid file, if the process is the one that is meant."""
    try:
        with open(path, encoding="ascii", opener=_without_waiting) as file:
            pid = int(file.readline(_PID_LINE_MAX).strip() or 0)
            # The look at the lock comes last: another process may be about to take it.
            if pid <= 0 or not is_meant(pid) or (locked and not _is_locked(file.fileno())):
                return None
            return pid
    except (OSError, ValueError):
        return None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _is_locked(fd: int) -> bool:
    """Whether another process holds the file, by flock(2) or by fcntl(2)."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.lockf(fd, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    return False
