"""Tasks of a process that runs on: none of them fails unseen, and a stop interrupts all of them."""

import asyncio
import os
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

from mailroster.servers.families import kill_descendants
from mailroster.system.log import log, words_of

#: What tasks have to come to their end after a stop, before the programs that they wait for are
#: killed, and after that.
END_S = 5.0

R = TypeVar("R")


class Stopped(Exception):
    """The process was told to stop."""


def log_the_unseen() -> None:
    """Logs what no task waits for: an exception in a callback, or in a task that was dropped."""

    def unseen(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        words = f": {words_of(error)}" if isinstance(error, BaseException) else ""
        log(f"unexpected: {context.get('message', 'an error')}{words}")

    asyncio.get_running_loop().set_exception_handler(unseen)


async def unless_stopped(stop: asyncio.Event, work: Awaitable[R], *, to_its_end: bool = False) -> R:
    """The result of some work. Raises as it does, and Stopped as soon as `stop` is set.

    `to_its_end`: the work is waited for even then, for END_S: the start of a server, which could
    not be stopped while it is only half there.
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
    """Runs everything until `stop` is set, which ends `work`; then `background` is cancelled.

    Raises what the first task raises that fails: then the process can't do its work.
    """
    tasks = [asyncio.create_task(each) for each in work]
    behind, stopping = asyncio.create_task(background), asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait(
            [*tasks, behind, stopping], return_when=asyncio.FIRST_COMPLETED
        )
        for task in done - {stopping}:
            await task
            if not stop.is_set():
                raise RuntimeError("a task has ended by itself")
    finally:
        stop.set()
        await _end(tasks)
        for task in (behind, stopping):
            task.cancel()


async def _end(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Waits for tasks that end by themselves; kills the programs that one waits for too long."""
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
