"""`setup dovecot-master`: users who may log in as any account."""

from mailroster.cli.call import Call, print_json, print_list
from mailroster.cli.edit import rehearse, run_edit
from mailroster.cli.notes import note_lines, notes_by_key
from mailroster.cli.password_input import secret_for
from mailroster.cli.table import print_table
from mailroster.edits import accounts
from mailroster.roster.documents.notes import Notes
from mailroster.roster.formats.masters import master_name
from mailroster.roster.roster import Roster


def add(call: Call) -> int:
    name = master_name(call.arguments[0])
    secret = secret_for(
        call, name, lambda: rehearse(call, lambda r: accounts.add_master(r, name, ""))
    )

    def edit(roster: Roster) -> Roster:
        return accounts.add_master(roster, name, secret.hash)

    return run_edit(call, edit, notes_on=("masters", name), on_written=secret.show)


def update(call: Call) -> int:
    name = master_name(call.arguments[0])
    secret = secret_for(
        call, name, lambda: rehearse(call, lambda r: accounts.set_master_password(r, name, ""))
    )
    return run_edit(
        call,
        lambda roster: accounts.set_master_password(roster, name, secret.hash),
        on_written=secret.show,
    )


def delete(call: Call) -> int:
    names = list(dict.fromkeys(master_name(text) for text in call.arguments))
    return run_edit(call, lambda roster: accounts.delete_masters(roster, names))


def show(call: Call) -> int:
    document = call.home.roster("masters").masters
    notes = notes_by_key(document)
    comments = {name: notes.get(name, Notes()).comment for name, _ in document.items()}
    if "--table" in call.options:
        print_table(("NAME", "COMMENT"), list(comments.items()))
    elif "--json" in call.options:
        print_json([{"name": name, "comment": text or None} for name, text in comments.items()])
    else:
        print_list([f"* {name}{note_lines(notes.get(name))}" for name in comments])
    return 0
