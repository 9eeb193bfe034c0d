"""`setup relay`: the servers through which mail leaves."""

from mailroster.base.findings import UsageError
from mailroster.cli.call import Call, domain_key, print_json, print_list
from mailroster.cli.edit import run_edit
from mailroster.cli.notes import note_lines, notes_by_key
from mailroster.cli.password_input import clear_password
from mailroster.cli.streams import warn
from mailroster.cli.table import print_table
from mailroster.edits import relays
from mailroster.roster.documents.notes import Notes
from mailroster.roster.formats import sasl_password
from mailroster.roster.formats.relaymap import Relay, destination
from mailroster.roster.formats.sasl_password import Login

DEFAULT_PORT = "25"


def add_domain(call: Call) -> int:
    domain, host, *port = call.arguments
    return _route(call, Relay(domain_key(domain), (_server(host, *port),)))


def exclude_domain(call: Call) -> int:
    return _route(call, Relay(domain_key(call.arguments[0]), ()))


def _route(call: Call, relay: Relay) -> int:
    return run_edit(
        call, lambda roster: relays.route(roster, relay), notes_on=("relaymap", relay.sender)
    )


def add_auth(call: Call) -> int:
    sender, user = domain_key(call.arguments[0]), call.arguments[1]
    sasl_password.line(Login(sender, user, "any"))  # raises now if the user is malformed
    login = Login(sender, user, clear_password(call, f"{user} at the relay of {sender}", index=2))
    status = run_edit(call, lambda roster: relays.log_in(roster, login))
    if not call.settings.relayhost and not _is_relayed(call, sender):
        warn(f"note: {sender} has no relay yet; add one with 'setup relay add-domain'")
    return status


def delete(call: Call) -> int:
    sender = domain_key(call.arguments[0])
    return run_edit(call, lambda roster: relays.forget(roster, sender))


def show(call: Call) -> int:
    """Prints each sender with its relay and the user for the login there; never a password."""
    roster = call.home.roster("relaymap", "sasl_passwords")
    routes, logins = dict(roster.relaymap.items()), dict(roster.sasl_passwords.items())
    senders = list(dict.fromkeys((*routes, *logins)))
    by_key = notes_by_key(roster.relaymap)
    notes = {sender: by_key.get(sender, Notes()) for sender in senders}
    if "--json" in call.options:
        print_json(
            [
                {
                    "sender": sender,
                    "relayed": bool(routes[sender].destinations) if sender in routes else None,
                    "destinations": list(routes[sender].destinations) if sender in routes else [],
                    "user": logins[sender].user if sender in logins else None,
                    "comment": notes[sender].comment or None,
                }
                for sender in senders
            ]
        )
        return 0
    rows = []
    for sender in senders:
        route = routes.get(sender)
        relay = "" if route is None else ", ".join(route.destinations) or "never relayed"
        user = logins[sender].user if sender in logins else ""
        rows.append((sender, relay, user, notes[sender].comment))
    if "--table" in call.options:
        print_table(("SENDER", "RELAY", "USER", "COMMENT"), rows)
        return 0
    blocks = [
        " ".join(filter(None, (f"* {sender}", relay, f"as {user}" if user else "")))
        + note_lines(notes[sender])
        for sender, relay, user, _ in rows
    ]
    print_list(blocks)
    return 0


def _is_relayed(call: Call, sender: str) -> bool:
    relay = call.home.roster().relaymap.get(sender)
    return relay is not None and bool(relay.destinations)


def _server(host: str, port: str = DEFAULT_PORT) -> str:
    """A relay as the file names it: in brackets, so that Postfix looks up no MX."""
    if ":" in host and not host.startswith("["):
        raise UsageError(f"{host!r}: give the port as a separate argument: HOST PORT")
    bare = host.removeprefix("[").removesuffix("]")
    return destination(f"[{bare}]:{port}")
