"""Decides whether a file has been unchanged for long enough to be published."""

import time
from collections.abc import Callable

from mailroster.system.files import ABSENT, Identity


class Settling:
    """Decides whether files have been unchanged for the settle time.

    A command compares the ctime, which users can't set, with the clock. An `observer`, which looks
    repeatedly, compares with what it saw before: so a file server with another clock (NFS), or an
    old file that is moved into place, can't mislead it.
    """

    def __init__(
        self,
        settle_s: float,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        observer: bool = False,
    ) -> None:
        self._settle_s, self._now, self._monotonic = settle_s, now, monotonic
        self._observer = observer
        self._first_seen: dict[str, tuple[Identity, float]] = {}

    def look(self, field: str, which: Identity) -> None:
        """Records the identity of a file."""
        if self._first_seen.get(field, (None, 0.0))[0] != which:
            self._first_seen[field] = which, self._monotonic()

    def settled(self, field: str, folder_ctime_ns: int) -> bool:
        """Whether a recorded file is stable. An absent one is as old as its folder."""
        which, since = self._first_seen[field]
        if self._observer:
            return self._monotonic() - since >= self._settle_s
        ctime_ns = folder_ctime_ns if which == ABSENT else which.ctime_ns
        return self._now() - ctime_ns / 1e9 >= self._settle_s
