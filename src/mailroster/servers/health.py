"""Whether the servers answer a client that connects: a greeting of SMTP, and of IMAP or POP3."""

import select
import socket
from collections.abc import Iterable

from mailroster.base.findings import ServerError
from mailroster.base.layout import Layout
from mailroster.servers.config.endpoints import PROXY, Endpoint
from mailroster.servers.dovecot_auth import NOT_FOUND, USERDB, Question, ask

#: A user that no server has.
_NOBODY = "nobody@invalid"
TIMEOUT_S = 5.0
#: A port behind a load balancer may wait for that line before it greets. Any other port that is
#: slow takes it for an unknown command.
_PROXY_AFTER_MS = 1000
#: The start of a greeting, and how a client leaves.
_SMTP, _IMAP, _POP3 = (b"220 ", b"QUIT\r\n"), (b"* OK", b"a LOGOUT\r\n"), (b"+OK", b"QUIT\r\n")
_WORDS = {"SMTP": _SMTP, "submission": _SMTP, "IMAP": _IMAP, "POP3": _POP3}
#: Services of which one is asked: the first that is on.
_GROUPS = (("SMTP", "submission"), ("IMAP", "POP3"))


def silent(found: Iterable[Endpoint]) -> list[str]:
    """Those that don't greet, as `SMTP on 127.0.0.1:25`; none if all is well. One port of Postfix
    and one of Dovecot are asked, on each of their addresses."""
    return [
        f"{endpoint.service} on {_at(address)}:{endpoint.port}"
        for endpoint in asked(found)
        for address in endpoint.addresses
        if not _greets(endpoint, address)
    ]


def unready(found: Iterable[Endpoint], layout: Layout) -> list[str]:
    """As `silent`, and Dovecot's auth if it can't look a user up yet: it greets before its workers
    have opened the tables, and a command or a delivery in that moment would find no user."""
    return silent(found) or ([] if _looks_up(layout) else ["Dovecot's auth on a user"])


def _looks_up(layout: Layout) -> bool:
    try:
        return ask(layout, [Question(USERDB, _NOBODY)])[0].outcome == NOT_FOUND
    except ServerError:
        return False


def asked(found: Iterable[Endpoint]) -> list[Endpoint]:
    """The ports that are asked: without TLS and the PROXY protocol, where there is such a port."""
    chosen = []
    known = list(found)
    for services in _GROUPS:
        each = [endpoint for endpoint in known if endpoint.service in services]
        each.sort(key=lambda one: (one.proxy, services.index(one.service), one.tls))
        chosen += each[:1]
    return chosen


def _at(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _greets(endpoint: Endpoint, address: str) -> bool:
    greeting, farewell = _WORDS[endpoint.service]
    try:
        with socket.create_connection((address, endpoint.port), TIMEOUT_S) as plain:
            if endpoint.proxy or not _speaks(plain, endpoint):
                plain.sendall(PROXY)
            session = _with_tls(plain) if endpoint.tls else plain
            with session, session.makefile("rb") as file:
                line = file.readline(1000)
                if not line and endpoint.proxy and endpoint.service in ("IMAP", "POP3"):
                    return True  # Dovecot hangs up on a client that is no trusted proxy
                session.sendall(farewell)
    except ConnectionResetError:
        return endpoint.proxy and endpoint.service in ("IMAP", "POP3")
    except OSError:
        return False
    return line.startswith(greeting)


def _speaks(session: socket.socket, endpoint: Endpoint) -> bool:
    """Whether a server says something first; with TLS it never does."""
    greets = select.poll()
    greets.register(session, select.POLLIN)
    return endpoint.tls or bool(greets.poll(_PROXY_AFTER_MS))


def _with_tls(session: socket.socket) -> socket.socket:
    """A session with TLS, to a server with any certificate: another test judges that."""
    import ssl  # 10 ms: only where no port without TLS is on

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(session)
