"""What signals mean to a process that runs on: `up` and `watch`.

A signal that would kill the process by default would leave its servers alone. So each that can be
caught has a meaning, or is ignored with a message; only SIGKILL, SIGSTOP and those of a crash are
left.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from mailroster.system.log import log

#: The system or a person wants the process to end: all of these stop the servers first.
_STOPPING = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGXCPU, signal.SIGPWR,
)  # fmt: skip
_WITHOUT_MEANING = (
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO,
    signal.SIGSTKFLT, *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
)  # fmt: skip


def handle(
    stop: asyncio.Event, reload: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> None:
    """Sets the handlers. `stop` is set by what ends the process; `reload` is called at SIGHUP.

    SIGHUP of a terminal that was closed ends the process too: who has started it there is gone.
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
    for number in _WITHOUT_MEANING:
        try:
            loop.add_signal_handler(number, _ignore, number)
        except (OSError, RuntimeError, ValueError):
            pass  # the C library keeps some for itself
    loop.add_signal_handler(signal.SIGHUP, hang_up)


def _ignore(number: int) -> None:
    log(f"signal {_name(number)} has no meaning here; ignored")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
