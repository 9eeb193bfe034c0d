"""What a change would do to logins and mail, before it is made."""

from mailroster.analysis.effects import effects
from mailroster.analysis.effects.effect import Effect
from mailroster.analysis.effects.routes import concerned
from mailroster.app.home import Home
from mailroster.roster.roster import Roster
from mailroster.routing.change import change
from mailroster.servers.patterns import prefetch_addresses, prefetch_traces


def foreseen(home: Home, before: Roster, after: Roster) -> list[Effect]:
    """The effects of one roster in place of another, as pcre and the settings say."""
    then = now = home.patterns(before)
    if not before.regexp.same_as(after.regexp):
        then = home.patterns(after)
    old = home.router(before, patterns=now).remembering()
    new = home.router(after, patterns=then).remembering()
    affected = concerned(change(old, new), prefetch_addresses)
    for router in (old, new):
        prefetch_traces(router, affected.keys)
    if now.is_blind or then.is_blind:
        home.warn(
            f"the patterns of {after.regexp.format.file} are not followed: there is no postmap"
        )
    return effects(affected, spoof_protection=home.settings.spoof_protection)
