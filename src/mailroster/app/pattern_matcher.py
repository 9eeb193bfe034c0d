"""Postfix evaluates the patterns for the whole route of an address, with one process."""

from collections.abc import Iterable

from mailroster.base.findings import ParseError
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router, quoted
from mailroster.servers.patterns import PatternMatcher

#: So many steps of aliases, and so many addresses, are looked ahead.
_STEPS, _ADDRESSES_MAX = 8, 5000


class PrefetchingMatcher(PatternMatcher):
    """`Router.captured` for a roster on a server of the name `origin`. With an address it asks for
    all others to which aliases lead from it: a process takes 10 ms, an address next to nothing."""

    def __init__(self, roster: Roster, origin: str) -> None:
        super().__init__(roster.regexp)
        self._plain = Router(roster, origin, lambda address: None)

    def prefetch(self, addresses: Iterable[str]) -> None:
        """Asks for some addresses and their routes with one process."""
        if not self._empty:
            self.evaluate(self._routes(addresses))

    def __call__(self, address: str) -> str | None:
        if not self._empty and address not in self._known:
            self.prefetch([address])
        return super().__call__(address)

    def _routes(self, addresses: Iterable[str]) -> dict[str, None]:
        """Addresses, and those to which aliases lead from them, as Postfix looks them up."""
        routes: dict[str, None] = {}
        waiting = list(map(self._plain.qualified, addresses))
        for _ in range(_STEPS):
            fresh = [address for address in dict.fromkeys(waiting) if quoted(address) not in routes]
            routes.update(dict.fromkeys(map(quoted, fresh)))
            if not fresh or len(routes) > _ADDRESSES_MAX:
                break
            waiting = [result for address in fresh for result in self._results(address)]
        return routes

    def _results(self, address: str) -> list[str]:
        try:
            match = self._plain.lookup(address)
        except ParseError:
            return []  # who follows the address gets the fault
        return [] if match is None else match.results
