"""`setup email restrict`: addresses that must not send or receive."""

from mailroster.base.findings import Refused, UsageError
from mailroster.cli.call import Call, print_json, restriction_key
from mailroster.cli.edit import run_edit
from mailroster.cli.streams import warn
from mailroster.edits import accounts
from mailroster.roster.roster import Roster


def restrict(call: Call) -> int:
    field, address = _direction(call)

    def edit(roster: Roster) -> Roster:
        if call.changes_notes() and address in getattr(roster, field):
            return roster
        return accounts.restrict(roster, field, address)

    return run_edit(call, edit, notes_on=(field, address), report_findings=True)


def allow(call: Call) -> int:
    field, address = _direction(call)
    return run_edit(call, lambda roster: accounts.allow(roster, field, address))


def show(call: Call) -> int:
    """Prints the restrictions of a direction, or that of one address."""
    from mailroster.cli.notes import note_fields, note_lines, notes_by_key
    from mailroster.cli.table import print_table
    from mailroster.roster.documents.notes import Notes

    field, address = _direction(call)
    document = getattr(call.home.roster(field), field)
    all_notes = notes_by_key(document)
    entries = [
        (entry, all_notes.get(key, Notes()))
        for key, entry in document.items()
        if address in ("", key)
    ]
    if "--table" in call.options:
        rows = [(entry.key, entry.action, n.until, n.comment) for entry, n in entries]
        print_table(("ADDRESS", "ACTION", "UNTIL", "COMMENT"), rows)
    elif "--json" in call.options:
        print_json(
            [
                {"address": entry.key, "action": entry.action, **note_fields(notes)}
                for entry, notes in entries
            ]
        )
    else:
        for entry, notes in entries:
            print(f"{entry.key} {entry.action}{note_lines(notes)}")
        if not entries:
            warn(_no_restriction(call.arguments[0].lower(), document.format.file, address))
    return 0


def _no_restriction(direction: str, file: str, address: str) -> str:
    if address:
        return f"{file} has no line for {address!r}"
    return f"all accounts may {direction}: {file} has no restrictions"


def _direction(call: Call) -> tuple[str, str]:
    """The field of the roster, and the address, "" if none is given."""
    fields = {"send": "send_access", "receive": "receive_access"}
    direction, *rest = call.arguments
    direction = direction.lower()
    if direction not in fields:
        raise UsageError(f"{direction!r} is neither 'send' nor 'receive'")
    if not rest:
        return fields[direction], ""
    key = restriction_key(rest[0])
    if key.startswith("@"):
        raise Refused(f"access(5) has no {key!r}; for a whole domain write {key[1:]!r}")
    return fields[direction], key
