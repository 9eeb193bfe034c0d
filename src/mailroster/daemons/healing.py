"""Makes the state folder of a running instance complete again when a part of it is lost.

`rm -rf mail-state/*`, a tmpfs that is mounted anew, one folder moved away: all of it but the queue
can be made from the config folder. Servers are restarted if they had open what is lost.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack

from mailroster.base.findings import Refused, ServerError
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.daemons.follower import Follower, only_one
from mailroster.daemons.supervisor import Supervisor, pause
from mailroster.servers import running
from mailroster.servers.essentials import Essential, Essentials
from mailroster.servers.reopen import reload_postfix, reopen_database
from mailroster.system.log import Retry, log, words_of
from mailroster.system.threads import in_thread

#: How often the essentials are looked at, and how long a loss must stay the same: `rm -rf` of a
#: large folder takes a while.
LOOK_S, STEADY_S = 1.0, 0.3
_NAMED_MAX = 4
_HEALED = "what was lost is there again"


class Displaced(Refused):
    """Another process has taken the state folder over: this one has to leave it."""


class Healer:
    """Watches over the state folder of one instance."""

    def __init__(
        self,
        settings: Settings,
        layout: Layout,
        follower: Follower,
        servers: Sequence[Supervisor],
        prepare: Callable[[], bool],
        healed: Callable[[], object] = lambda: None,
    ) -> None:
        """`servers` in the order in which they start. `prepare` makes what is missing; whether a
        file that the servers read at start changed. It raises Refused or OSError. `healed` is
        called when all is there again."""
        self._layout, self._follower, self._prepare = layout, follower, prepare
        self._healed = healed
        self._servers: Mapping[str, Supervisor] = {each.name: each for each in servers}
        self._essentials = Essentials(settings, layout)
        self._locks = ExitStack()
        self._retry = Retry("the state folder can't be made complete", _HEALED)

    def hold(self, locks: ExitStack) -> None:
        """Gives the locks to which a new one is added when the file of the old one is lost."""
        self._locks = locks

    async def record(self) -> None:
        """Takes what there is now for complete: all servers run."""
        await in_thread(self._essentials.record)

    def check_owner(self) -> None:
        """Raises Displaced if another process has taken the state folder over: what the pid files
        in it name belongs to that one."""
        pid = running.up_pid(self._layout)
        if pid not in (None, os.getpid()):
            raise Displaced(
                f"{self._layout.state} was lost, and process {pid} has taken it over; stopping"
            )

    async def watch(self, stop: asyncio.Event) -> None:
        """Heals whatever is lost until `stop` is set. Raises Displaced."""
        while not stop.is_set():
            await pause(LOOK_S, stop)
            try:
                await self._look(stop)
            except Displaced:
                raise
            except Exception as error:  # noqa: BLE001 - it is tried again
                expected = isinstance(error, Refused | ServerError)
                self._retry.failed(error if expected else words_of(error))

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
                log(
                    f"lost from {self._layout.state}: {_names(lost, self._layout)}; it is made anew"
                )
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
        # Only now: as long as that can't be done, servers serve what they still have.
        names = {name for each in lost for name in each.servers}
        resting = [each for name, each in self._servers.items() if changed or name in names]
        async with AsyncExitStack() as stack:
            starts = [await stack.enter_async_context(each.resting()) for each in reversed(resting)]
            if resting:
                # A server that ends removes its sockets by their names: more is missing now.
                await in_thread(self._prepare)
            for start in reversed(starts):
                if stop.is_set():
                    return
                try:
                    await start()
                except ServerError as error:
                    log(str(error))  # its keeper tries it again and again
        await self.record()
        await in_thread(self._healed)

    def _reopen(self) -> None:
        """Has the servers open the tables that have the names now: a folder that was moved, or that
        something was mounted over, still has its files."""
        reload_postfix(self._layout)
        reopen_database(self._layout)

    def _lock_again(self) -> None:
        if running.up_pid(self._layout) == os.getpid():
            return  # an earlier try has come so far
        self.check_owner()
        self._locks.enter_context(only_one(self._layout))


def _names(lost: Sequence[Essential], layout: Layout) -> str:
    """Some of what is lost, by the names in the state folder."""
    names = [each.path.removeprefix(f"{layout.state}/") for each in lost]
    names = ["everything"] if layout.state in names else names
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
