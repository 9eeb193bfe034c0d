"""Keeps one server running: starts it, notices its death, starts it again with back-off.

Servers are daemons of their own, found by their pid files and watched through pidfd_open(2): so
they outlive a killed `up`, and the next one takes them over without an interruption. Once it is
known, a server is watched and ended by its handle: its pid file may be gone.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from mailroster.base.findings import ServerError
from mailroster.servers import families
from mailroster.servers.families import Process
from mailroster.system.log import words_of
from mailroster.system.programs import start
from mailroster.system.threads import in_thread

BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: A server that has run this long has earned a quick restart.
STEADY_S = 60.0
STOP_S = 10.0
START_S = 10.0
#: How many lines of a server that does not start are shown.
_WORDS_MAX = 3


class Server(NamedTuple):
    """One server: how it is started (it puts itself into the background), and how it is found."""

    name: str
    argv: tuple[str, ...]
    pid: Callable[[], int | None]
    pid_file: str = ""  # removed before a start: Dovecot trusts a number that another has now
    causes: Callable[[], list[str]] = list  # what may keep it from starting, asked after a failure


class Supervisor:
    """Watches over one server until it is told to stop."""

    def __init__(
        self,
        server: Server,
        log: Callable[[str], None],
        again: Callable[[], object] = lambda: None,
        check: Callable[[], object] = lambda: None,
    ) -> None:
        """`again` is called whenever the server runs again after it had died. `check` is called
        whenever it has died: what it raises, `keep` raises."""
        self._server, self._log = server, log
        self._again, self._check = again, check
        self._process: Process | None = None
        #: Held while the server is started or stopped: `keep` does not start it meanwhile.
        self._turn = asyncio.Lock()

    @property
    def name(self) -> str:
        return self._server.name

    def is_running(self) -> bool:
        """Whether the process that was started or taken over last still runs."""
        return self._process is not None and not self._process.has_ended()

    def pid(self) -> int | None:
        """The pid of the server, as far as `is_running`."""
        return self._process.pid if self._process is not None and self.is_running() else None

    def signal(self, number: int) -> bool:
        """Sends a signal to the server; whether it runs."""
        if self._process is None or not self.is_running():
            return False
        self._process.signal(number)
        return True

    async def start(self) -> None:
        """Starts the server if it isn't running. Raises ServerError with its own words."""
        async with self._turn:
            await self._start()

    async def _start(self) -> None:
        if await self._find() is not None:
            return
        if self._server.pid_file:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._server.pid_file)
        code, output = await in_thread(start, self._server.argv)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        # The one that was called returns before the daemon has written its pid file.
        while not code and await self._find() is None and loop.time() < deadline:
            await asyncio.sleep(0.01)
        if code or not self.is_running():
            own = dict.fromkeys(line.strip() for line in output.splitlines() if line.strip())
            words = [*await in_thread(self._server.causes), *list(own)[:_WORDS_MAX]]
            why = "; ".join(words) or f"exit code {code}"
            raise ServerError(f"{self._server.name} does not start: {why}")

    async def keep(self, stop: asyncio.Event) -> None:
        """Returns when `stop` is set; restarts the server whenever it dies before."""
        failures = 0
        while not stop.is_set():
            began = asyncio.get_running_loop().time()
            await in_thread(self._check)
            try:
                process = await self._find()
            except OSError as error:  # no descriptors left, say: the server is started again
                self._log(f"{self._server.name} can't be watched: {words_of(error)}")
                process = None
            if process is not None:
                try:
                    await _ended(process, stop)
                except OSError as error:
                    self._log(f"{self._server.name} can't be watched: {words_of(error)}")
                    await pause(BACK_OFF_S[-1], stop)
            if stop.is_set():
                return
            async with self._turn:  # who has it may have stopped the server, to start it again
                if self.is_running():
                    continue
                await self._end_family()
            if asyncio.get_running_loop().time() - began > STEADY_S:
                failures = 0
            wait_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            self._log(f"{self._server.name} is down; it is started again in {wait_s} s")
            failures += 1
            await pause(wait_s, stop)
            if stop.is_set():
                return
            await in_thread(self._check)
            try:
                await self.start()
                self._log(f"{self._server.name} runs again")
                await in_thread(self._again)
            except ServerError as error:
                self._log(str(error))
            except Exception as error:  # noqa: BLE001 - it is tried again, whatever it is
                self._log(f"{self._server.name} does not start: {words_of(error)}")

    @contextlib.asynccontextmanager
    async def resting(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Stops the server for a block, in which only the function that the block gets starts it;
        that one raises as `start` does."""
        async with self._turn:
            await self._stop()
            yield self._start

    async def stop(self, *, found: bool = True) -> None:
        """Ends the server and all of its processes: SIGTERM, and SIGKILL if it takes too long.

        `found`: also a server that only its pid file names.
        """
        async with self._turn:
            await self._stop(found=found)

    async def _stop(self, *, found: bool = True) -> None:
        process = await self._find() if found else self._process
        if process is None:
            return
        name = self._server.name
        removed = await families.end(
            process, STOP_S, lambda: self._log(f"{name} does not stop; it is killed")
        )
        if not removed:
            self._log(f"{name} (process {process.pid}) can't be killed; it still runs")
        self._forget()

    async def _end_family(self) -> None:
        """Ends what a server that has died has left behind: the next one would not know of it."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            await families.end(process, STOP_S, lambda: None)
        except OSError as error:
            self._log(f"{self._server.name}: its processes can't be ended: {words_of(error)}")
        finally:
            process.close()

    async def _find(self) -> Process | None:
        """The process of the server: the known one, else the one that its pid file names."""
        if self.is_running():
            return self._process
        await self._end_family()
        pid = await in_thread(self._server.pid)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process = Process(pid)
                # The number may have become another's before the handle was open.
                if self._process.has_ended() or await in_thread(self._server.pid) != pid:
                    self._forget()
        return self._process

    def _forget(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None


async def _ended(process: Process, stop: asyncio.Event) -> None:
    """Until a process has ended, or `stop` is set."""
    loop = asyncio.get_running_loop()
    ended, fd = asyncio.Event(), os.dup(process.fileno())  # the handle may be closed meanwhile
    loop.add_reader(fd, ended.set)
    tasks = [asyncio.create_task(event.wait()) for event in (ended, stop)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        loop.remove_reader(fd)
        os.close(fd)


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """For some time, or until `stop` is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        pass
