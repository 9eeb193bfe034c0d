"""`setup alias`."""

from mailroster import edits
from mailroster.cli.call import Call, alias_key, print_json, print_list, recipients


def add(call: Call) -> int:
    key, targets = alias_key(call.arguments[0]), recipients(call.arguments[1])
    origin = call.settings.hostname
    return call.edit(lambda roster: edits.add_alias(roster, key, targets, origin))


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
