"""Finds and ends processes of an instance that outlived their master: client sessions that a new
master does not know.

When the master of Dovecot is killed, its children keep running, a client session as long as the
client stays connected. A new master neither lists nor ends them. Their command line and environment
name no instance (Dovecot overwrites both with titles), but two facts of proc(5) can't be faked:

- The children of a master are in its session (setsid(2)). A process can't join another session.
- The services of Dovecot work in its base_dir, and belong to root or to a user of Dovecot.

So one such service without its parent proves that a whole session belongs to the instance. A
process of Postfix has the path of its configuration in its environment (MAIL_CONFIG), which Postfix
does not change.
"""

import os
from collections.abc import Iterable
from functools import partial

from mailroster.base.layout import Layout
from mailroster.system import processes
from mailroster.system.processes import ProcessEntry

#: The time between SIGTERM and SIGKILL.
PATIENCE_S = 2.0
_DOVECOT_USERS = ("dovecot", "dovenull")
_POSTFIX_USERS = ("postfix",)
#: Debian installs the daemons of Postfix there.
_POSTFIX_PROGRAMS = "/usr/lib/postfix/"
_DELETED = " (deleted)"  # proc(5), cwd


def survivors(layout: Layout) -> list[ProcessEntry]:
    """All survivors of an instance. On a host without those of Postfix, which mailroster does not
    stop."""
    result = dovecot_survivors(layout)
    if layout.kind != "host":
        result += [
            entry
            for entries in _orphaned().values()
            for entry in entries
            if _is_process_of_postfix(entry.pid, layout.postfix)
        ]
    return result


def dovecot_survivors(layout: Layout) -> list[ProcessEntry]:
    """The survivors of the Dovecot of an instance, in any layout."""
    run = os.path.realpath(layout.run)
    result = []
    for entries in _orphaned().values():
        pids = {each.pid for each in entries}
        if any(each.parent not in pids and _is_service(each.pid, run) for each in entries):
            result += entries
    return result


def end(entries: Iterable[ProcessEntry], patience_s: float = PATIENCE_S) -> int:
    """Ends processes with SIGTERM, then SIGKILL; returns the number that still ran."""
    pidfds = (processes.open_pidfd(entry.pid, partial(_is_same, entry)) for entry in entries)
    handles = [pidfd for pidfd in pidfds if pidfd is not None]
    processes.end(handles, patience_s)
    return len(handles)


def _is_same(entry: ProcessEntry, pid: int) -> bool:
    """Whether a pid still belongs to the same process."""
    try:
        return processes.entry_of(pid).started == entry.started
    except OSError:
        return False


def _orphaned() -> dict[int, list[ProcessEntry]]:
    """The processes of each session whose leader has ended, by leader; empty without /proc."""
    try:
        table = processes.entries()
    except OSError:
        return {}
    sessions: dict[int, list[ProcessEntry]] = {}
    for entry in table.values():
        if entry.session and not entry.is_dead() and _has_ended(entry.session, table):
            sessions.setdefault(entry.session, []).append(entry)
    return sessions


def _has_ended(leader: int, table: dict[int, ProcessEntry]) -> bool:
    if leader in table:
        return table[leader].is_dead()
    try:
        return processes.entry_of(leader).is_dead()  # it may have started after the table was read
    except OSError:
        return True


def _is_service(pid: int, run: str) -> bool:
    """Whether a process is a service of the Dovecot with this base_dir. False if the kernel hides
    it, as from root without CAP_SYS_PTRACE."""
    words = processes.arguments(pid)
    if not words or not words[0].startswith(b"dovecot"):
        return False
    try:
        folder = os.readlink(f"/proc/{pid}/cwd").removesuffix(_DELETED)
        is_below = folder == run or folder.startswith(f"{run}/")
        return (
            is_below
            and processes.is_trusted(pid, *processes.uids(*_DOVECOT_USERS))
            and is_neighbour(pid)
        )
    except OSError:
        return False


def _is_process_of_postfix(pid: int, config: str) -> bool:
    """Whether a process is a daemon of the Postfix with this configuration; False if the kernel
    hides it. MAIL_CONFIG alone is no proof: an administrator may have exported it, to `up` too."""
    try:
        is_daemon = os.readlink(f"/proc/{pid}/exe").startswith(_POSTFIX_PROGRAMS)
        has_config = is_daemon and b"MAIL_CONFIG=" + os.fsencode(config) in environment(pid)
        return (
            has_config
            and processes.is_trusted(pid, *processes.uids(*_POSTFIX_USERS))
            and is_neighbour(pid)
        )
    except OSError:
        return False


def is_neighbour(pid: int) -> bool:
    """Whether a process has the same file system and pids; if not, it may run in another container.
    Raises OSError if it has ended."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        numbers = next((line for line in file if line.startswith("NSpid:")), "").split()[1:]
    try:
        mounts = os.readlink(f"/proc/{pid}/ns/mnt")
    except PermissionError:  # another user's process, without CAP_SYS_PTRACE
        return len(numbers) == 1
    return len(numbers) == 1 and mounts == os.readlink("/proc/self/ns/mnt")


def environment(pid: int) -> list[bytes]:
    """The initial environment of a process. Raises OSError."""
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read().split(b"\0")
