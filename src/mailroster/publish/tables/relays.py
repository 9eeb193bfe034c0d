"""Postfix's tables of relays: by which way the mail of a sender leaves, and as whom it logs in."""

from collections.abc import Iterable

from mailroster.routing.change import Change
from mailroster.routing.router import Router

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


class Relays:
    """`sender_dependent_default_transport_maps`, and not `sender_dependent_relayhost_maps`: there
    nothing could say that a domain is not relayed where there is a relay for all others."""

    name = "relays"

    def keys(self, router: Router) -> Iterable[str]:
        return router.roster.relaymap.counted()

    def row(self, router: Router, key: str) -> str | None:
        relay = router.roster.relaymap.get(key)
        return None if relay is None else transport(relay.destinations)

    def concerned(self, change: Change) -> Iterable[str]:
        return change.keys["relaymap"]


class Passwords:
    """`smtp_sasl_password_maps`. Only the services to relays look at it."""

    name = "relay_passwords"

    def keys(self, router: Router) -> Iterable[str]:
        return router.roster.sasl_passwords.counted()

    def row(self, router: Router, key: str) -> str | None:
        login = router.roster.sasl_passwords.get(key)
        return None if login is None else f"{login.user}:{login.password}"

    def concerned(self, change: Change) -> Iterable[str]:
        return change.keys["sasl_passwords"]


RELAYS = Relays()
PASSWORDS = Passwords()
