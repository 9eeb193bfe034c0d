"""Explains the route of mail to an address, and compares it with the running servers."""

from collections.abc import Iterable

from mailroster.analysis.explain import Explanation, explain
from mailroster.app.comparison import Agreement, compare
from mailroster.app.home import Home
from mailroster.base.findings import ServerError
from mailroster.roster.roster import Roster
from mailroster.routing.lookups import quoted
from mailroster.routing.router import Router
from mailroster.servers.pattern_trace import find_matching_lines
from mailroster.servers.patterns import NoPcre, ask_regexp, prefetch
from mailroster.servers.running import is_running
from mailroster.servers.version import recorded_version


def explain_address(
    home: Home, roster: Roster, address: str
) -> tuple[Explanation, Agreement | None]:
    """Explains an address with its domain by the config folder. The comparison with the servers is
    None if no server is running."""

    def lines_of_rules(addresses: Iterable[str]) -> dict[str, int]:
        return find_matching_lines(roster.regexp, addresses)

    settings, layout = home.settings, home.layout
    router = home.router(roster, patterns=home.patterns(roster, [address]))
    explanation = explain(router, settings, address, lines_of_rules, recorded_version(layout))
    return explanation, compare(explanation, settings, layout) if is_running(layout) else None


def router_of_all(home: Home, roster: Roster) -> Router:
    """A router for all routes of a roster. If the patterns can't be evaluated, it ignores them and
    gives a warning."""
    roster = roster.in_memory()
    matcher = home.patterns(roster)
    router = home.router(roster, patterns=matcher).remembering()
    try:
        prefetch(
            router,
            [*roster.virtual.index, *roster.local_aliases.index],
            map(quoted, roster.accounts.counted()),
        )
    except ServerError as error:
        matcher.give_up()
        home.warn(f"warning: the matches of the patterns are not marked: {error}")
    return router


def patterns_fault(roster: Roster) -> str:
    """The reason why the patterns of a roster can't be evaluated on this machine, "" for none."""
    if roster.regexp.index:
        try:
            ask_regexp("", ())
        except NoPcre as error:
            return str(error)
    return ""
