"""Records the last use of each app password, from the reports of logins."""

import asyncio
import time
from contextlib import suppress

from mailroster.base.address import fold
from mailroster.base.layout import Layout
from mailroster.base.services import SERVICES
from mailroster.daemons.login_reports import LoginReport
from mailroster.servers.last_use import Use, key, prune, record
from mailroster.system.log import log, words_of
from mailroster.system.threads import in_thread

#: The time between two writes, and the most uses that wait for one.
_PAUSE_S, _WAITING_MAX = 1.0, 100_000
#: The time from the start to the first removal of stale uses, and between two.
_FIRST_PRUNE_S, _PRUNE_S = 600.0, 86_400.0


class LastUses:
    """The uses that are not written yet."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._waiting: dict[str, Use] = {}

    def take(self, report: LoginReport) -> None:
        """Notes a login by app password; other reports have no effect."""
        is_use = report.success and report.app and report.service in SERVICES
        if is_use and len(self._waiting) < _WAITING_MAX:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            login = fold(report.login)
            self._waiting[key(login, report.app)] = Use(now, report.service, report.remote)

    async def write(self, stop: asyncio.Event) -> None:
        """Writes what waits, again and again until `stop` is set, and once more at the end."""
        why = ""
        next_prune = time.monotonic() + _FIRST_PRUNE_S
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _PAUSE_S)
            uses, self._waiting = self._waiting, {}
            if uses:
                try:
                    await in_thread(record, self._layout, uses)
                    why = ""
                except OSError as error:
                    if words_of(error) != why:
                        why = words_of(error)
                        log(f"the last use of app passwords is not recorded: {why}")
            if time.monotonic() >= next_prune and not stop.is_set():
                next_prune = time.monotonic() + _PRUNE_S
                with suppress(OSError):  # it is tried again tomorrow
                    await in_thread(prune, self._layout)
            if stop.is_set():
                return
