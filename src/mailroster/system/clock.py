"""Whether the clock can be believed, before anything ends for good because of it.

    clock = seconds line-feed       ; since 1970: the clock when it was believed last

A clock that is wrong by years (a dead battery, a mistyped date) would end every lock and every
other end date at once. So a clock that is more than a day ahead of the newest moment that we know
of is believed only if it is synchronised, or if the administrator says that it is right.
"""

import ctypes
import os
import time
from collections.abc import Callable, Iterable

from mailroster.system.files import Disk, read_small

AHEAD_MAX_S = 86_400
TIMESYNCD_MARK = "/run/systemd/timesync/synchronized"
#: The moment in the file is at most this old while we run.
NOTE_EACH_S = 3_600
#: What adjtimex(2) returns for a clock that nothing synchronises, and for a failure.
_TIME_ERROR, _FAILED = 5, -1
#: At least the size of `struct timex`; all zeros ask for nothing but a report.
_TIMEX_BYTES = 512


def synchronised() -> bool:
    """Whether the clock is synchronised, as by NTP: as the kernel says (adjtimex(2)), or
    systemd-timesyncd, since our units may not ask the kernel (ProtectClock)."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (AttributeError, OSError):
        state = _FAILED
    return state not in (_TIME_ERROR, _FAILED) or marked(TIMESYNCD_MARK, time.time())


def marked(path: str, now: float) -> bool:
    """Whether a file was touched in the last day: systemd-timesyncd does so at each correction of
    the clock (systemd-timesyncd.service(8)). A clock that was set by hand since is far from it."""
    try:
        return abs(now - os.stat(path).st_mtime) <= AHEAD_MAX_S
    except OSError:
        return False


class Clock:
    """The clock as one instance knows it, by a file in its state folder."""

    def __init__(
        self,
        path: str,
        witnesses: Iterable[str] = (),
        now: Callable[[], float] = lambda: time.time(),
        is_synchronised: Callable[[], bool] = lambda: synchronised(),
    ) -> None:
        """`witnesses`: files whose last change tells the time where no moment is noted yet."""
        self._path, self._witnesses = path, tuple(witnesses)
        self._now, self._is_synchronised = now, is_synchronised
        self._noted = 0.0

    def doubt(self) -> str:
        """Why the clock is not believed, with what to do; "" if it is."""
        now, known = self._now(), self._known()
        if not known or now - known <= AHEAD_MAX_S or self._is_synchronised():
            return ""
        return (
            f"the clock says {_shown(now)}, but {_shown(known)} was the last known time, and "
            "the clock is not synchronised; correct it, or if it is right: "
            "setup apply --clock-is-right"
        )

    def keep(self) -> None:
        """Notes the time now and then while the clock is believed. Raises OSError."""
        if abs(self._now() - self._noted) >= NOTE_EACH_S and not self.doubt():
            self.note()

    def note(self) -> None:
        """Notes that the clock is right now. Raises OSError."""
        now = self._now()
        Disk().replace(self._path, f"{int(now)}\n".encode(), mode=0o600)
        self._noted = now

    def _known(self) -> float:
        """The newest moment that we know of; 0 for none."""
        try:
            return float(int(read_small(self._path)))
        except (OSError, ValueError):
            return max((_changed(path) for path in self._witnesses), default=0.0)


def _changed(path: str) -> float:
    """When a file was changed, which its owner can't choose (ctime); 0 if it isn't there."""
    try:
        return os.stat(path).st_ctime
    except OSError:
        return 0.0


def _shown(moment: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
    except (OverflowError, ValueError, OSError):
        return "an impossible date"
