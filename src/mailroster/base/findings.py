"""Findings in the config files, and the errors that end a command.

A finding is a value: all findings are collected before a command stops. Exceptions end a command
and are named by whose fault it is; only `cli` and `daemons` turn them into text and exit codes.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

#: The longest message in characters: a line of a damaged file may have any length.
_MESSAGE_MAX = 200

ERROR = "error"
WARNING = "warning"
#: Worth knowing; nothing to fix.
INFO = "info"


def printable(text: str) -> str:
    """A text that is safe to show: characters that a terminal should not get are escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def and_more(words: Sequence[str], most: int, separator: str = ", ") -> str:
    """The first `most` words, and the number of the others: `a, b and 3 more`."""
    first = separator.join(words[:most])
    return f"{first} and {len(words) - most} more" if len(words) > most else first


class Location(NamedTuple):
    """A line of a file of the config folder; 1-based, 0 = the whole file."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Finding(NamedTuple):
    """One fault of the config folder: where, what, and how to fix it. It never contains a
    secret."""

    where: Location
    severity: str
    code: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.where}: {self.severity}: {self.message}; {self.hint} [{self.code}]"


#: The hint for a comment behind an entry, on the same line.
COMMENT_BEHIND = "put the comment on a line of its own"


class ParseError(Exception):
    """One entry can't be read: what is wrong, and how to fix it. The caller adds the line."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        if len(message) > _MESSAGE_MAX:
            message = f"{message[: _MESSAGE_MAX // 2]}…{message[-_MESSAGE_MAX // 2 :]}"
        super().__init__(f"{message}; {hint} [{code}]")
        self.code, self.message, self.hint = code, message, hint

    def again(self) -> Self:
        """A copy of this error, to be raised again."""
        return type(self)(self.code, self.message, self.hint)

    def at(self, where: Location) -> Finding:
        return Finding(where, ERROR, self.code, self.message, self.hint)


class UsageError(Exception):
    """The command line is not valid (exit 2)."""


class Refused(Exception):
    """The request can't be done: it would break a rule, or names something that does not exist."""


class Conflict(Exception):
    """Another program changed a file between our read and our write."""


class TryAgain(Exception):
    """Not now: a lock is held, the disk is full, a table can't be written. Try again later."""


class ServerError(Exception):
    """Postfix or Dovecot failed; with the message of the server."""


def unreadable(file: str, why: str) -> Finding:
    """The finding for a file that can't be read. `why` is the message of the system."""
    message = f"the file can't be read ({why})"
    return Finding(
        Location(file), ERROR, "unreadable-file", message, "correct its owner or its mode"
    )
