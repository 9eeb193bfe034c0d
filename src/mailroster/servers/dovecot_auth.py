"""Looks users up through Dovecot's auth socket, as `doveadm user` and `doveadm auth lookup` do,
without the 50 ms that each of them takes to start.

The protocol is Dovecot's auth-master: `USER` is a lookup in the userdb, `PASS` in the passdb; the
replies are `USER`, `PASS`, `NOTFOUND`, or `FAIL` for a refusal or a failure. No password is sent in
either direction.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

from mailroster.base.findings import ServerError
from mailroster.base.layout import Layout
from mailroster.system.sockets import connected

USERDB, PASSDB = "USER", "PASS"
FOUND, NOT_FOUND, FAILED = "found", "not found", "failed"
_ESCAPED = {"0": "\0", "1": "\x01", "t": "\t", "r": "\r", "n": "\n"}
_TIMEOUT_S = 10.0
#: At most so much is read, in case the replies never end.
_MAX_BYTES = 1 << 22


class Question(NamedTuple):
    """A lookup of a user in one of the databases."""

    database: str
    user: str


class Reply(NamedTuple):
    """The outcome of a lookup, and the fields of the user; a field without `=` is empty."""

    outcome: str
    fields: dict[str, str]


def ask(layout: Layout, questions: Sequence[Question]) -> list[Reply]:
    """The replies in the order of the questions. Raises ServerError if Dovecot does not answer."""
    requests = [
        f"{database}\t{number}\t{user}\tservice=doveadm\n"
        for number, (database, user) in enumerate(questions, 1)
        if "\t" not in user and "\n" not in user
    ]
    received = b""
    try:
        with connected(os.path.join(layout.run, "auth-userdb"), _TIMEOUT_S) as auth:
            auth.sendall(b"VERSION\t1\t1\n" + "".join(requests).encode("utf-8", "surrogateescape"))
            while len(replies_in(received)) < len(requests) and len(received) < _MAX_BYTES:
                part = auth.recv(65536)
                if not part:
                    break
                received += part
    except OSError as error:
        raise ServerError(f"Dovecot's auth does not answer: {error}") from None
    replies = replies_in(received)
    return [replies.get(number, Reply(FAILED, {})) for number in range(1, len(questions) + 1)]


def replies_in(received: bytes) -> dict[int, Reply]:
    """The replies in the bytes from the socket, by the number of their question. Ignores an
    incomplete last line."""
    replies: dict[int, Reply] = {}
    for line in received.decode("utf-8", "replace").split("\n")[:-1]:
        word, *rest = line.split("\t")
        if not rest or not (rest[0].isascii() and rest[0].isdigit()) or len(rest[0]) > 9:
            continue
        outcome = {"USER": FOUND, "PASS": FOUND, "NOTFOUND": NOT_FOUND, "FAIL": FAILED}.get(word)
        if outcome is not None:
            pairs = (field.partition("=") for field in rest[1:] if field)
            replies[int(rest[0])] = Reply(
                outcome, {name: _unescape(value) for name, _, value in pairs}
            )
    return replies


def _unescape(value: str) -> str:
    """A value with Dovecot's escapes of tabs, line feeds and so on resolved (strescape)."""
    first, *rest = value.split("\x01")
    return first + "".join(_ESCAPED.get(part[:1], part[:1]) + part[1:] for part in rest)
