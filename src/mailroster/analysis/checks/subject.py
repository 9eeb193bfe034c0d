"""The value that the rules of `check` judge, and functions that several of them use."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from mailroster.base.findings import and_more, printable
from mailroster.roster.documents.document import Document
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router

E = TypeVar("E")

#: The most words that a finding names.
_NAMED = 5
#: The longest excerpt of a file in a finding, in characters.
_SHOWN = 100


class Subject(NamedTuple):
    """A roster with its router, and facts about the folder that only the system knows."""

    router: Router
    #: Mailbox -> position of the rule of postfix-regexp.cf that matches it, according to pcre.
    captors: Mapping[str, int] = {}
    #: File -> permission bits, of the files that every user of the machine can read.
    modes: Mapping[str, int] = {}

    @property
    def roster(self) -> Roster:
        return self.router.roster

    def in_memory(self) -> "Subject":
        """The same with whole documents, since the rules read every line."""
        return self._replace(router=self.router._replace(roster=self.roster.in_memory()))


def entries(document: Document[E]) -> Iterator[tuple[str, int, E]]:
    """Key, position and value of every entry that counts, in the order of the file."""
    for key, position in document.counted().items():
        entry = document.get(key)
        assert entry is not None, "it counts"
        yield key, position, entry


def excerpt(text: str) -> str:
    """A text of a file for a message: printable, and not too long."""
    short = text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}…{text[-_SHOWN // 2 :]}"
    return printable(short)


def first_few(words: Iterable[str]) -> str:
    """The first words as excerpts in quotes, and the number of the others."""
    words = list(words)
    words[:_NAMED] = [f"'{excerpt(word)}'" for word in words[:_NAMED]]
    return and_more(words, _NAMED)
