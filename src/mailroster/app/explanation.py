"""Where mail to an address goes and why, and whether the running servers agree."""

from collections.abc import Iterable

from mailroster.analysis.explain import Explanation, explain
from mailroster.app.comparison import Agreement, compare
from mailroster.app.home import Home
from mailroster.base.findings import ServerError
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router, quoted
from mailroster.servers.pattern_trace import winners
from mailroster.servers.patterns import NoPcre, ask_regexp, prefetch
from mailroster.servers.running import is_running
from mailroster.servers.version import meant


def explain_address(
    home: Home, roster: Roster, address: str
) -> tuple[Explanation, Agreement | None]:
    """What the config folder says of an address with its domain, and how far the servers agree;
    None if no server runs."""

    def lines_of_rules(addresses: Iterable[str]) -> dict[str, int]:
        return winners(roster.regexp, addresses)

    settings, layout = home.settings, home.layout
    router = home.router(roster, patterns=home.patterns(roster, [address]))
    explanation = explain(router, settings, address, lines_of_rules, meant(layout))
    return explanation, compare(explanation, settings, layout) if is_running(layout) else None


def router_of_all(home: Home, roster: Roster) -> Router:
    """A router that gives every route of a roster. Where the patterns can't be evaluated it
    follows none of them, and a warning says so."""
    roster = roster.in_memory()
    captures = home.patterns(roster)
    router = home.router(roster, patterns=captures).remembering()
    try:
        prefetch(
            router,
            [*roster.virtual.index, *roster.local_aliases.index],
            map(quoted, roster.accounts.counted()),
        )
    except ServerError as error:
        captures.give_up()
        home.warn(f"warning: what the patterns take is not marked: {error}")
    return router


def patterns_fault(roster: Roster) -> str:
    """Why the patterns of a roster can't be evaluated on this machine; "" if they can."""
    if roster.regexp.index:
        try:
            ask_regexp("", ())
        except NoPcre as error:
            return str(error)
    return ""
