"""The services of master.cf for outgoing mail, and the transports that name them. Pure."""

from collections.abc import Iterable

#: The services: directly to the recipient's server; to a relay, with a login; to a relay with
#: implicit TLS.
DIRECT, RELAYED, RELAYED_TLS = "smtp", "relayed", "relayed-smtps"
_TLS_PORTS = (":465", ":smtps", ":submissions")


def transport(destinations: Iterable[str]) -> str:
    """The `transport:nexthop` of transport(5) for some relays; without one, direct delivery."""
    relays = list(destinations)
    if not relays:
        return f"{DIRECT}:"
    tls = all(relay.endswith(_TLS_PORTS) for relay in relays)
    return f"{RELAYED_TLS if tls else RELAYED}:{', '.join(relays)}"
