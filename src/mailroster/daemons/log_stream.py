"""Copies the log files of the servers to standard output, which is the log of a container.

tail(1) follows a file by its name, so that a rotation does not interrupt the copying.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from mailroster.system.log import Retry, words_of

#: The time for the last lines of a server that stops, and then for the end of tail.
_LAST_WORDS_S, _END_S = 0.1, 5.0
#: Waiting times before tail is started again.
_BACK_OFF_S = (1.0, 5.0, 30.0)


@asynccontextmanager
async def streamed(paths: Sequence[str]) -> AsyncIterator[None]:
    """Copies the lines that are appended to some files to standard output. Creates missing files.

    Without tail, or if standard output is closed or full, the servers run on, and the copying is
    tried again.
    """
    for path in paths:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        os.close(os.open(path, flags, 0o640))
    started = asyncio.Event()
    task = asyncio.create_task(_keep_copying(paths, started))
    await started.wait()
    try:
        yield
    finally:
        await asyncio.sleep(_LAST_WORDS_S)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep_copying(paths: Sequence[str], started: asyncio.Event) -> None:
    """Runs tail until this is cancelled. Sets `started` after the first try."""
    argv = ["tail", "-q", "-n", "0", "-F", f"--pid={os.getpid()}", "--", *paths]
    retry = Retry("the logs are not copied to standard output", "", back_off_s=_BACK_OFF_S)
    while True:
        try:
            tail = await asyncio.create_subprocess_exec(
                *argv, stderr=asyncio.subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            retry.failed(words_of(error))
        else:
            started.set()
            try:
                retry.failed(f"tail has ended with {await tail.wait()}")
            finally:
                await _end(tail)
        started.set()
        while not retry.is_due():
            await asyncio.sleep(0.2)


async def _end(tail: asyncio.subprocess.Process) -> None:
    if tail.returncode is not None:
        return
    with suppress(ProcessLookupError):
        tail.send_signal(signal.SIGTERM)
    with suppress(TimeoutError):
        await asyncio.wait_for(tail.wait(), _END_S)
