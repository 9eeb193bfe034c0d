"""Waits for a change of the tables that is under way: until all its rows are written, an address
may seem to lead nowhere, or an account not to exist."""

import asyncio
import os

from mailroster.system.files import ABSENT, Identity, identity

_STEP_S = 0.01


class ChangesUnderWay:
    """The mark of a change: a file (Layout.changing) that exists while rows are written."""

    def __init__(self, mark: str) -> None:
        self._mark, self._folder = mark, os.path.dirname(mark)
        self._stale: Identity = ABSENT  # the mark of a writer that was killed

    def stamp(self) -> Identity | None:
        """None while a change is under way; else a value that differs after the next change."""
        folder = identity(self._folder)  # first: a later mark changes it
        return None if identity(self._mark) != ABSENT else folder

    async def wait(self, until: float) -> bool:
        """Waits until no change is under way; False if a time by the event loop's clock is reached
        first. A mark that exists all that time counts as stale: no later call waits for it."""
        loop = asyncio.get_running_loop()
        first = identity(self._mark)
        while (mark := identity(self._mark)) != ABSENT:
            if mark == self._stale:
                return False
            if loop.time() >= until:
                if mark == first:
                    self._stale = mark
                return False
            await asyncio.sleep(_STEP_S)
        return True
