"""Routes that lead to an address, as `setup alias list --of` and `setup email show` print them."""

from typing import Any

from mailroster.routing.incoming import CATCH_ALL, PATTERN, IncomingRoute

_KINDS = {CATCH_ALL: " (catch-all)", PATTERN: " (a pattern: only matching addresses)"}


def route_fields(route: IncomingRoute) -> dict[str, Any]:
    """The JSON fields of a route."""
    return {**route._asdict(), "where": route.where._asdict(), "through": list(route.through)}


def route_line(route: IncomingRoute) -> str:
    """A route for people: `all@x, through info@x  postfix-virtual.cf:2`."""
    through = f", through {', '.join(route.through)}" if route.through else ""
    return f"{route.key}{_KINDS.get(route.kind, '')}{through}  {route.where}"
