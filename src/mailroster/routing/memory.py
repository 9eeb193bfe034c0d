"""What a router has worked out already, for callers that ask about every address of a roster."""

from typing import NamedTuple

from mailroster.base.findings import ParseError
from mailroster.roster.roster import Roster

#: The most lookups for all aliases together: this many, and a few for each alias. Aliases that
#: don't lead to one another need no more.
_ALL_MAX, _EACH_MAX = 1_000_000, 10


class Walk(NamedTuple):
    """An address followed to its end: the recipients, the number of aliases behind the first one,
    and the number of lookups."""

    recipients: list[str]
    nesting: int
    lookups: int


class Memory:
    """The results of `Router.expand`, and the lookups made so far.

    `lookups_max`: after this many lookups `expand` gives up and raises NotFollowed. Without it the
    limit is _ALL_MAX, and _EACH_MAX for each alias of the roster.
    """

    def __init__(self, roster: Roster, lookups_max: int | None = None) -> None:
        self.lookups, self._lookups_max, self._roster = 0, lookups_max, roster
        #: By address: its recipients, or why it has none.
        self.results: dict[str, list[str] | ParseError] = {}
        #: By address: the number of aliases with one recipient each that follow one another, and
        #: the address behind the last one.
        self.chains: dict[str, tuple[int, str]] = {}
        #: By address: the walk to its end.
        self.walks: dict[str, Walk] = {}

    def is_exhausted(self) -> bool:
        if self._lookups_max is None:
            if self.lookups <= _ALL_MAX:
                return False  # counting the aliases of a large file takes a while
            aliases = sum(len(document.index) for document in self._roster.aliases())
            self._lookups_max = _ALL_MAX + _EACH_MAX * aliases
        return self.lookups > self._lookups_max
