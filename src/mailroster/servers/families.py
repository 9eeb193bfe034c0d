"""The processes of a server, by proc(5) and pidfd_open(2): what belongs to it, and how it is ended.

A daemon leads a session of its own (setsid(2)), which its children inherit. So its family is its
session, and whatever descends from that. Pid files are not asked: they may be gone.
"""

import asyncio
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from mailroster.base.layout import Layout
from mailroster.servers.running import POLICY_MODULE, POLICY_USER
from mailroster.servers.survivors import environment, is_neighbour
from mailroster.system import processes
from mailroster.system.processes import KILLED_S, Entry, entries, entry_of
from mailroster.system.threads import in_thread

#: After its master has ended, a child gets this time before it is killed.
CHILDREN_S = 3.0
_STEP_S, _STEP_MAX_S = 0.02, 0.2


class Process:
    """A handle on one process. It stays valid when the number is given to another process."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError if there is no such process."""
        self._fd = os.pidfd_open(pid)
        try:
            self.entry = entry_of(pid)  # behind the handle: if it still lives, it is the same one
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
    """A leader and all that belongs to it. Each look adds what has been started since."""

    def __init__(self, leader: Process) -> None:
        self.leader = leader
        self._members: dict[int, Process] = {}

    def look(self) -> None:
        """Opens the processes that belong to the leader and are not known yet."""
        table = entries()
        for pid in members(self.leader.entry, self._alive(), table):
            known = self._members.get(pid)
            if known is not None and known.entry.started == table[pid].started:
                continue
            try:
                found = Process(pid)
            except OSError:
                continue  # it has ended
            if found.entry.started != table[pid].started:
                found.close()  # the number belongs to another process now
                continue
            if known is not None:
                known.close()
            self._members[pid] = found

    def children(self) -> list[Process]:
        """Those that run, without the leader."""
        return [process for process in self._members.values() if not process.has_ended()]

    def signal_children(self, number: int) -> None:
        for process in self.children():
            process.signal(number)

    def close(self) -> None:
        for process in self._members.values():
            process.close()
        self._members.clear()

    def _alive(self) -> list[Entry]:
        return [process.entry for process in self.children()]


def members(leader: Entry, known: Iterable[Entry], table: Mapping[int, Entry]) -> set[int]:
    """The processes of a table that belong to a leader: those of its session, and all that descend
    from it, from them, or from known members. Without the leader, and without dead ones."""
    there = table.get(leader.pid)
    is_reused = there is not None and there.started != leader.started
    leads = leader.session == leader.pid and not is_reused
    found = {each.pid for each in known if _is(each, table)}
    if leads:
        found |= {pid for pid, entry in table.items() if entry.session == leader.pid}
    if there is not None and not is_reused:
        found.add(leader.pid)
    children: dict[int, list[int]] = {}
    for entry in table.values():
        children.setdefault(entry.parent, []).append(entry.pid)
    waiting = list(found)
    while waiting:
        fresh = [pid for pid in children.get(waiting.pop(), ()) if pid not in found]
        found.update(fresh)
        waiting += fresh
    found.discard(leader.pid)
    return {pid for pid in found if not table[pid].is_dead()}


def _is(known: Entry, table: Mapping[int, Entry]) -> bool:
    return known.pid in table and table[known.pid].started == known.started


async def end(leader: Process, stop_s: float, killed: Callable[[], object]) -> bool:
    """Ends a server and everything that belongs to it; whether nothing of it is left.

    SIGTERM to the leader, then to its children once it has ended; SIGKILL to all of them when
    `stop_s` seconds are over, or when the children have had CHILDREN_S. Calls `killed` once if a
    process had to be killed.
    """
    family = Family(leader)
    try:
        await _look(family)
        leader.signal(signal.SIGTERM)
        if await _all_ended(family, stop_s):
            return True
        killed()
        deadline = time.monotonic() + KILLED_S
        while time.monotonic() < deadline:
            leader.signal(signal.SIGKILL)
            await _look(family)
            family.signal_children(signal.SIGKILL)
            if leader.has_ended() and not family.children():
                return True
            await asyncio.sleep(_STEP_S)
        return False
    finally:
        family.close()


async def _look(family: Family) -> None:
    """A look at a family that may fail: without descriptors, say, only those are ended that are
    known already, and the leader."""
    with suppress(OSError):
        await in_thread(family.look)


async def _all_ended(family: Family, stop_s: float) -> bool:
    """Whether all of a family end by themselves in time."""
    now = time.monotonic()
    deadline, orphaned, step = now + stop_s, False, _STEP_S
    while time.monotonic() < deadline:
        await _look(family)
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
    """Open descriptors for later: a process that has used up its own can still stop its servers."""

    def __init__(self, count: int = 8) -> None:
        self._fds = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(count)]

    def release(self) -> None:
        while self._fds:
            os.close(self._fds.pop())


async def kill_descendants(pid: int) -> None:
    """Kills every process that this one (`pid`) has started and that still runs."""
    deadline = time.monotonic() + KILLED_S
    while time.monotonic() < deadline:
        try:
            waiting = await in_thread(_descendants, pid)
        except OSError:
            return  # /proc can't be read
        if not waiting:
            return
        for each in waiting:
            try:
                os.kill(each, signal.SIGKILL)
            except ProcessLookupError:
                pass
        await asyncio.sleep(_STEP_S)


def _descendants(pid: int) -> set[int]:
    table = entries()
    own = table[pid]._replace(session=0)  # its session may be that of a shell
    return members(own, (), table)


# -- servers of an instance whose pid files are gone


def servers_of(layout: Layout) -> dict[int, str]:
    """The masters and policy services of an instance that run, pid -> name, whatever its state
    folder says. Only processes of this root's file system, and of users who can't be imitated."""
    found = {}
    for entry in entries().values():
        try:
            name = _name_of(entry, layout)
        except OSError:
            continue  # it has ended
        if name:
            found[entry.pid] = name
    return found


def _name_of(entry: Entry, layout: Layout) -> str:
    """Which server of an instance a process is; "" if it is none."""
    if entry.is_dead() or entry.session != entry.pid or entry.pid == os.getpid():
        return ""
    words = processes.arguments(entry.pid)
    if not words or not is_neighbour(entry.pid):
        return ""
    policy = [POLICY_MODULE, layout.state, layout.kind]
    if words[-4:-1] == list(map(os.fsencode, policy)):
        is_ours = processes.is_trusted(entry.pid, *processes.uids(POLICY_USER))
        return "policy service" if is_ours else ""
    if layout.kind == "host" or not processes.is_trusted(entry.pid):
        return ""
    program = os.path.basename(words[0])
    if program == b"dovecot" and os.fsencode(layout.dovecot_conf) in words:
        return "dovecot"
    config = b"MAIL_CONFIG=" + os.fsencode(layout.postfix)
    if program == b"master" and config in environment(entry.pid):
        return "postfix"
    return ""
