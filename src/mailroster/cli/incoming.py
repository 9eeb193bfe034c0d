"""What leads to an address, as `setup alias list --of` and `setup email show` tell it."""

from typing import Any

from mailroster.base.findings import Location
from mailroster.routing.incoming import CATCH_ALL, PATTERN, Lead

_KINDS = {CATCH_ALL: " (catch-all)", PATTERN: " (a pattern: only what matches it)"}


def fields_of_lead(lead: Lead) -> dict[str, Any]:
    """A lead as --json shows it."""
    where = lead.where._asdict()
    return {**lead._asdict(), "where": where, "through": list(lead.through)}


def told(lead: dict[str, Any]) -> str:
    """A lead in the shape of --json, for people: `all@x, through info@x  postfix-virtual.cf:2`."""
    through = f", through {', '.join(lead['through'])}" if lead["through"] else ""
    kind = _KINDS.get(lead["kind"], "")
    return f"{lead['key']}{kind}{through}  {Location(**lead['where'])}"
