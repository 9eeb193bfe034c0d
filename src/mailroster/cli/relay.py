"""`setup relay`: the servers through which mail leaves."""

from mailroster import relays
from mailroster.cli.call import Call, domain_key, print_json, print_list, warn
from mailroster.cli.secret import clear_password
from mailroster.finding import NotUnderstood
from mailroster.formats import sasl_password
from mailroster.formats.relaymap import Relay, destination
from mailroster.formats.sasl_password import Login

DEFAULT_PORT = "25"


def add_domain(call: Call) -> int:
    domain, host, *port = call.arguments
    relay = Relay(domain_key(domain), (_server(host, port[0] if port else DEFAULT_PORT),))
    return call.edit(lambda roster: relays.route(roster, relay))


def exclude_domain(call: Call) -> int:
    relay = Relay(domain_key(call.arguments[0]), ())
    return call.edit(lambda roster: relays.route(roster, relay))


def add_auth(call: Call) -> int:
    sender, user = domain_key(call.arguments[0]), call.arguments[1]
    sasl_password.line(Login(sender, user, "any"))  # what is wrong with the user is said at once
    login = Login(sender, user, clear_password(call, f"{user} at the relay of {sender}", place=2))
    status = call.edit(lambda roster: relays.log_in(roster, login))
    if not call.settings.relayhost and not _is_relayed(call, sender):
        warn(f"note: {sender} has no relay yet; name it with 'setup relay add-domain'")
    return status


def delete(call: Call) -> int:
    sender = domain_key(call.arguments[0])
    return call.edit(lambda roster: relays.forget(roster, sender))


def show(call: Call) -> int:
    """Every sender with its relay and the user that logs in there; never a password."""
    roster = call.roster()
    routes, logins = dict(roster.relaymap.items()), dict(roster.sasl_passwords.items())
    senders = list(dict.fromkeys((*routes, *logins)))
    if "--json" in call.options:
        print_json(
            [
                {
                    "sender": sender,
                    "relayed": bool(routes[sender].destinations) if sender in routes else None,
                    "destinations": list(routes[sender].destinations) if sender in routes else [],
                    "user": logins[sender].user if sender in logins else None,
                }
                for sender in senders
            ]
        )
        return 0
    blocks = []
    for sender in senders:
        way = ", ".join(routes[sender].destinations) if sender in routes else ""
        way = way or ("never relayed" if sender in routes else "")
        user = f"as {logins[sender].user}" if sender in logins else ""
        blocks.append(" ".join(filter(None, (f"* {sender}", way, user))))
    print_list(blocks)
    return 0


def _is_relayed(call: Call, sender: str) -> bool:
    relay = call.roster().relaymap.get(sender)
    return relay is not None and bool(relay.destinations)


def _server(host: str, port: str) -> str:
    """A relay as the file names it: in brackets, so that no MX is asked."""
    if ":" in host and not host.startswith("["):
        raise NotUnderstood(f"{host!r}: give the port as an argument of its own: HOST PORT")
    bare = host.removeprefix("[").removesuffix("]")
    return destination(f"[{bare}]:{port}")
