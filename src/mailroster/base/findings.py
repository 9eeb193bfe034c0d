"""What was found in the files, and the errors that end a command.

A finding is a value: all of them are collected before anything stops. The exceptions are for when
we can't go on, and are named by whose fault it is; only the faces turn them into text and exit
codes.
"""

from typing import NamedTuple, Self

#: The longest description in characters: a line of a damaged file may be of any length.
_WHAT_MAX = 200

ERROR = "error"
WARNING = "warning"
#: Worth knowing, and nothing that has to be fixed.
INFO = "info"


def printable(text: str) -> str:
    """A text as it may be shown: escapes for what no terminal should get."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class Location(NamedTuple):
    """A line of a file of the config folder; 1-based, 0 = the whole file."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Finding(NamedTuple):
    """One thing that is wrong with the folder: where, what, and how to fix it. Never a secret."""

    where: Location
    severity: str
    code: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.where}: {self.severity}: {self.message}; {self.hint} [{self.code}]"


#: What to do with a comment that stands behind an entry.
COMMENT_BEHIND = "put the comment on a line of its own"


class ParseError(Exception):
    """One entry can't be read. Says what and how to fix it; whoever knows the line adds it."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        if len(message) > _WHAT_MAX:
            message = f"{message[: _WHAT_MAX // 2]}…{message[-_WHAT_MAX // 2 :]}"
        super().__init__(f"{message}; {hint} [{code}]")
        self.code, self.message, self.hint = code, message, hint

    def again(self) -> Self:
        """The same fault, that was not raised yet."""
        return type(self)(self.code, self.message, self.hint)

    def at(self, where: Location) -> Finding:
        return Finding(where, ERROR, self.code, self.message, self.hint)


class UsageError(Exception):
    """The command line makes no sense (exit 2)."""


class Refused(Exception):
    """The request can't be met as it is: it would break a rule, or what it names isn't there."""


class Conflict(Exception):
    """Somebody else wrote a file between our reading and our writing it."""


class TryAgain(Exception):
    """Not now: a lock is held, the disk is full, a table can't be written. Try again later."""


class ServerError(Exception):
    """Postfix or Dovecot did not do what it was asked; carries the server's own words."""


def unreadable(file: str, why: str) -> Finding:
    """A file that can't be read, by the system's words."""
    message = f"the file can't be read ({why})"
    return Finding(
        Location(file), ERROR, "unreadable-file", message, "correct its owner or its mode"
    )
