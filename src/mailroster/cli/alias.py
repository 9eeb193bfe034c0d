"""`setup alias`."""

from mailroster import edits
from mailroster.address import fold
from mailroster.cli.call import Call, alias_key, print_json, print_list, recipients, warn
from mailroster.roster import Roster
from mailroster.services import Captures


def add(call: Call) -> int:
    key, targets = alias_key(call.arguments[0]), recipients(call.arguments[1])

    def verb(roster: Roster) -> Roster:
        captured = Captures(roster.regexp)
        after = edits.add_alias(roster, key, targets, call.settings.hostname, captured)
        alias = after.virtual.get(key)
        if key in roster.accounts and alias and key not in map(fold, alias.recipients):
            warn(
                f"warning: {key!r} has a mailbox, which gets no mail from now on; add it to keep it"
            )
        return after

    return call.edit(verb)


def delete(call: Call) -> int:
    key, targets = alias_key(call.arguments[0]), recipients(call.arguments[1])
    return call.edit(lambda roster: edits.delete_alias(roster, key, targets))


def show(call: Call) -> int:
    aliases = [alias for _, alias in call.roster().virtual.items()]
    if "--json" in call.options:
        print_json([{"alias": a.key, "recipients": list(a.recipients)} for a in aliases])
    else:
        print_list([f"* {a.key} {','.join(a.recipients)}" for a in aliases])
    return 0
