"""Reports when, by which protocol and from where app passwords were last used."""

from mailroster.app.home import Home
from mailroster.roster.formats.app_passwords import AppPassword
from mailroster.servers.config.dovecot.schema import APP_DIGITS
from mailroster.servers.last_use import Use, key, recorded

__all__ = ["Use", "last_uses"]


def last_uses(home: Home, entries: list[AppPassword]) -> dict[str, Use]:
    """The last use of each app password, by its key; without those that were never used."""
    uses = recorded(home.layout) if entries else {}
    found = {
        entry.key: uses.get(key(entry.address, entry.digest[-APP_DIGITS:])) for entry in entries
    }
    return {name: use for name, use in found.items() if use is not None}
