"""Makes running servers open a file that was renamed over the one that they have open.

Dovecot's auth workers look up and never notice. One that ends is replaced at the next lookup,
without a word to the sessions that are open. A lookup that is under way in it would fail, so only a
worker that sleeps is ended; one that has opened the new file already is left alone.

Postfix notices by itself, at the next session, by any table that has lost its name: the generation
is there for that. Only a process that began without a generation has none to look at, and would
answer 451 until it ends.
"""

import os
import time
from collections.abc import Iterator

from mailroster.instance.layout import Layout
from mailroster.running import dovecot_pid, postfix_pid

#: How long a worker may go on before it is ended at work.
_PATIENCE_S = 2.0
_STEP_S = 0.002
_GONE = " (deleted)"  # proc(5), fd


def reload_postfix(layout: Layout) -> None:
    """Has every process of Postfix start anew after its session, as `postfix reload` does."""
    import signal

    master = postfix_pid(layout)
    if master is not None:
        os.kill(master, signal.SIGHUP)


def reopen_database(layout: Layout) -> int:
    """Ends the auth workers that have an old database open; how many. 0 where no Dovecot runs."""
    import signal

    deadline = time.monotonic() + _PATIENCE_S
    ended: set[int] = set()
    while waiting := set(_behind(layout)) - ended:
        for pid in waiting:
            if _sleeps(pid) or time.monotonic() > deadline:
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass
                ended.add(pid)
        time.sleep(_STEP_S)
    return len(ended)


def processes(master: int, name: bytes, before_s: float) -> Iterator[int]:
    """The children of a process whose command line has a word, and that began before a time, in
    seconds since the machine started."""
    ticks = os.sysconf("SC_CLK_TCK")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent, *rest = _status(pid)
            began_s = int(rest[17]) / ticks
            ours = int(parent) == master and state != "Z" and began_s <= before_s
            if ours and name in _command(pid):
                yield int(pid)
        except OSError:
            pass  # it has ended


def catches(pid: int, signal: int) -> bool:
    """Whether a process has a handler for a signal (proc(5), SigCgt). Raises ProcessLookupError."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            masks = (line.partition(":\t")[2] for line in file if line.startswith("SigCgt:"))
            return bool(int(next(masks), 16) >> (signal - 1) & 1)
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None


def _behind(layout: Layout) -> Iterator[int]:
    """The auth workers of our Dovecot that have another database open than the one with its name:
    one that was renamed over, or that lies below a folder that was moved or mounted over."""
    master = dovecot_pid(layout)
    if master is None:
        return
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if _parent(name) == master and b"auth" in _command(name) and _is_old(name, layout):
                yield int(name)
        except OSError:
            pass  # it has ended


def _is_old(pid: str, layout: Layout) -> bool:
    """Whether a process has a database open that is not ours any more. Raises OSError."""
    now = os.stat(layout.database)
    name = f"/{os.path.basename(layout.database)}"
    return any(
        path.removesuffix(_GONE).endswith(name) and not os.path.samestat(os.stat(fd), now)
        for fd, path in _files(pid)
    )


def _sleeps(pid: int) -> bool:
    try:
        return _status(str(pid))[0] == "S"
    except OSError:
        return False


def _status(pid: str) -> list[str]:
    """State, parent, … (proc(5), stat)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def _parent(pid: str) -> int:
    return int(_status(pid)[1])


def _command(pid: str) -> bytes:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()


def _files(pid: str) -> Iterator[tuple[str, str]]:
    """The open files of a process: the link in /proc, and where it leads."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        fd = f"/proc/{pid}/fd/{number}"
        try:
            yield fd, os.readlink(fd)
        except FileNotFoundError:
            pass  # closed meanwhile
