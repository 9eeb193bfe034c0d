"""Makes running servers open a file that replaced the one that they have open.

Dovecot's auth workers never notice a replaced database. A worker that ends is replaced at the next
lookup, and open sessions are not affected. A lookup in progress would fail, so only a sleeping
worker is ended, and only if it has not opened the new file yet.

Postfix notices a replaced table by itself at the next session: that is the purpose of the table
`generation`. Only a process that started while one of its tables was missing answers 451 until it
ends: trivial-rewrite does not use the generation.
"""

import os
import time
from collections.abc import Callable, Iterator

from mailroster.base.layout import Layout
from mailroster.servers.running import dovecot_pid, postfix_pid
from mailroster.system import processes

#: A worker that is busy for longer than that is ended nevertheless.
_PATIENCE_S = 2.0
_STEP_S = 0.002
_DELETED = " (deleted)"  # proc(5), fd


def reload_postfix(layout: Layout) -> None:
    """Restarts every process of Postfix after its session, as `postfix reload` does."""
    import signal

    master = postfix_pid(layout)
    if master is not None:
        processes.send(master, signal.SIGHUP, lambda pid: pid == postfix_pid(layout))


def reload_servers(layout: Layout) -> list[str]:
    """Makes Postfix and Dovecot read their configuration and certificates again, as `postfix
    reload` and `doveadm reload` do; the names of those that run. Open sessions continue."""
    import signal

    def reload(pid_of: Callable[[Layout], int | None]) -> bool:
        master = pid_of(layout)
        if master is None:
            return False
        return processes.send(master, signal.SIGHUP, lambda pid: pid == pid_of(layout))

    servers = (("dovecot", dovecot_pid), ("postfix", postfix_pid))
    return [name for name, pid_of in servers if reload(pid_of)]


def reopen_database(layout: Layout, database: str = "") -> int:
    """Ends the auth workers that have an old database open, by default that of the accounts;
    returns their number."""
    import signal

    database = database or layout.database
    deadline = time.monotonic() + _PATIENCE_S
    ended: set[int] = set()
    while waiting := set(_outdated_workers(layout, database)) - ended:
        for pid in waiting:
            if _sleeps(pid) or time.monotonic() > deadline:
                processes.send(pid, signal.SIGTERM, lambda pid: _is_outdated(pid, layout, database))
                ended.add(pid)
        time.sleep(_STEP_S)
    return len(ended)


def has_lost_log(layout: Layout) -> bool:
    """Whether an auth worker of our Dovecot has an old log (`-wal`) of the database open, or an old
    index of the log (`-shm`).

    Such a worker sees no changes of other processes, and SQLite rejects other writers (disk I/O
    error): https://sqlite.org/howtocorrupt.html, section 1.4."""
    master = dovecot_pid(layout)
    return master is not None and any(
        _is_auth(pid)
        and not _has_another(pid, layout.database)
        and any(_has_another(pid, layout.database + end) for end in ("-wal", "-shm"))
        for pid in processes.children(master)
    )


def _outdated_workers(layout: Layout, database: str) -> Iterator[int]:
    """The auth workers of our Dovecot with an old database: one that was replaced, or whose folder
    was moved or mounted over."""
    master = dovecot_pid(layout)
    if master is not None:
        yield from (pid for pid in processes.children(master) if _has_old_database(pid, database))


def _is_outdated(pid: int, layout: Layout, database: str) -> bool:
    master = dovecot_pid(layout)
    return (
        master is not None and processes.parent(pid) == master and _has_old_database(pid, database)
    )


def _has_old_database(pid: int, database: str) -> bool:
    """Whether an auth process has an old database open."""
    return os.path.exists(database) and _is_auth(pid) and _has_another(pid, database)


def _is_auth(pid: int) -> bool:
    return any(b"auth" in word for word in processes.arguments(pid))


def _has_another(pid: int, path: str) -> bool:
    """Whether a process has an open file with this name that is not the file at this path."""
    name = f"/{os.path.basename(path)}"
    try:
        now = os.stat(path)
    except FileNotFoundError:
        now = None
    try:
        return any(
            was.removesuffix(_DELETED).endswith(name)
            and (now is None or not os.path.samestat(os.stat(fd), now))
            for fd, was in _files(pid)
        )
    except OSError:
        return False  # it has ended


def _sleeps(pid: int) -> bool:
    try:
        return processes.stat(pid)[0] == "S"
    except OSError:
        return False


def _files(pid: int) -> Iterator[tuple[str, str]]:
    """The open files of a process: the link in /proc, and its target. Raises OSError."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        fd = f"/proc/{pid}/fd/{number}"
        try:
            yield fd, os.readlink(fd)
        except FileNotFoundError:
            pass  # closed meanwhile
