"""What the rules judge, and what several of them need."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from mailroster.base.findings import printable
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router

E = TypeVar("E")

#: How many of many are named.
_NAMED = 5
#: The longest text of a file that is shown, in characters.
_SHOWN = 100


class Subject(NamedTuple):
    """A roster with its router, and what only the system can tell of the folder."""

    router: Router
    #: Mailbox -> position of the rule of postfix-regexp.cf that takes its mail, as pcre finds it.
    captors: Mapping[str, int] = {}
    #: File -> permission bits, of the files that every user of the machine can read.
    modes: Mapping[str, int] = {}

    @property
    def roster(self) -> Roster:
        return self.router.roster

    def in_memory(self) -> "Subject":
        """The same with whole documents, as the rules want them: they look at every line."""
        return self._replace(router=self.router._replace(roster=self.roster.in_memory()))


def entries(document: Document[E]) -> Iterator[tuple[str, int, E]]:
    """Key, position and entry of all that count, in the order of the file."""
    for key, position in document.counted().items():
        entry = document.get(key)
        assert entry is not None, "it counts"
        yield key, position, entry


def shown(text: str) -> str:
    """A text of a file as a finding names it: printable, and not too long."""
    short = text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}…{text[-_SHOWN // 2 :]}"
    return printable(short)


def some(words: Iterable[str]) -> str:
    """The first few of some words, and how many more there are."""
    named = list(words)
    more = len(named) - _NAMED
    first = ", ".join(f"'{shown(word)}'" for word in named[:_NAMED])
    return f"{first} and {more} more" if more > 0 else first
