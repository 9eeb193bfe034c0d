"""What a former owner of an address has left: mail, and Sieve scripts."""

from collections.abc import Sequence

from mailroster.app.home import Home
from mailroster.base.address import Address
from mailroster.servers import former_owner


def left(home: Home, address: Address) -> list[str]:
    """What a new account of an address would get, as `mail in PATH`."""
    return former_owner.left(home.settings, address)


def had_owner(home: Home, addresses: Sequence[Address]) -> list[Address]:
    """Those of many addresses for which something is left."""
    return former_owner.had_owner(home.settings, addresses)
