"""What Dovecot itself knows of a user: asked on its own socket, as `doveadm user` and
`doveadm auth lookup` do, without the 50 ms that each of them takes to start.

The protocol is Dovecot's auth-master: `USER` asks the userdb, `PASS` the passdb; `NOTFOUND` is
nobody, `FAIL` a refusal or a failure. No password is asked for, and none is answered.
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
#: The most that is read, should the answers never end.
_MAX_BYTES = 1 << 22


class Question(NamedTuple):
    """A user, and which database is asked for it."""

    database: str
    user: str


class Known(NamedTuple):
    """Whether a user was found, and its fields; a bare name has an empty value."""

    outcome: str
    fields: dict[str, str]


def ask(layout: Layout, questions: Sequence[Question]) -> list[Known]:
    """The answers in the order of the questions. Raises ServerError if Dovecot gives none."""
    asked = [
        f"{database}\t{number}\t{user}\tservice=doveadm\n"
        for number, (database, user) in enumerate(questions, 1)
        if "\t" not in user and "\n" not in user
    ]
    said = b""
    try:
        with connected(os.path.join(layout.run, "auth-userdb"), _TIMEOUT_S) as auth:
            auth.sendall(b"VERSION\t1\t1\n" + "".join(asked).encode("utf-8", "surrogateescape"))
            while len(answers_of(said)) < len(asked) and len(said) < _MAX_BYTES:
                part = auth.recv(65536)
                if not part:
                    break
                said += part
    except OSError as error:
        raise ServerError(f"Dovecot's auth does not answer: {error}") from None
    found = answers_of(said)
    return [found.get(number, Known(FAILED, {})) for number in range(1, len(questions) + 1)]


def answers_of(said: bytes) -> dict[int, Known]:
    """The answers in what the socket says, by the number of their question; an unfinished line is
    none."""
    found: dict[int, Known] = {}
    for line in said.decode("utf-8", "replace").split("\n")[:-1]:
        word, *rest = line.split("\t")
        if not rest or not (rest[0].isascii() and rest[0].isdigit()) or len(rest[0]) > 9:
            continue
        outcome = {"USER": FOUND, "PASS": FOUND, "NOTFOUND": NOT_FOUND, "FAIL": FAILED}.get(word)
        if outcome is not None:
            pairs = (field.partition("=") for field in rest[1:] if field)
            found[int(rest[0])] = Known(outcome, {name: _plain(value) for name, _, value in pairs})
    return found


def _plain(value: str) -> str:
    """A value without the escapes of tabs, line feeds and the like (Dovecot's strescape)."""
    first, *rest = value.split("\x01")
    return first + "".join(_ESCAPED.get(part[:1], part[:1]) + part[1:] for part in rest)
