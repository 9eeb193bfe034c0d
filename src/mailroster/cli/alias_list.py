"""`setup alias list`."""

from mailroster.cli.call import Call, alias_key, print_json, print_list
from mailroster.cli.incoming import fields_of_lead, lead_line
from mailroster.cli.notes import by_key, fields_of, lines_of
from mailroster.cli.table import print_table
from mailroster.roster.documents.notes import Notes
from mailroster.roster.documents.text import content
from mailroster.roster.roster import Roster
from mailroster.routing.incoming import leads_to


def show(call: Call) -> int:
    """Each alias as it stands in the file, the lines of one joined."""
    roster = call.home.roster("virtual")
    if "--of" in call.options:
        return _leading(call, roster, alias_key(call.options["--of"]))
    document = roster.virtual
    notes = by_key(document)
    if "--json" in call.options:
        aliases = [alias for _, alias in document.items()]
        print_json(
            [
                {"alias": a.key, "recipients": list(a.recipients), **fields_of(notes.get(a.key))}
                for a in aliases
            ]
        )
        return 0
    if "--table" in call.options:
        rows = []
        for key, alias in document.items():
            some = notes.get(key, Notes())
            rows.append((key, ", ".join(alias.recipients), some.until, some.comment))
        print_table(("ALIAS", "RECIPIENTS", "UNTIL", "COMMENT"), rows)
        return 0
    positions = {key: document.position(key) for key, _ in document.items()}
    print_list(
        [
            f"* {content(document.line(place))}{lines_of(notes.get(key))}"
            for key, place in positions.items()
            if place is not None
        ]
    )
    return 0


def _leading(call: Call, roster: Roster, address: str) -> int:
    """What leads to an address, directly and through others."""
    router = call.home.router(roster)
    leads = leads_to(router, address)
    if "--json" in call.options:
        print_json([fields_of_lead(lead) for lead in leads])
    elif "--table" in call.options:
        rows = [(one.key, one.kind, ", ".join(one.through), str(one.where)) for one in leads]
        print_table(("ENTRY", "KIND", "THROUGH", "WHERE"), rows)
    else:
        print_list([f"* {lead_line(lead)}" for lead in leads])
    return 0
