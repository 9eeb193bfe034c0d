"""What somebody has to know who moves over."""

from collections.abc import Iterable
from typing import NamedTuple

#: Not served, or not safely, until it is fixed.
FIX = "fix"
#: Served, and behaves in another way than under docker-mailserver.
DIFFERS = "differs"
#: docker-mailserver sets it there; here it is set elsewhere.
OTHER_WAY = "other-way"
#: docker-mailserver does it; this does not.
MISSING = "not-supported"
#: Worth knowing, and nothing to do.
NOTE = "note"

#: In the order in which they are told.
KINDS = (FIX, DIFFERS, OTHER_WAY, MISSING, NOTE)

#: How many of many are named.
_NAMED = 5


class Remark(NamedTuple):
    """One thing: what it is about (a file with its line, a folder, a variable), what becomes of it,
    and what to do; "" for nothing."""

    kind: str
    subject: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}" + (f"; {self.hint}" if self.hint else "")


def named(words: Iterable[str]) -> str:
    """The first few of some words, and how many more there are."""
    words = list(words)
    more = len(words) - _NAMED
    first = ", ".join(words[:_NAMED])
    return f"{first} and {more} more" if more > 0 else first
