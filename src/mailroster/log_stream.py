"""What the servers write to their logs, on standard output as well: where a container's are read.

tail(1) follows a file by its name, so that a rotated one goes on.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

#: What tail has for the last lines of a server that stops.
_LAST_WORDS_S = 0.1


@asynccontextmanager
async def streamed(paths: Sequence[str]) -> AsyncIterator[None]:
    """Copies what is appended to some files to standard output. Files that are missing are made."""
    for path in paths:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        os.close(os.open(path, flags, 0o640))
    argv = ["tail", "-q", "-n", "0", "-F", f"--pid={os.getpid()}", "--", *paths]
    tail = await asyncio.create_subprocess_exec(
        *argv, stderr=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        await asyncio.sleep(_LAST_WORDS_S)
        with suppress(ProcessLookupError):
            tail.send_signal(signal.SIGTERM)
        await tail.wait()
