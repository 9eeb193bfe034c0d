"""How mail of a sender leaves: services of master.cf, and the transports that name them. Pure."""

from collections.abc import Iterable

#: The services of master.cf: straight to the recipient's server; to a relay, with a login; to a
#: relay that speaks TLS from the first octet.
DIRECT, RELAYED, RELAYED_TLS = "smtp", "relayed", "relayed-smtps"
_TLS_PORTS = (":465", ":smtps", ":submissions")


def transport(destinations: Iterable[str]) -> str:
    """What transport(5) calls `transport:nexthop`, for some relays; none: the direct way."""
    found = list(destinations)
    if not found:
        return f"{DIRECT}:"
    tls = all(destination.endswith(_TLS_PORTS) for destination in found)
    return f"{RELAYED_TLS if tls else RELAYED}:{', '.join(found)}"
