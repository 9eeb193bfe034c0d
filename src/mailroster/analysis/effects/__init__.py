"""What a change does to people: who can log in, whose mail goes where, what is refused.

Found from what differs between two rosters, and told in words. Pure: what pcre makes of an address
is asked beforehand, for all that `routes.concerned` names.
"""

from mailroster.analysis.effects import entries, routes
from mailroster.analysis.effects.effect import Affected, Effect, ordered


def effects(concerned: Affected, *, spoof_protection: bool = True) -> list[Effect]:
    """Everything that a change does, the weightiest first. Without `spoof_protection` everybody may
    send as anybody, so no right to send comes or goes."""
    before, after = routes.Routes(concerned.change.before), routes.Routes(concerned.change.after)
    change = concerned.change._replace(before=before.router, after=after.router)
    found = [
        *routes.rerouted(concerned, before, after),
        *routes.patterns(change, before, after),
        *entries.domains(change),
        *entries.logins(change),
        *entries.quotas(change),
        *entries.restrictions(change),
        *entries.relays(change),
        *entries.masters(change),
        *entries.files(change),
    ]
    if spoof_protection:
        found += entries.senders(change)
    return ordered(found)
