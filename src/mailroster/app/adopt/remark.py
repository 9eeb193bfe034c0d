"""Remarks: what an administrator has to know or do before moving to mailroster."""

from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base.findings import and_more

#: An error: something is not served, or not safely, until it is fixed.
FIX = "fix"
#: Something is served, but behaves differently than in docker-mailserver.
DIFFERS = "differs"
#: A setting of docker-mailserver that is set in another place in mailroster.
OTHER_WAY = "other-way"
#: A feature of docker-mailserver that mailroster does not have.
MISSING = "not-supported"
#: Information; nothing needs to be done.
NOTE = "note"

#: The kinds in the order of the report.
KINDS = (FIX, DIFFERS, OTHER_WAY, MISSING, NOTE)

#: How many names of a list are shown.
_NAMED = 5


class Remark(NamedTuple):
    """One remark. `subject` is a file with its line, a folder or a variable; `hint` says what to
    do, "" for nothing."""

    kind: str
    subject: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}" + (f"; {self.hint}" if self.hint else "")


def named(words: Iterable[str]) -> str:
    """The first words, and the number of the others."""
    return and_more(list(words), _NAMED)
