"""Many clients at once, from as many addresses as there should be."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tests.support.instance import PASSWORD, trusting
from tests.support.network import SERVER, client


class Login(NamedTuple):
    """One IMAP login: whether it succeeded, and how long it took from the connection on."""

    succeeded: bool
    took_s: float


@contextmanager
def idle(port: int, count: int, clients: Sequence[int]) -> Iterator[list[socket.socket]]:
    """Connections that say nothing, in turn from each of the clients."""
    sockets = []
    try:
        for number in range(count):
            source = client(clients[number % len(clients)])
            sockets.append(socket.create_connection((SERVER, port), 30, (source, 0)))
        yield sockets
    finally:
        for one in sockets:
            one.close()


def banner_s(port: int, number: int, wait_s: float = 20) -> float | None:
    """How long a client waits until SMTP lets it speak; None if that does not come in time."""
    start = time.perf_counter()
    try:
        with socket.create_connection((SERVER, port), wait_s, (client(number), 0)) as connection:
            connection.settimeout(wait_s)
            for line in connection.makefile("rb"):
                if not line.startswith(b"220-"):
                    return time.perf_counter() - start if line.startswith(b"220 ") else None
    except OSError:
        pass
    return None


class _Session:
    """One IMAP session, which stays open until it is closed."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None

    async def log_in(self, port: int, number: int, user: str, context: ssl.SSLContext) -> Login:
        start = time.perf_counter()
        try:
            reader, self._writer = await asyncio.open_connection(
                SERVER, port, ssl=context, local_addr=(client(number), 0), ssl_handshake_timeout=120
            )
            await reader.readline()
            self._writer.write(f"a LOGIN {user} {PASSWORD}\r\n".encode())
            while (line := await reader.readline()) and not line.startswith(b"a "):
                pass
            return Login(line.startswith(b"a OK"), time.perf_counter() - start)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            return Login(False, time.perf_counter() - start)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def log_in_at_once(
    port: int, users: Sequence[str], first: int = 0, held: Callable[[], None] = lambda: None
) -> list[Login]:
    """IMAP logins that all begin at the same moment, each from an address of its own.

    All sessions stay open until the last has an answer and `held` has been called.
    """

    async def all_of_them() -> list[Login]:
        context = trusting()
        sessions = [_Session() for _ in users]
        work = (
            session.log_in(port, first + n, user, context)
            for n, (session, user) in enumerate(zip(sessions, users, strict=True))
        )
        logins = await asyncio.wait_for(asyncio.gather(*work), 180)
        held()
        for session in sessions:
            session.close()
        return logins

    return asyncio.run(all_of_them())
