"""The effects between two config folders given as texts, as `setup` finds them."""

from mailroster.analysis.effects import effects
from mailroster.analysis.effects.effect import Effect
from mailroster.analysis.effects.routes import affected_keys
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster
from mailroster.routing.change import change
from mailroster.routing.router import Router
from mailroster.servers.patterns import PatternMatcher, prefetch_addresses, prefetch_traces
from tests.support.rosters import ORIGIN


def roster(**texts: str) -> Roster:
    """A roster from the text of each field."""
    empty = Roster()
    return empty._replace(
        **{field: Document(getattr(empty, field).format, text) for field, text in texts.items()}
    )


def router(some: Roster) -> Router:
    return Router(some, ORIGIN, PatternMatcher(some.regexp)).remembering()


def between(before: Roster, after: Roster) -> list[Effect]:
    """Effects, with the rights to send."""
    old, new = router(before), router(after)
    found = affected_keys(change(old, new), prefetch_addresses)
    for one in (old, new):
        prefetch_traces(one, found.keys)
    return effects(found)
