"""Evaluates the patterns for the whole route of an address with one process of Postfix."""

from collections.abc import Iterable

from mailroster.base.findings import ParseError
from mailroster.roster.roster import Roster
from mailroster.routing.lookups import quoted
from mailroster.routing.router import Router
from mailroster.servers.patterns import PatternMatcher, captors

#: The limits of a prefetch: steps of aliases, and addresses.
_STEPS, _ADDRESSES_MAX = 8, 5000


def captured_accounts(roster: Roster, matcher: PatternMatcher) -> dict[str, int]:
    """The accounts that a pattern matches, with the positions of the rules. Raises ServerError."""
    accounts = [*map(quoted, roster.accounts.counted())]
    matcher.evaluate(accounts)
    return captors(roster.regexp, filter(matcher, accounts))


class PrefetchingMatcher(PatternMatcher):
    """`Router.captured` for a roster on the server `origin`. With an address it also evaluates all
    addresses that its aliases lead to: a process takes 10 ms, an address almost nothing."""

    def __init__(self, roster: Roster, origin: str) -> None:
        super().__init__(roster.regexp)
        self._plain = Router(roster, origin, lambda address: None)

    def prefetch(self, addresses: Iterable[str]) -> None:
        """Evaluates some addresses and their routes with one process."""
        if not self._empty:
            self.evaluate(self._routes(addresses))

    def __call__(self, address: str) -> str | None:
        if not self._empty and address not in self._known:
            self.prefetch([address])
        return super().__call__(address)

    def _routes(self, addresses: Iterable[str]) -> dict[str, None]:
        """Some addresses and those that their aliases lead to, as Postfix looks them up."""
        routes: dict[str, None] = {}
        waiting = list(map(self._plain.qualified, addresses))
        for _ in range(_STEPS):
            new = [address for address in dict.fromkeys(waiting) if quoted(address) not in routes]
            routes.update(dict.fromkeys(map(quoted, new)))
            if not new or len(routes) > _ADDRESSES_MAX:
                break
            waiting = [result for address in new for result in self._results(address)]
        return routes

    def _results(self, address: str) -> list[str]:
        try:
            match = self._plain.lookup(address)
        except ParseError:
            return []  # the router raises it
        return [] if match is None else match.results
