"""Predicts what a change would do to logins and mail."""

from mailroster.analysis.effects import effects
from mailroster.analysis.effects.effect import Effect
from mailroster.analysis.effects.routes import affected_keys
from mailroster.app.home import Home
from mailroster.roster.roster import Roster
from mailroster.routing.change import change
from mailroster.servers.patterns import prefetch_addresses, prefetch_traces


def predict_effects(home: Home, before: Roster, after: Roster) -> list[Effect]:
    """The effects of a change from one roster to another."""
    old_patterns = new_patterns = home.patterns(before)
    if not before.regexp.same_as(after.regexp):
        new_patterns = home.patterns(after)
    old = home.router(before, patterns=old_patterns).remembering()
    new = home.router(after, patterns=new_patterns).remembering()
    affected = affected_keys(change(old, new), prefetch_addresses)
    for router in (old, new):
        prefetch_traces(router, affected.keys)
    if old_patterns.is_unavailable or new_patterns.is_unavailable:
        home.warn(f"the patterns of {after.regexp.format.file} are ignored: there is no postmap")
    return effects(affected, spoof_protection=home.settings.spoof_protection)
