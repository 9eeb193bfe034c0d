"""`setup alias`."""

from mailroster.cli.call import Call, alias_key, recipients
from mailroster.edits import accounts
from mailroster.roster.roster import Roster
from mailroster.system.programs import Captures


def add(call: Call) -> int:
    key, targets = alias_key(call.arguments[0]), recipients(call.arguments[1])

    def verb(roster: Roster) -> Roster:
        captured = Captures(roster.regexp)
        there = roster.virtual.get(key)
        if (
            call.says_notes()
            and there
            and {*map(str.lower, there.recipients)} >= {*map(str.lower, targets)}
        ):
            return roster
        captured.prime([key, *targets, *(there.recipients if there else ())])
        return accounts.add_alias(roster, key, targets, call.settings.hostname, captured)

    return call.edit(call.annotating(verb, "virtual", key), judged=True)


def delete(call: Call) -> int:
    key, targets = alias_key(call.arguments[0]), recipients(call.arguments[1])
    return call.edit(lambda roster: accounts.delete_alias(roster, key, targets))
