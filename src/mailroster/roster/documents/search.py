"""Searches in a document that is in memory: by key, by domain, by word and by mentioned address.

The first few searches look through the text, so that a command that needs one key of a large file
builds no index. Later searches use an index.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from mailroster.base.address import is_idna, split
from mailroster.roster.documents.format import LONG_CHARS, EntryReader

E = TypeVar("E")

#: From so many searches on, an index is quicker than searching the text.
_SEARCHES = 16
#: The user in the mention index under which all mentions of a domain are listed. No address has it.
_ANY_USER = " "


class KeyIndex:
    """The positions of the lines that claim each key."""

    __slots__ = ("duplicates", "first")

    def __init__(self) -> None:
        #: Key -> position of its first line, in the order of the file.
        self.first: dict[str, int] = {}
        #: Positions of all lines of the keys that have several.
        self.duplicates: dict[str, list[int]] = {}

    def add(self, key: str, position: int) -> None:
        first = self.first.setdefault(key, position)
        if first != position:
            self.duplicates.setdefault(key, [first]).append(position)

    def positions(self, key: str) -> list[int]:
        first = self.first.get(key)
        return [] if first is None else self.duplicates.get(key, [first])

    def claims(self) -> Iterator[tuple[str, int]]:
        """Every key with the position of each line that claims it; of one key, in their order."""
        for key, position in self.first.items():
            for each in self.duplicates.get(key, (position,)):
                yield key, each


class EntryTable(Generic[E]):
    """All lines of a document, each read once: which line counts for each key."""

    __slots__ = ("_irregular", "_lines", "_plain", "_reader", "counted", "index", "unreadable")

    def __init__(self, reader: EntryReader[E], lines: list[str]) -> None:
        reader.expect_many()
        self._reader, self._lines, self._plain = reader, lines, reader.format.plain()
        self._irregular: set[int] = set()  # positions of entries that are not of the plainest form
        #: Positions of the lines that claim a key and can't be read.
        self.unreadable: set[int] = set()
        self.index = self._read()
        #: Key -> position of the line that counts, in the order of the file.
        self.counted = self.index.first
        if self.unreadable:
            self.counted = {}
            for key, position in self.index.claims():
                if position not in self.unreadable:
                    self.counted.setdefault(key, position)

    def _read(self) -> KeyIndex:
        match = self._plain.match if self._plain is not None else lambda line: None
        key_of = self._reader.format.key
        index = KeyIndex()
        for position, line in enumerate(self._lines):
            if len(line) < LONG_CHARS and (plain := match(line)) is not None:
                index.add(plain[1], position)
            elif key := key_of(line):
                self._irregular.add(position)
                if self._reader.entry(line) is None:
                    self.unreadable.add(position)
                index.add(key, position)
        return index

    def entry_at(self, position: int) -> E:
        """The entry of a line that is not one of `unreadable`."""
        line = self._lines[position]
        if self._plain is None or position in self._irregular:
            return self._reader.parse(line)
        return self._plain.entry(line)


class Search(Generic[E]):
    """Finds lines of a document that is in memory. Positions are in the order of the file."""

    __slots__ = (
        "_folded",
        "_index",
        "_key_searches",
        "_lines",
        "_mention_index",
        "_mention_searches",
        "_reader",
        "_text",
    )

    def __init__(self, reader: EntryReader[E], text: str, lines: list[str]) -> None:
        self._reader, self._text, self._lines = reader, text, lines
        self._index: KeyIndex | None = None
        self._folded: tuple[str, list[int]] | None = None
        self._mention_index: MentionIndex | None = None
        self._key_searches = self._mention_searches = 0

    # -- by key

    def index(self) -> KeyIndex:
        if self._index is None:
            key_of = self._reader.format.key
            self._index = KeyIndex()
            for position, line in enumerate(self._lines):
                if key := key_of(line):
                    self._index.add(key, position)
        return self._index

    def use(self, index: KeyIndex) -> None:
        """Takes the index from an EntryTable of the same lines."""
        self._index = index

    def positions(self, key: str) -> list[int]:
        """The lines that claim a key.

        The text of an ordered file is not searched for its keys, since they keep their case.
        """
        format = self._reader.format
        searched = self._text.isascii() and not format.ordered
        if self._index is None and self._key_searches < _SEARCHES and searched:
            self._key_searches += 1
            return [at for at in self.naming(key) if format.key(self._lines[at]) == key]
        return self.index().positions(key)

    def keys_in(self, domain: str) -> Iterator[str]:
        """The keys in a domain, also of lines that do not count; a key may be repeated."""
        for position in self.naming("@" if is_idna(domain) else f"@{domain}"):
            key = self._reader.format.key(self._lines[position])
            if split(key)[1] == domain:
                yield key

    # -- by mentioned address

    def mentioning(self, user: str, domain: str) -> Sequence[int]:
        """The lines that may mention an address, or with an empty user anything in its domain."""
        if self._mention_index is None and self._mention_searches < _SEARCHES:
            self._mention_searches += 1
            needles = self._reader.format.needles(user, domain)
            return sorted({position for word in needles for position in self.naming(word)})
        if self._mention_index is None:
            self._mention_index = MentionIndex(self._reader, enumerate(self._lines))
        return self._mention_index.positions(user, domain)

    # -- by word

    def naming(self, word: str) -> Iterator[int]:
        """The lines that contain a lower-case word in any case."""
        folded, starts = self._folded_text()
        offset = folded.find(word)
        while offset >= 0:
            position = bisect_right(starts, offset) - 1
            yield position
            if position + 1 == len(starts):
                return
            offset = folded.find(word, starts[position + 1])

    def _folded_text(self) -> tuple[str, list[int]]:
        """The text in lower case, and the offset in it at which each logical line starts."""
        if self._folded is None:
            folded, lines = self._text.lower(), self._lines
            if len(folded) != len(self._text):  # a few letters grow
                lines = [line.lower() for line in lines]
                folded = "\n".join(lines)
            starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
            self._folded = folded, starts[:-1]
        return self._folded


class MentionIndex:
    """The positions of the lines that mention each address."""

    __slots__ = ("_positions",)

    def __init__(self, reader: EntryReader[E], lines: Iterable[tuple[int, str]]) -> None:
        self._positions: dict[tuple[str, str], list[int]] = {}
        for position, line in lines:
            entry = reader.readable(line)
            for user, domain in set(reader.format.mentions(entry)) if entry else ():
                self._positions.setdefault((user, domain), []).append(position)
                of_domain = self._positions.setdefault((_ANY_USER, domain), [])
                if of_domain[-1:] != [position]:
                    of_domain.append(position)

    def positions(self, user: str, domain: str) -> list[int]:
        """The lines that mention an address or its whole domain; with an empty user, all lines that
        mention the domain."""
        if not user:
            return self._positions.get((_ANY_USER, domain), [])
        keys = ((user, domain), ("", domain))
        return sorted({position for key in keys for position in self._positions.get(key, ())})
