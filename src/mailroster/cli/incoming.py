"""What leads to an address, as `setup alias list --of` and `setup email show` tell it."""

from typing import Any

from mailroster.routing.incoming import CATCH_ALL, PATTERN, IncomingRoute

_KINDS = {CATCH_ALL: " (catch-all)", PATTERN: " (a pattern: only what matches it)"}


def fields_of_lead(lead: IncomingRoute) -> dict[str, Any]:
    """A lead as --json shows it."""
    where = lead.where._asdict()
    return {**lead._asdict(), "where": where, "through": list(lead.through)}


def lead_line(lead: IncomingRoute) -> str:
    """A lead for people: `all@x, through info@x  postfix-virtual.cf:2`."""
    through = f", through {', '.join(lead.through)}" if lead.through else ""
    return f"{lead.key}{_KINDS.get(lead.kind, '')}{through}  {lead.where}"
