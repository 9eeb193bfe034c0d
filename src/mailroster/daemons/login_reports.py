"""The listener for Dovecot's reports of logins (doc.dovecot.org/2.3 and 2.4.1, "authentication
policy").

Dovecot sends a report after each login, as JSON in an HTTP request to a port of 127.0.0.1. It only
reports: no login waits for the answer, and none fails without it. `listen` gives each report to one
function, `take`, in the event loop, so it must return at once. It knows nothing of what is done
with a report.

Any user of the machine can connect: a request without Dovecot's key is refused, and sizes, times
and the number of connections have limits. If there are too many, the oldest that has not sent the
key is closed: so Dovecot can always connect, and keeps its connections.
"""

import asyncio
import errno
import hmac
import json
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from mailroster.system.log import log, words_of

#: The header with the key.
HEADER = "X-Mailroster-Key"
_HEAD_MAX_BYTES = 8 << 10
#: Dovecot accepts names of 6 kB, and writes a character as `\u00e9` in three fields.
_BODY_MAX_BYTES = 256 << 10
_CONNECTIONS_MAX = 128
#: For a request that has begun, and for the next one on a connection that Dovecot keeps open.
_REQUEST_S, _IDLE_S = 5.0, 120.0
_BIND_AGAIN_S = 30.0
_TEXT_MAX = 512
_ACCEPTED = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"status":0}'
)
_REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class LoginReport(NamedTuple):
    """One login that Dovecot reports."""

    login: str  # the name as the client sent it, made short and printable
    service: str  # imap, pop3, smtp or sieve
    remote: str  # the address of the client
    success: bool
    app: str  # the end of the digest of the app password, "" for another password
    password_hash: str  # 12 bits: the same wrong password again is no other guess
    is_blocked: bool = False  # refused before a password was checked
    name: str = ""  # of the master whose password was wrong, or the login in lower case
    master: str = ""  # the master who logged in as the account


Take = Callable[[LoginReport], None]


class ReportTaker(Protocol):
    """What is done with reports: `take` returns at once, `write` stores what follows from them."""

    def take(self, report: LoginReport) -> None: ...

    async def write(self, stop: asyncio.Event) -> None: ...


def parsed(body: bytes) -> LoginReport | None:
    """The report in the body of a request; None for anything else."""
    try:
        fields = json.loads(body.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("success"), bool):
        return None
    # A name that is no name must not hide a guess: the password of a master is checked before it.
    login, name, master = (_shown(fields.get(key)) for key in ("login", "user", "master"))
    keys = ("protocol", "remote", "app", "pwhash")
    service, remote, app, password_hash = (_text(fields.get(key)) for key in keys)
    if not (login or name) or not service:
        return None
    is_blocked = fields.get("blocked") == "Y"
    return LoginReport(
        login, service, remote, fields["success"], app, password_hash, is_blocked, name, master
    )


def _shown(value: object) -> str:
    """A name of any form, made short and printable."""
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else "?" for char in value[:_TEXT_MAX])


def _text(value: object) -> str:
    """A string that is short and printable, else ""."""
    fits = isinstance(value, str) and len(value) <= _TEXT_MAX and value.isprintable()
    return str(value) if fits else ""


async def listen(port: int, key: str, take: Take, stop: asyncio.Event) -> None:
    """Gives each report to `take` until `stop` is set. While the port can't be opened, it logs why
    and tries again."""
    listener, why = _Listener(key, take), ""
    while not stop.is_set():
        try:
            server = await asyncio.start_server(
                listener.serve, "127.0.0.1", port, limit=_HEAD_MAX_BYTES
            )
        except OSError as error:
            if _words_of(error) != why:
                why = _words_of(error)
                log(f"no reports of logins: port {port}: {why}; logins are not affected")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _BIND_AGAIN_S)
            continue
        async with server:
            await stop.wait()
            listener.close()


def _words_of(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program uses it, so set login_reports_port to a free one"
    return words_of(error)


class _Listener:
    """The connections of one port."""

    def __init__(self, key: str, take: Take) -> None:
        self._key, self._take = key.encode(), take
        #: The connections that have sent the key, and the others, the oldest first.
        self._proven: set[asyncio.StreamWriter] = set()
        self._strangers: dict[asyncio.StreamWriter, None] = {}

    def close(self) -> None:
        for writer in [*self._proven, *self._strangers]:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection, which Dovecot may use for many reports."""
        if len(self._strangers) >= _CONNECTIONS_MAX:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.transport.abort()
        self._strangers[writer] = None
        try:
            wait_s = _REQUEST_S  # only Dovecot may keep a connection open
            while await self._serve_request(reader, writer, wait_s):
                wait_s = _IDLE_S
                self._strangers.pop(writer, None)
                self._proven.add(writer)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, TimeoutError):
            pass  # not Dovecot, or it has closed the connection
        finally:
            self._strangers.pop(writer, None)
            self._proven.discard(writer)
            writer.close()

    async def _serve_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait_s: float
    ) -> bool:
        """Serves one request, which begins within some seconds; returns whether another may follow.
        Raises ValueError and others for what is no request."""
        first = await asyncio.wait_for(reader.readexactly(1), wait_s)
        async with asyncio.timeout(_REQUEST_S):
            head = first + await reader.readuntil(b"\r\n\r\n")
            headers = _headers(head)
            length = int(headers.get(b"content-length", b"0"))
            if not hmac.compare_digest(headers.get(HEADER.lower().encode(), b""), self._key):
                writer.write(_REFUSED)
                await writer.drain()
                return False
            if not 0 <= length <= _BODY_MAX_BYTES:
                return False
            body = await reader.readexactly(length)
            writer.write(_ACCEPTED)
            await writer.drain()
        report = parsed(body)
        if report is not None:
            self._take(report)
        return True


def _headers(head: bytes) -> dict[bytes, bytes]:
    """The headers of a request, by name in lower case."""
    headers = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    return headers
