"""The signal handlers of `up` and `watch`.

A signal that kills the process by default would leave its servers running without it. So each
signal that can be caught stops the servers, reloads, or is ignored with a message; all but SIGKILL,
SIGSTOP and the signals of a crash are handled.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from mailroster.system.log import log

#: Requests to end the process: it stops the servers first.
_STOPPING = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGXCPU, signal.SIGPWR,
)  # fmt: skip
_IGNORED = (
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO,
    signal.SIGSTKFLT, *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
)  # fmt: skip


def handle(
    stop: asyncio.Event, reload: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> None:
    """Sets the handlers: they set `stop` to end the process, and call `reload` at SIGHUP.

    When the terminal of the process is closed, SIGHUP ends the process.
    """
    loop = asyncio.get_running_loop()
    terminals = [fd for fd in range(3) if os.isatty(fd)]
    tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive

    def hang_up() -> None:
        if not all(map(os.isatty, terminals)):
            log("the terminal was closed; stopping")
            stop.set()
        elif reload is None:
            _ignore(signal.SIGHUP)
        elif not tasks:  # one reload at a time
            task = asyncio.ensure_future(reload())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    for number in _STOPPING:
        loop.add_signal_handler(number, stop.set)
    for number in _IGNORED:
        try:
            loop.add_signal_handler(number, _ignore, number)
        except (OSError, RuntimeError, ValueError):
            pass  # the C library keeps some for itself
    loop.add_signal_handler(signal.SIGHUP, hang_up)


def _ignore(number: int) -> None:
    log(f"signal {_name(number)} is ignored")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
