"""Determines whether the servers of an instance run, from their locks and pid files.

A pid file may be stale, and another process may have its pid. So a pid counts only if the process
is the right program: by its command line, its users and its folder.
"""

import fcntl
import os
from collections.abc import Callable, Iterable

from mailroster.base.layout import Layout
from mailroster.system import processes

#: The module of our policy service, and its user.
POLICY_MODULE, POLICY_USER = "mailroster.daemons.policy.service", "postfix"
#: The user of OpenDKIM.
SIGNER_USER = "opendkim"
#: The user of Rspamd.
FILTER_USER = "_rspamd"
#: Postfix pads its pid with blanks, and leaves old lines below it.
_PID_LINE_MAX = 100


def is_running(layout: Layout) -> bool:
    """Whether Postfix or Dovecot of this instance runs."""
    return postfix_pid(layout) is not None or dovecot_pid(layout) is not None


def postfix_pid(layout: Layout) -> int | None:
    """The pid of Postfix's master, which keeps its pid file locked (master(8))."""
    path = os.path.join(layout.spool, "pid", "master.pid")
    return _pid(path, lambda pid: _is_postfix(pid, layout.spool), locked=True)


def dovecot_pid(layout: Layout) -> int | None:
    """The pid of Dovecot's master, which does not lock its pid file. A zombie does not count, as it
    has no command line."""
    return _pid(layout.dovecot_pid, lambda pid: _is_dovecot(pid, layout), locked=False)


def policy_pid(layout: Layout) -> int | None:
    """The pid of our policy service, or of that of an earlier version."""
    paths = layout.policy_pid, layout.old_policy_pid
    return _first_pid(paths, lambda pid: _is_policy(pid, layout))


def srs_pid(layout: Layout) -> int | None:
    """The pid of our postsrsd, which does not lock its pid file."""
    return _pid(layout.srs_pid, lambda pid: is_srs(pid, layout), locked=False)


def is_srs(pid: int, layout: Layout) -> bool:
    """Whether a process is the postsrsd of this instance."""
    is_right = processes.program_name(pid) == "postsrsd" and _names(pid, layout.srs_secret)
    return is_right and processes.is_trusted(pid, *processes.uids("postsrsd"))


def signer_pid(layout: Layout, kind: str) -> int | None:
    """The pid of our OpenDKIM for one kind of keys. It does not lock its pid file."""
    return _pid(layout.signer(kind).pid, lambda pid: is_signer(pid, layout, kind), locked=False)


def is_signer(pid: int, layout: Layout, kind: str) -> bool:
    """Whether a process is that OpenDKIM."""
    is_right = processes.program_name(pid) == "opendkim"
    is_right = is_right and _names(pid, layout.signer(kind).conf)
    return is_right and processes.is_trusted(pid, *processes.uids(SIGNER_USER))


def filter_pid(layout: Layout) -> int | None:
    """The pid of our Rspamd, which keeps its pid file locked."""
    return _pid(layout.filter_pid, lambda pid: is_filter(pid, layout), locked=True)


def is_filter(pid: int, layout: Layout) -> bool:
    """Whether a process is the main process of our Rspamd. It overwrites its command line, with
    figures behind a semicolon while mail arrives, so it is known by its folder."""
    title = b"".join(processes.arguments(pid)[:1]).partition(b";")[0]
    is_main = title == b"rspamd: main process"
    is_trusted = is_main and processes.is_trusted(pid, *processes.uids(FILTER_USER))
    return is_trusted and processes.works_in(pid, layout.filter_data)


def up_pid(layout: Layout) -> int | None:
    """The pid of the `mailroster up` of this instance, or of one of an earlier version."""
    return _first_pid((layout.up_pid, layout.old_up_pid), _is_up)


def _first_pid(paths: Iterable[str], is_right: Callable[[int], bool]) -> int | None:
    pids = (_pid(path, is_right, locked=True) for path in paths)
    return next((pid for pid in pids if pid is not None), None)


def other_servers() -> dict[str, int]:
    """The running servers with the paths of their Debian packages, name -> pid. Those of mailroster
    have other paths."""
    pids = {
        "postfix": _pid(
            "/var/spool/postfix/pid/master.pid",
            lambda pid: _is_postfix(pid, "/var/spool/postfix"),
            locked=True,
        ),
        "dovecot": _pid("/run/dovecot/master.pid", _is_any_dovecot, locked=False),
    }
    return {name: pid for name, pid in pids.items() if pid is not None}


def _is_postfix(pid: int, spool: str) -> bool:
    """Whether a process is Postfix's master: it works in the queue folder."""
    is_master = processes.program_name(pid) == "master" and processes.is_trusted(pid)
    return is_master and processes.works_in(pid, spool)


def _is_any_dovecot(pid: int) -> bool:
    return processes.program_name(pid) == "dovecot" and processes.is_trusted(pid)


def _is_dovecot(pid: int, layout: Layout) -> bool:
    """Whether a process is Dovecot's master with our configuration; on a host it needs no `-c`."""
    if not _is_any_dovecot(pid):
        return False
    return layout.kind == "host" or _names(pid, layout.dovecot_conf)


def _is_policy(pid: int, layout: Layout) -> bool:
    is_service = POLICY_MODULE.encode() in processes.arguments(pid)
    is_trusted = is_service and processes.is_trusted(pid, *processes.uids(POLICY_USER))
    return is_trusted and _names(pid, layout.state)


def _names(pid: int, path: str) -> bool:
    """Whether a word of the command line leads to a path."""
    target = os.fsencode(os.path.realpath(path))
    return target in map(os.path.realpath, processes.arguments(pid))


def _is_up(pid: int) -> bool:
    """Whether a process is `mailroster up` or `watch`, by either name of the program."""
    words = processes.arguments(pid)
    names = {os.path.basename(word) for word in words}
    is_up = bool(names & {b"mailroster", b"setup"}) and bool(names & {b"up", b"watch"})
    return is_up and processes.is_trusted(pid)


def _pid(path: str, is_right: Callable[[int], bool], *, locked: bool) -> int | None:
    """The pid in a pid file, if the process is the right one."""
    try:
        with open(path, encoding="ascii", opener=_without_waiting) as file:
            pid = int(file.readline(_PID_LINE_MAX).strip() or 0)
            # The lock is checked last: another process may be about to lock the file.
            if pid <= 0 or not is_right(pid) or (locked and not _is_locked(file.fileno())):
                return None
            return pid
    except (OSError, ValueError):
        return None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _is_locked(fd: int) -> bool:
    """Whether another process has locked the file, by flock(2) or by fcntl(2)."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.lockf(fd, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    return False
