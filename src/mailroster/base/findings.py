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
#: Worth knowing, and nothing that has to be mended.
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
    """One thing that is wrong with the folder: where, what, and how to mend it. Never a secret."""

    where: Location
    severity: str
    code: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.severity}: {self.what}; {self.mend} [{self.code}]"


#: What to do with a comment that stands behind an entry.
COMMENT_BEHIND = "put the comment on a line of its own"


class Fault(Exception):
    """One entry can't be read. Says what and how to mend it; whoever knows the line adds it."""

    def __init__(self, code: str, what: str, mend: str) -> None:
        if len(what) > _WHAT_MAX:
            what = f"{what[: _WHAT_MAX // 2]}…{what[-_WHAT_MAX // 2 :]}"
        super().__init__(f"{what}; {mend} [{code}]")
        self.code, self.what, self.mend = code, what, mend

    def again(self) -> Self:
        """The same fault, that was not raised yet."""
        return type(self)(self.code, self.what, self.mend)

    def at(self, where: Location) -> Finding:
        return Finding(where, ERROR, self.code, self.what, self.mend)


class NotUnderstood(Exception):
    """The command line makes no sense (exit 2)."""


class Refused(Exception):
    """The request can't be met as it is: it would break a rule, or what it names isn't there."""


class Conflict(Exception):
    """Somebody else wrote a file between our reading and our writing it."""


class Busy(Exception):
    """Not now: a lock is held, the disk is full, a table can't be written. Try again later."""


class ServiceFailed(Exception):
    """Postfix or Dovecot did not do what it was asked; carries the server's own words."""


def unreadable(file: str, why: str) -> Finding:
    """A file that can't be read, by the system's words."""
    what = f"the file can't be read ({why})"
    return Finding(Location(file), ERROR, "unreadable-file", what, "correct its owner or its mode")
