"""Decides whether the clock can be trusted, before entries expire for good.

    clock = seconds line-feed       ; since 1970: the last trusted time

With a clock that is wrong by years (a dead battery, a mistyped date) all locks and other end dates
would expire at once. So a clock that is more than a day ahead of the last known time is trusted
only if it is synchronised, or if the administrator confirms it.
"""

import ctypes
import os
import time
from collections.abc import Callable, Iterable

from mailroster.system.files import Disk, read_small

AHEAD_MAX_S = 86_400
TIMESYNCD_MARK = "/run/systemd/timesync/synchronized"
#: How often the time is saved while the daemon runs.
SAVE_EACH_S = 3_600
#: The results of adjtimex(2) for a clock that is not synchronised, and for a failure.
_TIME_ERROR, _FAILED = 5, -1
#: At least the size of `struct timex`; zeros change nothing.
_TIMEX_BYTES = 512


def synchronised() -> bool:
    """Whether the clock is synchronised, for example by NTP: according to the kernel (adjtimex(2)),
    or to systemd-timesyncd, since our units have no access to the kernel's clock (ProtectClock)."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (AttributeError, OSError):
        state = _FAILED
    return state not in (_TIME_ERROR, _FAILED) or marked(TIMESYNCD_MARK, time.time())


def marked(path: str, now: float) -> bool:
    """Whether the mtime of a file is within a day of now. systemd-timesyncd updates it whenever it
    corrects the clock (systemd-timesyncd.service(8)), so a wrong clock set by hand differs."""
    try:
        return abs(now - os.stat(path).st_mtime) <= AHEAD_MAX_S
    except OSError:
        return False


class Clock:
    """The clock of an instance, with the last trusted time in a file of its state folder."""

    def __init__(
        self,
        path: str,
        witnesses: Iterable[str] = (),
        now: Callable[[], float] = lambda: time.time(),
        is_synchronised: Callable[[], bool] = lambda: synchronised(),
    ) -> None:
        """`witnesses`: files whose ctime is used while no time is saved."""
        self._path, self._witnesses = path, tuple(witnesses)
        self._now, self._is_synchronised = now, is_synchronised
        self._saved = 0.0

    def doubt(self) -> str:
        """Why the clock is not trusted, and what to do; "" if it is."""
        now, known = self._now(), self._known()
        if not known or now - known <= AHEAD_MAX_S or self._is_synchronised():
            return ""
        return (
            f"the clock says {_written(now)}, but {_written(known)} was the last known time, and "
            "the clock is not synchronised; correct it, or if it is right: "
            "setup apply --clock-is-right"
        )

    def keep(self) -> None:
        """Saves the time every SAVE_EACH_S seconds while the clock is trusted. Raises OSError."""
        if abs(self._now() - self._saved) >= SAVE_EACH_S and not self.doubt():
            self.trust()

    def trust(self) -> None:
        """Saves the present time as trusted. Raises OSError."""
        now = self._now()
        Disk().replace(self._path, f"{int(now)}\n".encode(), mode=0o600)
        self._saved = now

    def _known(self) -> float:
        """The last known time; 0 if there is none."""
        try:
            return float(int(read_small(self._path)))
        except (OSError, ValueError):
            return max((_ctime(path) for path in self._witnesses), default=0.0)


def _ctime(path: str) -> float:
    """The time of the last change of a file, which its owner can't set; 0 if it does not exist."""
    try:
        return os.stat(path).st_ctime
    except OSError:
        return 0.0


def _written(moment: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
    except (OverflowError, ValueError, OSError):
        return "an impossible date"
