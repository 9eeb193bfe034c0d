"""Edits of relays: the server through which the mail of a sender leaves, and the login there."""

from mailroster.base.findings import Refused
from mailroster.roster.documents import notes
from mailroster.roster.formats import relaymap, sasl_password
from mailroster.roster.formats.relaymap import Relay
from mailroster.roster.formats.sasl_password import Login
from mailroster.roster.roster import Roster


def route(roster: Roster, relay: Relay) -> Roster:
    """Sets the relay of a sender; one without destinations means that its mail is never relayed."""
    return roster._replace(relaymap=relaymap.put(roster.relaymap, relay))


def log_in(roster: Roster, login: Login) -> Roster:
    """Sets the login of a sender at its relay. Raises ParseError for a login that the file can't
    hold."""
    return roster._replace(sasl_passwords=sasl_password.put(roster.sasl_passwords, login))


def forget(roster: Roster, sender: str) -> Roster:
    """Removes the relay and the login of a sender. Refused if it has neither."""
    routes, logins = roster.relaymap.positions(sender), roster.sasl_passwords.positions(sender)
    if not routes and not logins:
        raise Refused(f"{sender!r} has no relay and no login")
    return roster._replace(
        relaymap=notes.without(roster.relaymap, routes),
        sasl_passwords=notes.without(roster.sasl_passwords, logins),
    )
