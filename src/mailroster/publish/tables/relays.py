"""Postfix's tables of relays: the route of a sender's outgoing mail, and the login at the relay."""

from collections.abc import Iterable

from mailroster.routing.change import Change
from mailroster.routing.router import Router
from mailroster.servers.config.relays import transport


class Relays:
    """`sender_dependent_default_transport_maps`. In `sender_dependent_relayhost_maps` no row could
    exclude a domain from a relay for all domains."""

    name = "relays"

    def keys(self, router: Router) -> Iterable[str]:
        return router.roster.relaymap.counted()

    def row(self, router: Router, key: str) -> str | None:
        relay = router.roster.relaymap.get(key)
        return None if relay is None else transport(relay.destinations)

    def affected(self, change: Change) -> Iterable[str]:
        return change.keys["relaymap"]


class Passwords:
    """`smtp_sasl_password_maps`. Only the services to relays read it."""

    name = "relay_passwords"

    def keys(self, router: Router) -> Iterable[str]:
        return router.roster.sasl_passwords.counted()

    def row(self, router: Router, key: str) -> str | None:
        login = router.roster.sasl_passwords.get(key)
        return None if login is None else f"{login.user}:{login.password}"

    def affected(self, change: Change) -> Iterable[str]:
        return change.keys["sasl_passwords"]


RELAYS = Relays()
PASSWORDS = Passwords()
