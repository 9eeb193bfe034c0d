"""Finds all processes of a server (proc(5)), and ends them (pidfd_open(2)).

A daemon leads a session of its own (setsid(2)), which its children inherit. So its family is its
session, and all descendants of that. Pid files are not used: they may be missing.
"""

import asyncio
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from mailroster.base.layout import Layout
from mailroster.servers.config.dkim import KINDS
from mailroster.servers.running import (
    POLICY_MODULE,
    POLICY_USER,
    is_filter,
    is_signer,
    is_srs,
)
from mailroster.servers.survivors import environment, is_neighbour
from mailroster.system import processes
from mailroster.system.processes import KILLED_S, ProcessEntry, entries, entry_of
from mailroster.system.threads import in_thread

#: When the master has ended, its children get this time before they are killed.
CHILDREN_S = 3.0
_STEP_S, _STEP_MAX_S = 0.02, 0.2


class Process:
    """A handle on one process. It stays valid when another process gets the pid."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError if there is no such process."""
        self._fd = os.pidfd_open(pid)
        try:
            self.entry = entry_of(pid)  # read after the handle: if the process runs, it is this one
        except OSError:
            os.close(self._fd)
            raise ProcessLookupError(pid) from None
        self.pid = pid

    def fileno(self) -> int:
        """A descriptor that becomes readable when the process has ended."""
        return self._fd

    def has_ended(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(0))

    def signal(self, number: int) -> None:
        """Sends a signal; a process that has ended gets none."""
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Family:
    """A leader and all processes that belong to it. `update` adds those started since."""

    def __init__(self, leader: Process) -> None:
        self.leader = leader
        self._members: dict[int, Process] = {}

    def update(self) -> None:
        """Opens the processes that belong to the leader and are not known yet."""
        table = entries()
        for pid in members(self.leader.entry, self._alive(), table):
            known = self._members.get(pid)
            if known is not None and known.entry.started == table[pid].started:
                continue
            try:
                process = Process(pid)
            except OSError:
                continue  # it has ended
            if process.entry.started != table[pid].started:
                process.close()  # another process has the pid now
                continue
            if known is not None:
                known.close()
            self._members[pid] = process

    def children(self) -> list[Process]:
        """The members that run, without the leader."""
        return [process for process in self._members.values() if not process.has_ended()]

    def signal_children(self, number: int) -> None:
        for process in self.children():
            process.signal(number)

    def close(self) -> None:
        for process in self._members.values():
            process.close()
        self._members.clear()

    def _alive(self) -> list[ProcessEntry]:
        return [process.entry for process in self.children()]


def members(
    leader: ProcessEntry, known: Iterable[ProcessEntry], table: Mapping[int, ProcessEntry]
) -> set[int]:
    """The pids of a table that belong to a leader: its session, and all descendants of it, of the
    leader and of known members. Without the leader itself, and without dead processes."""
    current = table.get(leader.pid)
    is_reused = current is not None and current.started != leader.started
    pids = {entry.pid for entry in known if _is_same(entry, table)}
    if leader.session == leader.pid and not is_reused:
        pids |= {pid for pid, entry in table.items() if entry.session == leader.pid}
    if current is not None and not is_reused:
        pids.add(leader.pid)
    children: dict[int, list[int]] = {}
    for entry in table.values():
        children.setdefault(entry.parent, []).append(entry.pid)
    waiting = list(pids)
    while waiting:
        new = [pid for pid in children.get(waiting.pop(), ()) if pid not in pids]
        pids.update(new)
        waiting += new
    pids.discard(leader.pid)
    return {pid for pid in pids if not table[pid].is_dead()}


def _is_same(known: ProcessEntry, table: Mapping[int, ProcessEntry]) -> bool:
    return known.pid in table and table[known.pid].started == known.started


async def end(leader: Process, stop_s: float, killed: Callable[[], object]) -> bool:
    """Ends a server and all its processes; returns whether none is left.

    SIGTERM to the leader, then to its children once it has ended; SIGKILL to all of them after
    `stop_s` seconds, or CHILDREN_S after the leader has ended. Calls `killed` once if a process has
    to be killed.
    """
    family = Family(leader)
    try:
        await _update(family)
        leader.signal(signal.SIGTERM)
        if await _all_ended(family, stop_s):
            return True
        killed()
        deadline = time.monotonic() + KILLED_S
        while time.monotonic() < deadline:
            leader.signal(signal.SIGKILL)
            await _update(family)
            family.signal_children(signal.SIGKILL)
            if leader.has_ended() and not family.children():
                return True
            await asyncio.sleep(_STEP_S)
        return False
    finally:
        family.close()


async def _update(family: Family) -> None:
    """Updates a family if possible: without free descriptors, only the leader and the members that
    are known already can be ended."""
    with suppress(OSError):
        await in_thread(family.update)


async def _all_ended(family: Family, stop_s: float) -> bool:
    """Whether all processes of a family end in time without SIGKILL."""
    now = time.monotonic()
    deadline, orphaned, step = now + stop_s, False, _STEP_S
    while time.monotonic() < deadline:
        await _update(family)
        if family.leader.has_ended():
            if not family.children():
                return True
            if not orphaned:
                orphaned = True
                family.signal_children(signal.SIGTERM)
                deadline = min(deadline, time.monotonic() + CHILDREN_S)
        await asyncio.sleep(step)
        step = min(step * 1.5, _STEP_MAX_S)
    return False


class SpareDescriptors:
    """Reserved descriptors: a process that has run out of them can still stop its servers."""

    def __init__(self, count: int = 8) -> None:
        self._fds = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(count)]

    def release(self) -> None:
        while self._fds:
            os.close(self._fds.pop())


async def kill_descendants(pid: int) -> None:
    """Kills all descendants of this process (`pid`) that still run. All are stopped first: the
    child of a process that is killed while it forks would no longer be a descendant."""
    deadline = time.monotonic() + KILLED_S
    stopped: set[int] = set()
    is_late = False
    while not is_late:
        is_late = time.monotonic() > deadline
        try:
            descendants = await in_thread(_descendants, pid)
        except OSError:
            return  # /proc can't be read
        running = descendants - stopped
        must_stop = bool(running) and not is_late
        for child in running if must_stop else descendants:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP if must_stop else signal.SIGKILL)
        if not descendants:
            return
        stopped |= running
        if not must_stop:
            await asyncio.sleep(_STEP_S)


def _descendants(pid: int) -> set[int]:
    table = entries()
    own = table[pid]._replace(session=0)  # its session may be that of a shell
    return members(own, (), table)


# -- servers of an instance, without its pid files


def servers_of(layout: Layout) -> dict[int, str]:
    """The running masters and policy services of an instance, pid -> name, without its state
    folder. Only processes with the same root file system, of trusted users."""
    servers = {}
    for entry in entries().values():
        try:
            name = _name_of(entry, layout)
        except OSError:
            continue  # it has ended
        if name:
            servers[entry.pid] = name
    return servers


def _name_of(entry: ProcessEntry, layout: Layout) -> str:
    """The name of the server of an instance that a process is; "" for other processes."""
    if entry.is_dead() or entry.session != entry.pid or entry.pid == os.getpid():
        return ""
    words = processes.arguments(entry.pid)
    if not words or not is_neighbour(entry.pid):
        return ""
    policy = [POLICY_MODULE, layout.state, layout.kind]
    if words[-4:-1] == list(map(os.fsencode, policy)):
        is_trusted = processes.is_trusted(entry.pid, *processes.uids(POLICY_USER))
        return "policy service" if is_trusted else ""
    if any(is_signer(entry.pid, layout, kind) for kind in KINDS):
        return "opendkim"
    if is_filter(entry.pid, layout):
        return "rspamd"
    if is_srs(entry.pid, layout):
        return "postsrsd"
    if layout.kind == "host" or not processes.is_trusted(entry.pid):
        return ""
    program = os.path.basename(words[0])
    if program == b"dovecot" and os.fsencode(layout.dovecot_conf) in words:
        return "dovecot"
    config = b"MAIL_CONFIG=" + os.fsencode(layout.postfix)
    if program == b"master" and config in environment(entry.pid):
        return "postfix"
    return ""
