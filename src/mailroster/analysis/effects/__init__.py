"""The effects of a change on people: who can log in, whose mail goes where, what is refused.

They are derived from what differs between two rosters. Pure: `routes.affected_keys` has pcre match
all addresses beforehand.
"""

from mailroster.analysis.effects import entries, routes
from mailroster.analysis.effects.effect import Affected, Effect, ordered


def effects(affected: Affected, *, spoof_protection: bool = True) -> list[Effect]:
    """All effects of a change, the most serious first. Without `spoof_protection` anybody may send
    as anybody, so the rights to send don't change."""
    before, after = routes.Routes(affected.change.before), routes.Routes(affected.change.after)
    change = affected.change._replace(before=before.router, after=after.router)
    result = [
        *routes.rerouted(affected, before, after),
        *routes.patterns(change, before, after),
        *entries.domains(change),
        *entries.logins(change),
        *entries.quotas(change),
        *entries.restrictions(change),
        *entries.relays(change),
        *entries.masters(change),
        *entries.app_passwords(change),
        *entries.files(change),
    ]
    if spoof_protection:
        result += entries.senders(change)
    return ordered(result)
