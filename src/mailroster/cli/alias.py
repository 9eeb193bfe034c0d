"""`setup alias`: addresses that lead to other addresses."""

from mailroster.cli.call import Call, alias_key, print_json, print_list, recipients
from mailroster.cli.edit import run_edit
from mailroster.edits import aliases
from mailroster.roster.roster import Roster


def add(call: Call) -> int:
    """Adds recipients to an alias. With a note, recipients that are there already are accepted."""
    key, targets = alias_key(call.arguments[0]), recipients(call.arguments[1])

    def edit(roster: Roster) -> Roster:
        alias = roster.virtual.get(key)
        present = alias.recipients if alias else ()
        if call.changes_notes() and {*map(str.lower, targets)} <= {*map(str.lower, present)}:
            return roster
        patterns = call.home.patterns(roster, [key, *targets, *present])
        return aliases.add_alias(roster, key, targets, call.settings.hostname, patterns)

    return run_edit(call, edit, notes_on=("virtual", key), report_findings=True)


def delete(call: Call) -> int:
    key, targets = alias_key(call.arguments[0]), recipients(call.arguments[1])
    return run_edit(call, lambda roster: aliases.delete_alias(roster, key, targets))


def show(call: Call) -> int:
    """Prints each alias as it is in the file, with continuation lines joined."""
    from mailroster.cli.notes import note_fields, note_lines, notes_by_key
    from mailroster.cli.table import print_table
    from mailroster.roster.documents.notes import Notes
    from mailroster.roster.documents.text import content

    roster = call.home.roster("virtual")
    if "--of" in call.options:
        return _show_routes(call, roster, alias_key(call.options["--of"]))
    document = roster.virtual
    notes = notes_by_key(document)
    if "--json" in call.options:
        print_json(
            [
                {"alias": a.key, "recipients": list(a.recipients), **note_fields(notes.get(a.key))}
                for _, a in document.items()
            ]
        )
    elif "--table" in call.options:
        rows = []
        for key, alias in document.items():
            note = notes.get(key, Notes())
            rows.append((key, ", ".join(alias.recipients), note.until, note.comment))
        print_table(("ALIAS", "RECIPIENTS", "UNTIL", "COMMENT"), rows)
    else:
        print_list(
            [
                f"* {content(document.line(position))}{note_lines(notes.get(key))}"
                for key, _ in document.items()
                if (position := document.position(key)) is not None
            ]
        )
    return 0


def _show_routes(call: Call, roster: Roster, address: str) -> int:
    """Prints the entries that lead to an address, directly or through others."""
    from mailroster.cli.incoming import route_fields, route_line
    from mailroster.cli.table import print_table
    from mailroster.routing.incoming import leads_to

    routes = leads_to(call.home.router(roster), address)
    if "--json" in call.options:
        print_json([route_fields(route) for route in routes])
    elif "--table" in call.options:
        rows = [(r.key, r.kind, ", ".join(r.through), str(r.where)) for r in routes]
        print_table(("ENTRY", "KIND", "THROUGH", "WHERE"), rows)
    else:
        print_list([f"* {route_line(route)}" for route in routes])
    return 0
