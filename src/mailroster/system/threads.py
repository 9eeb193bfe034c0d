"""Runs blocking work in threads that never block the event loop or the end of the process.

asyncio.to_thread shares a few threads, and asyncio.run waits for each of them at its end: one call
to a file system that hangs would block the process for ever.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

R = TypeVar("R")


async def in_thread(act: Callable[..., R], *arguments: Any) -> R:
    """The result of a call in a new daemon thread; in this thread if the system can't start one,
    since a stop has to work even then.

    Raises as the call does. If the task is cancelled, the thread continues and its result is
    dropped.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[R] = loop.create_future()

    def finish(setter: Callable[[Any], None], value: object) -> None:
        if not future.done():
            setter(value)

    def run() -> None:
        setter: Callable[[Any], None] = future.set_result
        value: object
        try:
            value = act(*arguments)
        except StopIteration as error:  # not allowed in a future
            setter, value = future.set_exception, RuntimeError(str(error))
        except BaseException as error:  # noqa: BLE001 - raised in the task that waits
            setter, value = future.set_exception, error
        with suppress(RuntimeError):  # the loop is closed: the process ends
            loop.call_soon_threadsafe(finish, setter, value)

    thread = threading.Thread(target=run, name=getattr(act, "__name__", "work"), daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return act(*arguments)
    return await future


async def patiently(slow: Callable[[], object], after_s: float, act: Callable[..., R]) -> R:
    """As `in_thread`; calls `slow` after each `after_s` seconds until the work is done."""
    task = asyncio.ensure_future(in_thread(act))
    try:
        while True:
            done, _ = await asyncio.wait([task], timeout=after_s)
            if done:
                return task.result()
            slow()
    finally:
        task.cancel()
