"""The log of a daemon on stderr: one line for each message, with the time.

The log must never stop the work. A message is dropped if stderr is closed or full.
"""

import os
import select
import time
from collections.abc import Callable

_STDERR = 2
#: How long a full pipe may delay the process before the message is dropped.
_PATIENCE_MS = 50
#: A write of this size to a pipe that has room does not block (pipe(7), PIPE_BUF).
_LINE_MAX_BYTES = 4096
#: The same message is repeated after this time at the earliest.
REPEAT_S = 60.0
#: The waiting times after the first failure and the next ones.
BACK_OFF_S = (1.0, 2.0, 5.0, 10.0)


def log(text: str) -> None:
    """Writes one message to stderr; drops it if it can't be written."""
    line = f"{time.strftime('%H:%M:%S')} {text}".encode("utf-8", "backslashreplace")
    try:
        if _has_room():
            os.write(_STDERR, line[: _LINE_MAX_BYTES - 1] + b"\n")
    except OSError:
        pass  # closed, full, or a terminal that was closed


def _has_room() -> bool:
    """Whether stderr accepts a line without blocking."""
    poll = select.poll()
    poll.register(_STDERR, select.POLLOUT)
    return bool(poll.poll(_PATIENCE_MS))


def open_standard_streams() -> None:
    """Opens /dev/null for each of stdin, stdout and stderr that is closed.

    Otherwise the next open file, such as a table, gets the number of stderr, and messages are
    written into it.
    """
    while True:
        fd = os.open(os.devnull, os.O_RDWR)  # without O_CLOEXEC: the servers inherit them
        if fd > _STDERR:
            os.close(fd)
            return
        os.set_inheritable(fd, True)


class Retry:
    """Back-off for one kind of work that may fail, and its messages.

    Its states: working; or failed, with a time of the next try. A failure with the same reason is
    logged once a minute, and the recovery once.
    """

    def __init__(
        self,
        fails: str,
        works: str,
        say: Callable[[str], object] = log,
        *,
        back_off_s: tuple[float, ...] = BACK_OFF_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fails`: the text before the reason of a failure; `works`: the message of a recovery."""
        self._fails, self._works, self._say = fails, works, say
        self._back_off_s, self._monotonic = back_off_s, monotonic
        self._failures = 0
        self._tried_at = 0.0
        self._logged: dict[str, float] = {}

    @property
    def has_failed(self) -> bool:
        """Whether the last try failed."""
        return self._failures > 0

    def is_due(self, *, changed: bool = False) -> bool:
        """Whether it is time for the next try. `changed`: the input has changed since the last one,
        so the shortest waiting time applies."""
        if not self._failures:
            return True
        step = 0 if changed else min(self._failures, len(self._back_off_s)) - 1
        return self._monotonic() - self._tried_at >= self._back_off_s[step]

    def failed(self, reason: object) -> None:
        """Records a failure."""
        self._failures += 1
        self._tried_at = now = self._monotonic()
        text = str(reason)
        self._logged = {old: at for old, at in self._logged.items() if now - at < REPEAT_S}
        if text not in self._logged:
            self._logged[text] = now
            self._say(f"{self._fails}: {text}")

    def worked(self) -> None:
        """Records a success."""
        if self._failures:
            self._failures = 0
            self._logged.clear()
            self._say(self._works)


def words_of(error: BaseException) -> str:
    """An unexpected exception in one line."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
