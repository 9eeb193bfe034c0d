"""Keeps one server running: starts it, watches it, and restarts it with back-off when it dies.

Servers are daemons of their own, located by their pid files and watched through pidfd_open(2): so
they outlive a killed `up`, and the next one continues with them without an interruption. A known
server is watched and stopped by its pidfd, even if its pid file is lost.
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
#: A server that has run this long is restarted without a long pause.
STEADY_S = 60.0
STOP_S = 10.0
START_S = 10.0
#: The number of lines of output that are logged of a server that does not start.
_LINES_MAX = 3


class Server(NamedTuple):
    """One server: its start command (which puts it into the background), and its process."""

    name: str
    argv: tuple[str, ...]
    pid: Callable[[], int | None]
    pid_file: str = (
        ""  # removed before a start: Dovecot trusts it even if another process has the pid
    )
    causes: Callable[[], list[str]] = list  # likely causes, after a failed start


class Supervisor:
    """The supervisor of one server."""

    def __init__(
        self,
        server: Server,
        log: Callable[[str], None],
        restarted: Callable[[], object] = lambda: None,
        check: Callable[[], object] = lambda: None,
    ) -> None:
        """`restarted` is called after each restart of a server that has died. `check` is called
        before each: `keep` raises its errors."""
        self._server, self._log = server, log
        self._restarted, self._check = restarted, check
        self._process: Process | None = None
        #: Locked while the server is started or stopped: `keep` does not start it meanwhile.
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        return self._server.name

    def is_running(self) -> bool:
        """Whether the known process of the server still runs."""
        return self._process is not None and not self._process.has_ended()

    def pid(self) -> int | None:
        """The pid of the server; None if it does not run."""
        return self._process.pid if self._process is not None and self.is_running() else None

    def signal(self, number: int) -> bool:
        """Sends a signal to the server. Returns whether it runs."""
        if self._process is None or not self.is_running():
            return False
        self._process.signal(number)
        return True

    async def start(self) -> None:
        """Starts the server if it does not run. Raises ServerError with its output."""
        async with self._lock:
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
        # The command returns before the daemon has written its pid file.
        while not code and await self._find() is None and loop.time() < deadline:
            await asyncio.sleep(0.01)
        if code or not self.is_running():
            lines = dict.fromkeys(line.strip() for line in output.splitlines() if line.strip())
            causes = [*await in_thread(self._server.causes), *list(lines)[:_LINES_MAX]]
            why = "; ".join(causes) or f"exit code {code}"
            raise ServerError(f"{self._server.name} does not start: {why}")

    async def keep(self, stop: asyncio.Event) -> None:
        """Restarts the server whenever it dies, until `stop` is set."""
        failures = 0
        while not stop.is_set():
            start = asyncio.get_running_loop().time()
            await in_thread(self._check)
            try:
                process = await self._find()
            except OSError as error:  # for example, no free descriptor: the server is restarted
                self._log(f"{self._server.name} can't be watched: {words_of(error)}")
                process = None
            if process is not None:
                try:
                    await _wait_for_end(process, stop)
                except OSError as error:
                    self._log(f"{self._server.name} can't be watched: {words_of(error)}")
                    await pause(BACK_OFF_S[-1], stop)
            if stop.is_set():
                return
            async with self._lock:  # a restart by another task may have ended
                if self.is_running():
                    continue
                await self._end_family()
            if asyncio.get_running_loop().time() - start > STEADY_S:
                failures = 0
            wait_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            self._log(f"{self._server.name} is down; it is restarted in {wait_s} s")
            failures += 1
            await pause(wait_s, stop)
            if stop.is_set():
                return
            await in_thread(self._check)
            try:
                await self.start()
                self._log(f"{self._server.name} runs again")
                await in_thread(self._restarted)
            except ServerError as error:
                self._log(str(error))
            except Exception as error:  # noqa: BLE001 - after any error it is tried again
                self._log(f"{self._server.name} does not start: {words_of(error)}")

    @contextlib.asynccontextmanager
    async def stopped(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Stops the server for a `with` block, which gets the only function that can start it
        again; that raises as `start` does."""
        async with self._lock:
            await self._stop()
            yield self._start

    async def stop(self, *, by_pid_file: bool = True) -> None:
        """Ends the server and all of its processes: SIGTERM, then SIGKILL if that takes too long.

        `by_pid_file`: also a server that is known by its pid file only.
        """
        async with self._lock:
            await self._stop(by_pid_file=by_pid_file)

    async def _stop(self, *, by_pid_file: bool = True) -> None:
        process = await self._find() if by_pid_file else self._process
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
        """Ends the remaining processes of a server that has died."""
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
        """The process of the server: the known one, else that of the pid file."""
        if self.is_running():
            return self._process
        await self._end_family()
        pid = await in_thread(self._server.pid)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process = Process(pid)
                # Another process may have got the pid before the pidfd was open.
                if self._process.has_ended() or await in_thread(self._server.pid) != pid:
                    self._forget()
        return self._process

    def _forget(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None


async def _wait_for_end(process: Process, stop: asyncio.Event) -> None:
    """Waits until a process has ended, or `stop` is set."""
    loop = asyncio.get_running_loop()
    ended, fd = asyncio.Event(), os.dup(process.fileno())  # the pidfd may be closed meanwhile
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
    """Waits for some time, or until `stop` is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        pass
