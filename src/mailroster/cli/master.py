"""`setup dovecot-master`."""

from mailroster import edits
from mailroster.cli.call import Call, print_json, print_list
from mailroster.cli.secret import secret_for
from mailroster.cli.table import print_table
from mailroster.formats.masters import master_name


def add(call: Call) -> int:
    name = master_name(call.arguments[0])
    secret = secret_for(call, name, lambda: call.rehearse(lambda r: edits.add_master(r, name, "")))
    return call.edit(lambda roster: edits.add_master(roster, name, secret.hash), done=secret.show)


def update(call: Call) -> int:
    name = master_name(call.arguments[0])
    secret = secret_for(
        call, name, lambda: call.rehearse(lambda r: edits.set_master_password(r, name, ""))
    )
    return call.edit(
        lambda roster: edits.set_master_password(roster, name, secret.hash), done=secret.show
    )


def delete(call: Call) -> int:
    names = list(dict.fromkeys(master_name(text) for text in call.arguments))
    return call.edit(lambda roster: edits.delete_masters(roster, names))


def show(call: Call) -> int:
    names = [name for name, _ in call.roster().masters.items()]
    if "--table" in call.options:
        print_table(("NAME",), [(name,) for name in names])
    elif "--json" in call.options:
        print_json([{"name": name} for name in names])
    else:
        print_list([f"* {name}" for name in names])
    return 0
