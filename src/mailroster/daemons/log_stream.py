"""What the servers write to their logs, on standard output as well: where a container's are read.

tail(1) follows a file by its name, so that a rotated one goes on.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from mailroster.system.log import Retry, words_of

#: What tail has for the last lines of a server that stops, and then for its own end.
_LAST_WORDS_S, _END_S = 0.1, 5.0
#: Waiting times before a tail that has ended is started again.
_BACK_OFF_S = (1.0, 5.0, 30.0)


@asynccontextmanager
async def streamed(paths: Sequence[str]) -> AsyncIterator[None]:
    """Copies what is appended to some files to standard output. Files that are missing are made.

    Without tail, or with a standard output that is closed or full, the servers go on: the copying
    is tried again now and then.
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
    """Runs tail until this is cancelled. Sets `started` when it was tried for the first time."""
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
