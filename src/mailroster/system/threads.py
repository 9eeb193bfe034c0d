"""Runs blocking work in threads that never keep the event loop or the end of the process waiting.

asyncio.to_thread has a few threads for everything, and the end of asyncio.run waits for each of
them: one call to a file system that hangs would keep the process for ever.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

R = TypeVar("R")


async def in_thread(act: Callable[..., R], *arguments: Any) -> R:
    """The result of a call that is made in a thread of its own, a daemon thread; in this one if the
    system lets no thread start, since a stop has to work even then.

    Raises as the call does. If the task is cancelled, the thread goes on and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[R] = loop.create_future()

    def settle(settled: Callable[[Any], None], value: object) -> None:
        if not future.done():
            settled(value)

    def run() -> None:
        settled: Callable[[Any], None] = future.set_result
        value: object
        try:
            value = act(*arguments)
        except StopIteration as error:  # a future does not take it
            settled, value = future.set_exception, RuntimeError(str(error))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            settled, value = future.set_exception, error
        with suppress(RuntimeError):  # the loop is closed: the process ends
            loop.call_soon_threadsafe(settle, settled, value)

    thread = threading.Thread(target=run, name=getattr(act, "__name__", "work"), daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return act(*arguments)
    return await future


async def patiently(slow: Callable[[], object], after_s: float, act: Callable[..., R]) -> R:
    """As `in_thread`; calls `slow` each time that the work has taken another `after_s` seconds."""
    task = asyncio.ensure_future(in_thread(act))
    try:
        while True:
            done, _ = await asyncio.wait([task], timeout=after_s)
            if done:
                return task.result()
            slow()
    finally:
        task.cancel()
