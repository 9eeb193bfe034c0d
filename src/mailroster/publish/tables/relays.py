"""Postfix's tables of relays: by which way the mail of a sender leaves, and as whom it logs in."""

from collections.abc import Iterable

from mailroster.routing.change import Change
from mailroster.routing.router import Router
from mailroster.servers.config.relays import transport


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
