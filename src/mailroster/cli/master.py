"""`setup dovecot-master`."""

from mailroster import edits
from mailroster.cli.call import Call, print_json, print_list
from mailroster.cli.secret import hash_for
from mailroster.formats.masters import master_name


def add(call: Call) -> int:
    name = master_name(call.arguments[0])
    hash = hash_for(call, name, lambda: call.rehearse(lambda r: edits.add_master(r, name, "")))
    return call.edit(lambda roster: edits.add_master(roster, name, hash))


def update(call: Call) -> int:
    name = master_name(call.arguments[0])
    hash = hash_for(
        call, name, lambda: call.rehearse(lambda r: edits.set_master_password(r, name, ""))
    )
    return call.edit(lambda roster: edits.set_master_password(roster, name, hash))


def delete(call: Call) -> int:
    names = list(dict.fromkeys(master_name(text) for text in call.arguments))
    return call.edit(lambda roster: edits.delete_masters(roster, names))


def show(call: Call) -> int:
    names = [name for name, _ in call.roster().masters.items()]
    if "--json" in call.options:
        print_json([{"name": name} for name in names])
    else:
        print_list([f"* {name}" for name in names])
    return 0
