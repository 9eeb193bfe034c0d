"""Processes of an instance whose master has ended: sessions that the next master does not know.

When the master of Dovecot is killed, its children go on, a session of a client as long as that
client likes. A new master neither lists nor ends them. Their command line and environment name no
instance (Dovecot writes its titles over both), but two facts of proc(5) can't be faked:

- The children of a master are in its session (setsid(2)). A process can't join another session.
- The services of Dovecot work in its base_dir, and belong to root or to a user of Dovecot.

So one such service, whose parent is gone, proves that a whole session belongs to the instance. A
process of Postfix has the folder of its configuration in its environment (MAIL_CONFIG), which
Postfix does not change.
"""

import os
from collections.abc import Iterable
from functools import partial

from mailroster.base.layout import Layout
from mailroster.system import processes
from mailroster.system.processes import Entry

#: After SIGTERM a process gets this time before it is killed.
PATIENCE_S = 2.0
_DOVECOT_USERS = ("dovecot", "dovenull")
_POSTFIX_USERS = ("postfix",)
#: Where Debian has the daemons of Postfix.
_POSTFIX_PROGRAMS = "/usr/lib/postfix/"
_DELETED = " (deleted)"  # proc(5), cwd


def survivors(layout: Layout) -> list[Entry]:
    """All survivors of an instance; those of Postfix only where Postfix is ours to stop."""
    found = dovecot_survivors(layout)
    if layout.kind != "host":
        found += [
            entry
            for entries in _orphaned().values()
            for entry in entries
            if _is_process_of_postfix(entry.pid, layout.postfix)
        ]
    return found


def dovecot_survivors(layout: Layout) -> list[Entry]:
    """The survivors of its Dovecot, in any layout."""
    run = os.path.realpath(layout.run)
    found = []
    for entries in _orphaned().values():
        pids = {each.pid for each in entries}
        if any(each.parent not in pids and _is_service(each.pid, run) for each in entries):
            found += entries
    return found


def end(found: Iterable[Entry], patience_s: float = PATIENCE_S) -> int:
    """Ends processes: SIGTERM, then SIGKILL to those that are left. How many of them still ran."""
    opened = (processes.opened(each.pid, partial(_is, each)) for each in found)
    handles = [pidfd for pidfd in opened if pidfd is not None]
    processes.end(handles, patience_s)
    return len(handles)


def _is(entry: Entry, pid: int) -> bool:
    """Whether a number still belongs to the same process."""
    try:
        return processes.entry_of(pid).started == entry.started
    except OSError:
        return False


def _orphaned() -> dict[int, list[Entry]]:
    """The processes of each session whose leader has ended; none where there is no /proc."""
    try:
        table = processes.entries()
    except OSError:
        return {}
    found: dict[int, list[Entry]] = {}
    for entry in table.values():
        if entry.session and not entry.is_dead() and _has_ended(entry.session, table):
            found.setdefault(entry.session, []).append(entry)
    return found


def _has_ended(leader: int, table: dict[int, Entry]) -> bool:
    if leader in table:
        return table[leader].is_dead()
    try:
        return processes.entry_of(leader).is_dead()  # it may have started since the table was read
    except OSError:
        return True


def _is_service(pid: int, run: str) -> bool:
    """Whether a process is a service of a Dovecot with a base_dir. False where the kernel does not
    show it, as to root without CAP_SYS_PTRACE."""
    words = processes.arguments(pid)
    if not words or not words[0].startswith(b"dovecot"):
        return False
    try:
        folder = os.readlink(f"/proc/{pid}/cwd").removesuffix(_DELETED)
        is_there = folder == run or folder.startswith(f"{run}/")
        return (
            is_there
            and processes.is_trusted(pid, *processes.uids(*_DOVECOT_USERS))
            and is_neighbour(pid)
        )
    except OSError:
        return False


def _is_process_of_postfix(pid: int, config: str) -> bool:
    """Whether a process is a daemon of a Postfix with a configuration; False as above. The program
    counts: an administrator may have exported MAIL_CONFIG, to `up` as well."""
    try:
        is_daemon = os.readlink(f"/proc/{pid}/exe").startswith(_POSTFIX_PROGRAMS)
        is_ours = is_daemon and b"MAIL_CONFIG=" + os.fsencode(config) in environment(pid)
        return (
            is_ours
            and processes.is_trusted(pid, *processes.uids(*_POSTFIX_USERS))
            and is_neighbour(pid)
        )
    except OSError:
        return False


def is_neighbour(pid: int) -> bool:
    """Whether a process sees the same files and processes: else it may be of another container.
    Raises OSError if it has ended."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        numbers = next((line for line in file if line.startswith("NSpid:")), "").split()[1:]
    try:
        mounts = os.readlink(f"/proc/{pid}/ns/mnt")
    except PermissionError:  # of another user, for one without CAP_SYS_PTRACE
        return len(numbers) == 1
    return len(numbers) == 1 and mounts == os.readlink("/proc/self/ns/mnt")


def environment(pid: int) -> list[bytes]:
    """The environment with which a process was started. Raises OSError."""
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read().split(b"\0")
