"""`setup alias`."""

from mailroster import edits
from mailroster.address import fold
from mailroster.cli.call import Call, alias_key, print_json, print_list, recipients, warn
from mailroster.roster import Roster
from mailroster.services import Captures
from mailroster.text import content


def add(call: Call) -> int:
    key, targets = alias_key(call.arguments[0]), recipients(call.arguments[1])

    def verb(roster: Roster) -> Roster:
        captured = Captures(roster.regexp)
        there = roster.virtual.get(key)
        captured.prime([key, *targets, *(there.recipients if there else ())])
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
    """Each alias as it stands in the file, the lines of one joined."""
    document = call.roster().virtual
    if "--json" in call.options:
        aliases = [alias for _, alias in document.items()]
        print_json([{"alias": a.key, "recipients": list(a.recipients)} for a in aliases])
        return 0
    positions = [document.position(key) for key, _ in document.items()]
    print_list([f"* {content(document.line(place))}" for place in positions if place is not None])
    return 0
