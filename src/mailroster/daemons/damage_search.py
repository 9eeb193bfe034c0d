"""Searches the tables of a running instance for damage, in the background."""

import threading
import time
from collections.abc import Callable

from mailroster.base.layout import Layout
from mailroster.publish.damage import damaged
from mailroster.publish.live_tables import LiveTables
from mailroster.system.log import log, words_of

#: The shortest time between two searches, in seconds and in multiples of the time of a search.
PAUSE_S = 2.0
PAUSE_FACTOR = 50


class DamageSearch:
    """Starts a search now and then, and reports its result when it has ended."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._next_s = 0.0  # by the monotonic clock
        self._search: _Search | None = None

    def damaged(self, tables: LiveTables) -> list[str]:
        """The names of the damaged tables, from the search that has ended since the last call."""
        now = time.monotonic()
        search = self._search
        if search is None and now >= self._next_s and (names := tables.suspects()):
            search = self._search = _Search(lambda: damaged(self._layout, names))
        if search is None or search.is_alive():
            return []
        self._search, self._next_s = None, now + max(PAUSE_S, PAUSE_FACTOR * search.duration_s)
        for name in search.result:
            log(f"the table {name} is damaged; it is rebuilt")
        return search.result


class _Search(threading.Thread):
    """One search, in a thread that starts at once. A failed search has an empty result; the next
    one follows as usual."""

    def __init__(self, search: Callable[[], list[str]]) -> None:
        super().__init__(name="damage search", daemon=True)
        self._search = search
        self.result: list[str] = []
        self.duration_s = 0.0
        self.start()

    def run(self) -> None:
        start = time.monotonic()
        try:
            self.result = self._search()
        except Exception as error:  # noqa: BLE001 - no caller would see it
            log(f"the tables can't be searched for damage: {words_of(error)}")
        self.duration_s = time.monotonic() - start
