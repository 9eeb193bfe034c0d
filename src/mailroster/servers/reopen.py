"""Makes running servers open a file that was renamed over the one that they have open.

Dovecot's auth workers look up and never notice. One that ends is replaced at the next lookup,
without a word to the sessions that are open. A lookup that is under way in it would fail, so only a
worker that sleeps is ended; one that has opened the new file already is left alone.

Postfix notices by itself, at the next session, by any table that has lost its name: the generation
is there for that. Only a process that began without one of its tables has no file to look at, and
would answer 451 until it ends: trivial-rewrite looks at no generation.
"""

import os
import time
from collections.abc import Iterator

from mailroster.base.layout import Layout
from mailroster.servers.running import dovecot_pid, postfix_pid
from mailroster.system import processes

#: How long a worker may go on before it is ended at work.
_PATIENCE_S = 2.0
_STEP_S = 0.002
_GONE = " (deleted)"  # proc(5), fd


def reload_postfix(layout: Layout) -> None:
    """Has every process of Postfix start anew after its session, as `postfix reload` does."""
    import signal

    master = postfix_pid(layout)
    if master is not None:
        processes.send(master, signal.SIGHUP, lambda pid: pid == postfix_pid(layout))


def reopen_database(layout: Layout) -> int:
    """Ends the auth workers that have an old database open; how many. 0 where no Dovecot runs."""
    import signal

    deadline = time.monotonic() + _PATIENCE_S
    ended: set[int] = set()
    while waiting := set(_behind(layout)) - ended:
        for pid in waiting:
            if _sleeps(pid) or time.monotonic() > deadline:
                processes.send(pid, signal.SIGTERM, lambda pid: _is_behind(pid, layout))
                ended.add(pid)
        time.sleep(_STEP_S)
    return len(ended)


def has_lost_log(layout: Layout) -> bool:
    """Whether an auth worker of our Dovecot has the database open with a log (`-wal`), or an index
    of the log (`-shm`), that is no longer the file of that name.

    Such a worker sees no change that another process writes, and SQLite refuses other writers
    (disk I/O error): https://sqlite.org/howtocorrupt.html, section 1.4."""
    master = dovecot_pid(layout)
    return master is not None and any(
        _is_auth(pid)
        and not _has_another(pid, layout.database)
        and any(_has_another(pid, layout.database + end) for end in ("-wal", "-shm"))
        for pid in processes.children(master)
    )


def _behind(layout: Layout) -> Iterator[int]:
    """The auth workers of our Dovecot that have another database open than the one with its name:
    one that was renamed over, or that lies below a folder that was moved or mounted over."""
    master = dovecot_pid(layout)
    if master is not None:
        yield from (pid for pid in processes.children(master) if _has_old(pid, layout))


def _is_behind(pid: int, layout: Layout) -> bool:
    master = dovecot_pid(layout)
    return master is not None and processes.parent(pid) == master and _has_old(pid, layout)


def _has_old(pid: int, layout: Layout) -> bool:
    """Whether an auth process has another database open than ours."""
    return os.path.exists(layout.database) and _is_auth(pid) and _has_another(pid, layout.database)


def _is_auth(pid: int) -> bool:
    return any(b"auth" in word for word in processes.arguments(pid))


def _has_another(pid: int, path: str) -> bool:
    """Whether a process has a file open that had this name, but is not the file at the path now."""
    name = f"/{os.path.basename(path)}"
    try:
        now = os.stat(path)
    except FileNotFoundError:
        now = None
    try:
        return any(
            was.removesuffix(_GONE).endswith(name)
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
    """The open files of a process: the link in /proc, and where it leads. Raises OSError."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        fd = f"/proc/{pid}/fd/{number}"
        try:
            yield fd, os.readlink(fd)
        except FileNotFoundError:
            pass  # closed meanwhile
