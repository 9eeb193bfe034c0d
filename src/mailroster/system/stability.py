"""How long a file has been unchanged."""

import time
from collections.abc import Callable

from mailroster.system.files import ABSENT, Identity


class Settling:
    """Tells whether a file has been unchanged for the settle time.

    By its ctime, which nobody can set back; and, for one who looks again and again, by what was
    seen before, so that a clock that differs (NFS) or an old file moved into place can't mislead.
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

    def look(self, field: str, found: Identity) -> None:
        """Takes note of the identity of a file."""
        if self._first_seen.get(field, (None, 0.0))[0] != found:
            self._first_seen[field] = found, self._monotonic()

    def settled(self, field: str, folder_ctime_ns: int) -> bool:
        """Whether a file that was looked at has settled; an absent one is as old as its folder."""
        found, since = self._first_seen[field]
        if self._observer:
            return self._monotonic() - since >= self._settle_s
        ctime_ns = folder_ctime_ns if found == ABSENT else found.ctime_ns
        return self._now() - ctime_ns / 1e9 >= self._settle_s
