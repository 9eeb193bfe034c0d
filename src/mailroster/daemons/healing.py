"""Restores the state folder of a running instance when a part of it is lost.

`rm -rf mail-state/*`, a new tmpfs, a folder that was moved away: everything except the queue can be
rebuilt from the config folder. Servers are restarted if lost files were open.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack

from mailroster.base.findings import Refused, ServerError, and_more
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.daemons.errands import reason_of
from mailroster.daemons.follower import Follower
from mailroster.daemons.instance_lock import single_instance
from mailroster.daemons.supervisor import Supervisor, pause
from mailroster.servers import running
from mailroster.servers.essentials import Essential, Essentials
from mailroster.servers.reopen import reload_postfix, reopen_database
from mailroster.system.log import Retry, log
from mailroster.system.threads import in_thread

#: The time between two checks, and how long a loss must stay unchanged: `rm -rf` of a large folder
#: takes time.
LOOK_S, STEADY_S = 1.0, 0.3
_NAMED_MAX = 4
_HEALED = "the state folder is complete again"


class Displaced(Refused):
    """Another process uses the state folder now: this one has to stop."""


class Healer:
    """The healer of the state folder of one instance."""

    def __init__(
        self,
        settings: Settings,
        layout: Layout,
        follower: Follower,
        servers: Sequence[Supervisor],
        prepare: Callable[[], bool],
        healed: Callable[[], object] = lambda: None,
    ) -> None:
        """`servers`, in the order of their start. `prepare` creates missing files, and returns
        whether a file changed that the servers read at start; it raises Refused or OSError.
        `healed` is called when everything is restored."""
        self._layout, self._follower, self._prepare = layout, follower, prepare
        self._healed = healed
        self._servers: Mapping[str, Supervisor] = {each.name: each for each in servers}
        self._essentials = Essentials(settings, layout)
        self._locks = ExitStack()
        self._retry = Retry("the state folder can't be restored", _HEALED)

    def hold(self, locks: ExitStack) -> None:
        """Sets the stack to which a new lock is added when the file of the old one is lost."""
        self._locks = locks

    async def record(self) -> None:
        """Records the current files as complete, while all servers run."""
        await in_thread(self._essentials.record)

    def check_owner(self) -> None:
        """Raises Displaced if another process uses the state folder now: the servers of its pid
        files belong to that process."""
        pid = running.up_pid(self._layout)
        if pid not in (None, os.getpid()):
            raise Displaced(
                f"{self._layout.state} was lost, and process {pid} uses it now; stopping"
            )

    async def watch(self, stop: asyncio.Event) -> None:
        """Restores lost files until `stop` is set. Raises Displaced."""
        while not stop.is_set():
            await pause(LOOK_S, stop)
            try:
                await self._look(stop)
            except Displaced:
                raise
            except Exception as error:  # noqa: BLE001 - it is tried again
                self._retry.failed(reason_of(error))

    async def _look(self, stop: asyncio.Event) -> None:
        if stop.is_set() or not self._retry.is_due():
            return
        await in_thread(self.check_owner)
        lost = await self._lost()
        while lost and not stop.is_set():
            await pause(STEADY_S, stop)
            before, lost = lost, await self._lost()
            if lost == before:
                break
        if lost and not stop.is_set():
            if not self._retry.has_failed:
                log(f"lost from {self._layout.state}: {_names(lost, self._layout)}; rebuilding")
            await self._heal(lost, stop)
            if not self._retry.has_failed:
                log(_HEALED)
            self._retry.worked()

    async def _lost(self) -> list[Essential]:
        return await in_thread(self._essentials.lost, self._is_running)

    def _is_running(self, name: str) -> bool:
        return name in self._servers and self._servers[name].is_running()

    async def _heal(self, lost: Sequence[Essential], stop: asyncio.Event) -> None:
        if any(each.path in (self._layout.up_pid, self._layout.state) for each in lost):
            await in_thread(self._lock_again)
        changed = await in_thread(self._prepare)
        await in_thread(self._follower.renew)
        await in_thread(self._reopen)
        # Only now: as long as that fails, the servers run on with their open files.
        names = {name for each in lost for name in each.servers}
        affected = [each for name, each in self._servers.items() if changed or name in names]
        async with AsyncExitStack() as stack:
            starts = [
                await stack.enter_async_context(each.stopped()) for each in reversed(affected)
            ]
            if affected:
                # A server that ends removes its sockets by their names: now they are missing.
                await in_thread(self._prepare)
            for start in reversed(starts):
                if stop.is_set():
                    return
                try:
                    await start()
                except ServerError as error:
                    log(str(error))  # its supervisor tries it again
        await self.record()
        await in_thread(self._healed)

    def _reopen(self) -> None:
        """Makes the servers reopen the tables by their names: the open files may be in a folder
        that was moved, or mounted over."""
        reload_postfix(self._layout)
        reopen_database(self._layout)

    def _lock_again(self) -> None:
        if running.up_pid(self._layout) == os.getpid():
            return  # done by an earlier try
        self.check_owner()
        self._locks.enter_context(single_instance(self._layout))


def _names(lost: Sequence[Essential], layout: Layout) -> str:
    """The first few of the lost files, relative to the state folder."""
    names = [each.path.removeprefix(f"{layout.state}/") for each in lost]
    names = ["everything"] if layout.state in names else names
    return and_more(names, _NAMED_MAX)
