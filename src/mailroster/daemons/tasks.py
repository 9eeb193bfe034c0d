"""The tasks of a daemon: each failure is logged, and a stop interrupts all of them."""

import asyncio
import os
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

from mailroster.servers.families import kill_descendants
from mailroster.system.log import log, words_of

#: The time for tasks to end after a stop, before the programs that they wait for are killed, and
#: again after that.
END_S = 5.0

R = TypeVar("R")


class Stopped(Exception):
    """The process has to stop."""


def log_unhandled_errors() -> None:
    """Logs errors that no task handles: in a callback, or in a task that was dropped."""

    def log_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        words = f": {words_of(error)}" if isinstance(error, BaseException) else ""
        log(f"unexpected: {context.get('message', 'an error')}{words}")

    asyncio.get_running_loop().set_exception_handler(log_error)


async def unless_stopped(stop: asyncio.Event, work: Awaitable[R], *, to_its_end: bool = False) -> R:
    """The result of some work. Raises its errors, and Stopped as soon as `stop` is set.

    `to_its_end`: it waits for the end of the work even then, for END_S. This is for the start of a
    server, which can't be stopped while it is only half started.
    """
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            return task.result()
        if to_its_end:
            await _end([task])
        raise Stopped
    finally:
        stopping.cancel()
        task.cancel()


async def run_until_stopped(
    stop: asyncio.Event,
    work: Sequence[Coroutine[Any, Any, None]],
    background: Coroutine[Any, Any, None],
) -> None:
    """Runs all tasks until `stop` is set, which ends `work`; then cancels `background`.

    Raises the error of the first task that fails: the process can't go on without it.
    """
    tasks = [asyncio.create_task(each) for each in work]
    background_task, stopping = asyncio.create_task(background), asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait(
            [*tasks, background_task, stopping], return_when=asyncio.FIRST_COMPLETED
        )
        for task in done - {stopping}:
            await task
            if not stop.is_set():
                raise RuntimeError("a task has ended by itself")
    finally:
        stop.set()
        await _end(tasks)
        for task in (background_task, stopping):
            task.cancel()


async def _end(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Waits for tasks to end; kills the programs for which a task waits too long."""
    for _ in range(2):
        _, waiting = await asyncio.wait(tasks, timeout=END_S)
        if not waiting:
            break
        await kill_descendants(os.getpid())
    for task in tasks:
        if not task.done():
            task.cancel()
        elif not task.cancelled() and (error := task.exception()) is not None:
            log(f"while stopping: {words_of(error)}")
