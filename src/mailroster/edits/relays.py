"""The verbs of relays: through which server the mail of a domain leaves, and as whom."""

from mailroster.base.findings import Refused
from mailroster.roster.documents import notes
from mailroster.roster.formats import relaymap, sasl_password
from mailroster.roster.formats.relaymap import Relay
from mailroster.roster.formats.sasl_password import Login
from mailroster.roster.roster import Roster


def route(roster: Roster, relay: Relay) -> Roster:
    """With a relay for a sender, in place of what was said of it; without destinations: never
    relayed."""
    return roster._replace(relaymap=relaymap.put(roster.relaymap, relay))


def log_in(roster: Roster, login: Login) -> Roster:
    """With a login at its relay for a sender, in place of the one it had. Raises ParseError for
    what the file can't hold."""
    return roster._replace(sasl_passwords=sasl_password.put(roster.sasl_passwords, login))


def forget(roster: Roster, sender: str) -> Roster:
    """Without relay and login of a sender. Refused if neither is there."""
    routes, logins = roster.relaymap.positions(sender), roster.sasl_passwords.positions(sender)
    if not routes and not logins:
        raise Refused(f"no relay and no login for {sender!r}")
    return roster._replace(
        relaymap=notes.without(roster.relaymap, routes),
        sasl_passwords=notes.without(roster.sasl_passwords, logins),
    )
