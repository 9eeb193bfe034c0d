"""Changes of the tables that are under way: until all rows are written, an address may seem to
lead nowhere, and an account not to exist."""

import asyncio
import os

from mailroster.system.files import ABSENT, Identity, identity

_STEP_S = 0.01


class ChangesUnderWay:
    """The mark of a change (Layout.changing), which is there while rows are written."""

    def __init__(self, mark: str) -> None:
        self._mark, self._folder = mark, os.path.dirname(mark)
        self._stays: Identity = ABSENT  # a mark for which a question has waited in vain

    def stamp(self) -> Identity | None:
        """None while a change is under way; else what is another after the next change."""
        found = identity(self._folder)  # first: a mark that comes later makes it another
        return None if identity(self._mark) != ABSENT else found

    async def over(self, until: float) -> bool:
        """Waits until no change is under way; False if a time of the event loop's clock comes
        first. A mark that has stayed so long is not waited for again."""
        loop = asyncio.get_running_loop()
        first = identity(self._mark)
        while (mark := identity(self._mark)) != ABSENT:
            if mark == self._stays:
                return False
            if loop.time() >= until:
                if mark == first:
                    self._stays = mark
                return False
            await asyncio.sleep(_STEP_S)
        return True
