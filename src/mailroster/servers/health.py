"""Checks whether the servers answer: a client gets a greeting of SMTP, and of IMAP or POP3."""

import select
import socket
from collections.abc import Iterable

from mailroster.base.findings import ServerError
from mailroster.base.layout import Layout
from mailroster.servers.config.endpoints import PROXY, Endpoint
from mailroster.servers.dovecot_auth import NOT_FOUND, USERDB, Question, ask

#: An address that can't be an account.
_UNKNOWN_USER = "nobody@invalid"
TIMEOUT_S = 5.0
#: After this time without a greeting the PROXY line is sent: a port behind a load balancer may wait
#: for it. A slow port of another kind treats it as an unknown command.
_PROXY_AFTER_MS = 1000
#: The start of a greeting, and the command that ends the session.
_SMTP, _IMAP, _POP3 = (b"220 ", b"QUIT\r\n"), (b"* OK", b"a LOGOUT\r\n"), (b"+OK", b"QUIT\r\n")
_WORDS = {"SMTP": _SMTP, "submission": _SMTP, "IMAP": _IMAP, "POP3": _POP3}
#: Of each group, the first service that is on is checked.
_GROUPS = (("SMTP", "submission"), ("IMAP", "POP3"))


def silent(endpoints: Iterable[Endpoint]) -> list[str]:
    """The endpoints that send no greeting, as `SMTP on 127.0.0.1:25`. Checks one port of Postfix
    and one of Dovecot, on each of their addresses."""
    return [
        f"{endpoint.service} on {_at(address)}:{endpoint.port}"
        for endpoint in choose(endpoints)
        for address in endpoint.addresses
        if not _greets(endpoint, address)
    ]


def unready(endpoints: Iterable[Endpoint], layout: Layout) -> list[str]:
    """As `silent`, and Dovecot's auth if it can't look a user up yet: Dovecot greets before its
    auth workers have opened the tables, and a delivery at that moment would fail."""
    return silent(endpoints) or ([] if _looks_up(layout) else ["Dovecot's auth on a user"])


def _looks_up(layout: Layout) -> bool:
    try:
        return ask(layout, [Question(USERDB, _UNKNOWN_USER)])[0].outcome == NOT_FOUND
    except ServerError:
        return False


def choose(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """The ports to check: preferably without TLS and the PROXY protocol."""
    selected = []
    every = list(endpoints)
    for services in _GROUPS:
        group = [endpoint for endpoint in every if endpoint.service in services]
        group.sort(key=lambda one: (one.proxy, services.index(one.service), one.tls))
        selected += group[:1]
    return selected


def _at(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _greets(endpoint: Endpoint, address: str) -> bool:
    greeting, farewell = _WORDS[endpoint.service]
    try:
        with socket.create_connection((address, endpoint.port), TIMEOUT_S) as plain:
            if endpoint.proxy or not _has_greeting(plain, endpoint):
                plain.sendall(PROXY)
            session = _with_tls(plain) if endpoint.tls else plain
            with session, session.makefile("rb") as file:
                line = file.readline(1000)
                if not line and endpoint.proxy and endpoint.service in ("IMAP", "POP3"):
                    return True  # Dovecot closes the connection of an untrusted proxy
                session.sendall(farewell)
    except ConnectionResetError:
        return endpoint.proxy and endpoint.service in ("IMAP", "POP3")
    except OSError:
        return False
    return line.startswith(greeting)


def _has_greeting(session: socket.socket, endpoint: Endpoint) -> bool:
    """Whether a server sends something first. With TLS it never does, which counts as True."""
    poll = select.poll()
    poll.register(session, select.POLLIN)
    return endpoint.tls or bool(poll.poll(_PROXY_AFTER_MS))


def _with_tls(session: socket.socket) -> socket.socket:
    """A session with TLS. The certificate is not verified here."""
    import ssl  # 10 ms: only if there is no port without TLS

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(session)
