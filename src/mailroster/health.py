"""Whether the servers answer those who connect: a greeting on the ports of SMTP and IMAP."""

import select
import socket

from mailroster.auth import NOT_FOUND, USERDB, Question, ask
from mailroster.finding import ServiceFailed
from mailroster.instance.layout import Layout
from mailroster.settings import Settings

#: A user that no server has.
_NOBODY = "nobody@invalid"
TIMEOUT_S = 5.0
#: A port behind a load balancer may wait for the line of the PROXY protocol before it greets. Any
#: other port that is slow takes it for an unknown command.
_PROXY_AFTER_MS, _PROXY = 1000, b"PROXY TCP4 127.0.0.1 127.0.0.1 1024 25\r\n"


def silent(settings: Settings) -> list[str]:
    """Those of SMTP and IMAP that don't greet, as `SMTP on 127.0.0.1:25`; none if all is well."""
    near = settings.near()
    asked = (
        ("SMTP", settings.smtp_port, b"220 ", b"QUIT\r\n"),
        ("IMAP", settings.imap_port, b"* OK", b"a LOGOUT\r\n"),
    )
    return [
        f"{name} on {near}:{port}"
        for name, port, greeting, farewell in asked
        if not _greets(near, port, greeting, farewell)
    ]


def unready(settings: Settings, layout: Layout) -> list[str]:
    """As `silent`, and Dovecot's auth if it can't look a user up yet: it greets before its workers
    have opened the tables, and a command or a delivery in that moment would find no user."""
    found = silent(settings)
    return found or ([] if _looks_up(layout) else ["Dovecot's auth on a user"])


def _looks_up(layout: Layout) -> bool:
    try:
        return ask(layout, [Question(USERDB, _NOBODY)])[0].outcome == NOT_FOUND
    except ServiceFailed:
        return False


def _greets(host: str, port: int, greeting: bytes, farewell: bytes) -> bool:
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as session:
            greets = select.poll()
            greets.register(session, select.POLLIN)
            if not greets.poll(_PROXY_AFTER_MS):
                session.sendall(_PROXY)
            with session.makefile("rb") as file:
                line = file.readline(1000)
            session.sendall(farewell)
    except OSError:
        return False
    return line.startswith(greeting)
