"""Keeps one server running: starts it, notices its death, starts it again with back-off.

Servers are daemons of their own, found by their pid files and watched through pidfd_open(2): so
they outlive a killed `up`, and the next one takes them over without an interruption.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from mailroster import processes
from mailroster.finding import ServiceFailed
from mailroster.services import start
from mailroster.values import NamedTuple

BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: A server that has run this long has earned a quick restart.
STEADY_S = 60.0
STOP_S = 10.0
START_S = 10.0


class Server(NamedTuple):
    """One server: how it is started (it puts itself into the background), and how it is found."""

    name: str
    argv: tuple[str, ...]
    pid: Callable[[], int | None]
    pid_file: str = ""  # removed before a start: Dovecot trusts a number that another has now


class Supervisor:
    """Watches over one server until it is told to stop."""

    def __init__(
        self,
        server: Server,
        log: Callable[[str], None],
        again: Callable[[], object] = lambda: None,
    ) -> None:
        """`again` is called whenever the server runs again after it had died."""
        self._server, self._log, self._again = server, log, again

    async def start(self) -> None:
        """Starts the server if it isn't running. Raises ServiceFailed with its own words."""
        if self._server.pid() is not None:
            return
        if self._server.pid_file:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._server.pid_file)
        code, output = await asyncio.to_thread(start, self._server.argv)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        # The one that was called returns before the daemon has written its pid file.
        while not code and self._server.pid() is None and loop.time() < deadline:
            await asyncio.sleep(0.01)
        if code or self._server.pid() is None:
            words = output.strip().replace("\n", "; ") or f"exit code {code}"
            raise ServiceFailed(f"{self._server.name} does not start: {words}")

    async def keep(self, stop: asyncio.Event) -> None:
        """Returns when `stop` is set; restarts the server whenever it dies before."""
        failures = 0
        while not stop.is_set():
            began = asyncio.get_running_loop().time()
            pid = self._server.pid()
            if pid is not None:
                await _ended(pid, stop)
            if stop.is_set():
                return
            if asyncio.get_running_loop().time() - began > STEADY_S:
                failures = 0
            wait_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            self._log(f"{self._server.name} is down; it is started again in {wait_s} s")
            failures += 1
            await _pause(wait_s, stop)
            if stop.is_set():
                return
            try:
                await self.start()
                self._log(f"{self._server.name} runs again")
                await asyncio.to_thread(self._again)
            except ServiceFailed as error:
                self._log(str(error))

    async def stop(self) -> None:
        """Stops the server: SIGTERM, and SIGKILL if it takes too long."""
        pid = self._server.pid()
        # It is asked once more when the pidfd is open: until then the number may become another's.
        fd = None if pid is None else processes.opened(pid, lambda pid: pid == self._server.pid())
        if fd is None:
            return
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                if not processes.send_to(fd, number):
                    return
                try:
                    await asyncio.wait_for(_readable(fd, asyncio.Event()), STOP_S)
                    return
                except TimeoutError:
                    self._log(f"{self._server.name} does not stop; it is killed")
        finally:
            os.close(fd)


async def _ended(pid: int, stop: asyncio.Event) -> None:
    """Until a process has ended, or `stop` is set."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await _readable(fd, stop)
    finally:
        os.close(fd)


async def _readable(pidfd: int, stop: asyncio.Event) -> None:
    """Until the process of a pidfd has ended, or `stop` is set."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        tasks = [asyncio.create_task(event.wait()) for event in (ended, stop)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    finally:
        loop.remove_reader(pidfd)


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    """For some time, or until `stop` is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        pass
