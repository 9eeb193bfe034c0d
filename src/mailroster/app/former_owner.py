"""Mail and Sieve scripts that a former owner of an address has left."""

from collections.abc import Sequence

from mailroster.app.home import Home
from mailroster.base.address import Address
from mailroster.servers import former_owner


def leftovers(home: Home, address: Address) -> list[str]:
    """The leftovers that a new account with this address would get, as `mail in PATH`."""
    return former_owner.leftovers(home.settings, address)


def with_leftovers(home: Home, addresses: Sequence[Address]) -> list[Address]:
    """The addresses for which there are leftovers."""
    return former_owner.with_leftovers(home.settings, addresses)
