"""Whether the servers of an instance run: by the locks and pid files that they keep."""

import fcntl
import os

from mailroster.instance.layout import Layout
from mailroster.values import NamedTuple


class Usage(NamedTuple):
    """What a mailbox holds, and may hold (0 = unlimited), in bytes, and the part used of it."""

    used: int
    limit: int
    percent: int


def is_running(layout: Layout) -> bool:
    """Whether Postfix or Dovecot of this instance is up."""
    return postfix_pid(layout) is not None or dovecot_pid(layout) is not None


def postfix_pid(layout: Layout) -> int | None:
    """The pid of Postfix's master, which keeps its pid file locked (master(8))."""
    return _pid(os.path.join(layout.spool, "pid", "master.pid"), locked=True)


def dovecot_pid(layout: Layout) -> int | None:
    """The pid of Dovecot's master, which does not lock its pid file: so it has to be a process with
    our configuration. A killed one that nobody has reaped has no command line, and one that has
    only got its number has another."""
    pid = _pid(layout.dovecot_pid, locked=False)
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return None
    if layout.kind == "host":  # which needs no `-c`
        return pid if os.path.basename(words[0]) == b"dovecot" else None
    conf = os.fsencode(os.path.realpath(layout.dovecot_conf))
    return pid if conf in map(os.path.realpath, words) else None


def policy_pid(layout: Layout) -> int | None:
    """The pid of our policy service."""
    return _pid(layout.policy_pid, locked=True)


def up_pid(layout: Layout) -> int | None:
    """The pid of the `mailroster up` that keeps this instance."""
    return _pid(layout.up_pid, locked=True)


def strangers() -> dict[str, int]:
    """Servers that run at their packages' own places, name -> pid. Ours have other places."""
    found = {
        "postfix": _pid("/var/spool/postfix/pid/master.pid", locked=True),
        "dovecot": _pid("/run/dovecot/master.pid", locked=False),
    }
    return {name: pid for name, pid in found.items() if pid is not None}


def _pid(path: str, *, locked: bool) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            pid = int(file.read().strip() or 0)
            if not pid or not os.path.exists(f"/proc/{pid}"):
                return None  # before the look at the lock, which another may be about to take
            return pid if not locked or _is_locked(file.fileno()) else None
    except (OSError, ValueError):
        return None


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
