"""`setup alias`."""

from mailroster.cli.call import Call, alias_key, recipients
from mailroster.cli.edit import run_edit
from mailroster.edits import accounts
from mailroster.roster.roster import Roster


def add(call: Call) -> int:
    key, targets = alias_key(call.arguments[0]), recipients(call.arguments[1])

    def verb(roster: Roster) -> Roster:
        there = roster.virtual.get(key)
        if (
            call.says_notes()
            and there
            and {*map(str.lower, there.recipients)} >= {*map(str.lower, targets)}
        ):
            return roster
        asked = [key, *targets, *(there.recipients if there else ())]
        patterns = call.home.patterns(roster, asked)
        return accounts.add_alias(roster, key, targets, call.settings.hostname, patterns)

    return run_edit(call, verb, notes_on=("virtual", key), judged=True)


def delete(call: Call) -> int:
    key, targets = alias_key(call.arguments[0]), recipients(call.arguments[1])
    return run_edit(call, lambda roster: accounts.delete_alias(roster, key, targets))
