"""`setup email restrict`: who may not send, who may not receive."""

from mailroster.base.findings import Refused, UsageError
from mailroster.cli.call import Call, print_json, restriction_key, warn
from mailroster.cli.edit import run_edit
from mailroster.edits import accounts
from mailroster.roster.roster import Roster


def restrict(call: Call) -> int:
    field, address = _direction(call)

    def verb(roster: Roster) -> Roster:
        if call.says_notes() and address in getattr(roster, field):
            return roster
        return accounts.restrict(roster, field, address)

    return run_edit(call, verb, notes_on=(field, address), judged=True)


def allow(call: Call) -> int:
    field, address = _direction(call)
    return run_edit(call, lambda roster: accounts.allow(roster, field, address))


def restricted(call: Call) -> int:
    """Each restriction of a direction, or that of one address."""
    from mailroster.cli.notes import by_key, fields_of, lines_of
    from mailroster.cli.table import print_table
    from mailroster.roster.documents.notes import Notes

    field, address = _direction(call)
    document = getattr(call.home.roster(field), field)
    notes = by_key(document)
    found = [(entry, notes.get(key)) for key, entry in document.items() if address in ("", key)]
    if "--table" in call.options:
        rows = [(e.key, e.action, (n or Notes()).until, (n or Notes()).comment) for e, n in found]
        print_table(("ADDRESS", "ACTION", "UNTIL", "COMMENT"), rows)
    elif "--json" in call.options:
        print_json(
            [
                {"address": entry.key, "action": entry.action, **fields_of(some)}
                for entry, some in found
            ]
        )
    else:
        for entry, some in found:
            print(f"{entry.key} {entry.action}{lines_of(some)}")
        if not found:
            warn(_none(call.arguments[0].lower(), document.format.file, address))
    return 0


def _none(direction: str, file: str, address: str) -> str:
    if address:
        return f"{file} has no line for {address!r}"
    return f"all accounts may {direction}: {file} has no restrictions"


def _direction(call: Call) -> tuple[str, str]:
    """The field of the roster, and the address ("" where none is given)."""
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
