"""A file of entries as a value: lossless for any bytes, and keyed.

A document is its text, cut into *logical lines* by its format (Postfix tables continue a line on
leading blanks). Joined by line feeds they are the text again, to the byte: bytes that are not UTF-8
become surrogate escapes. Entries are read lazily, since a command needs one line of a file that may
have a million.

If a key has several lines, the first line that can be read counts. A *position* names a logical
line of one document; in another document it means nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import accumulate
from typing import Generic, TypeVar

from mailroster.base.address import split
from mailroster.base.findings import WARNING, Finding, Location, ParseError
from mailroster.roster.documents.format import EntryReader, Format, mentions
from mailroster.roster.documents.search import EntryTable, Search

E = TypeVar("E")

#: How many looked-up entries are kept.
_KNOWN = 4096
#: How much of a file is read to learn how its lines end.
NEWLINE_CHARS = 4096
#: The byte order mark, with which a file may begin.
MARK = "\ufeff"


class Document(Generic[E]):
    """One file of the config folder. `bytes(document)` is its content. Never changed in place.

    It has more methods than other classes, since everything reads the config files through it;
    searches and the table of all entries are classes of their own (`search.py`).
    """

    __slots__ = (
        "_domains",
        "_entries",
        "_known",
        "_lines",
        "_numbers",
        "_reader",
        "_search",
        "_text",
        "format",
    )

    def __init__(self, format: Format[E], text: str = "") -> None:
        self.format = format
        self._text = text
        self._reader = EntryReader(format)
        self._lines: list[str] | None = None
        self._search: Search[E] | None = None
        self._entries: EntryTable[E] | None = None
        self._known: dict[str, tuple[int, E] | None] = {}  # by key: entries that were looked up
        self._domains: set[str] | None = None
        self._numbers: list[int] | None = None  # of the logical lines; empty if each has one line

    @classmethod
    def from_bytes(cls, format: Format[E], raw: bytes) -> "Document[E]":
        return cls(format, raw.decode("utf-8", "surrogateescape"))

    def __bytes__(self) -> bytes:
        return self.text.encode("utf-8", "surrogateescape")

    @property
    def text(self) -> str:
        return self._text

    def same_as(self, other: "Document[E]") -> bool:
        """Whether two documents have the same bytes."""
        return self is other or self.text == other.text

    def is_empty(self) -> bool:
        return not self.text

    # -- lines

    @property
    def lines(self) -> list[str]:
        """Logical lines without their final line feed. Do not change the list."""
        if self._lines is None:
            self._lines = self.format.split(self.text)
        return self._lines

    def line(self, position: int) -> str:
        """The logical line at a position, without its final line feed."""
        return self.lines[position]

    def above(self, position: int) -> int | None:
        """The position of the logical line above another, or None."""
        return position - 1 if position else None

    def below(self, position: int) -> int | None:
        """The position of the logical line below another, or None."""
        return position + 1 if position + 1 < len(self.lines) else None

    def holding(self, word: str) -> list[int]:
        """The positions of the lines that contain an ASCII word, in the order of the file."""
        return [at for at, line in enumerate(self.lines) if word in line] if self.has(word) else []

    def naming(self, word: str) -> Iterator[int]:
        """The positions of the lines that contain a lower-case word in any case, in the order of
        the file."""
        return self._searched().naming(word)

    def has(self, word: str) -> bool:
        """Whether the file contains an ASCII word."""
        return word in self.text

    def unfinished(self) -> int | None:
        """The position of the last line if it lacks its line feed."""
        return len(self.lines) - 1 if self.text and not self.text.endswith("\n") else None

    def number(self, position: int) -> int:
        """The 1-based line number in the file of the logical line at a position."""
        if self._numbers is None:
            continued = any("\n" in line for line in self.lines)
            heights = (1 + line.count("\n") for line in self.lines)
            self._numbers = list(accumulate(heights, initial=1)) if continued else []
        return self._numbers[position] if self._numbers else 1 + position

    def location(self, position: int | None) -> Location:
        return Location(self.format.file, 0 if position is None else self.number(position))

    # -- keys

    def _searched(self) -> Search[E]:
        if self._search is None:
            self._search = Search(self._reader, self.text, self.lines)
        return self._search

    @property
    def index(self) -> Mapping[str, int]:
        """Key -> position of the first line that claims it, in the order of the file."""
        return self._searched().index().first

    def _read_all(self) -> EntryTable[E]:
        if self._entries is None:
            self._entries = EntryTable(self._reader, self.lines)
            self._searched().use(self._entries.index)
        return self._entries

    def counted(self) -> Mapping[str, int]:
        """Key -> position of the line that counts, in the order of the file. Reads all lines; every
        lookup after that is quick."""
        return self._read_all().counted

    def unreadable(self) -> Collection[int]:
        """The positions of the lines that claim a key and can't be read."""
        return self._read_all().unreadable

    def entry_at(self, position: int) -> E:
        """The entry of a line that is not one of `unreadable`."""
        return self._read_all().entry_at(position)

    def claims(self) -> Iterator[tuple[str, int]]:
        """Every key with the position of each line that claims it; of one key, in their order."""
        return self._searched().index().claims()

    def size_hint(self) -> int:
        """About how many entries the file has."""
        return len(self.index)

    def get(self, key: str) -> E | None:
        """The entry that counts for a key, or None."""
        if self._entries is not None:
            position = self._entries.counted.get(key)
            return None if position is None else self._entries.entry_at(position)
        known = self._lookup(key)
        return None if known is None else known[1]

    def position(self, key: str) -> int | None:
        """The position of the entry that counts for a key, or None."""
        if self._entries is not None:
            return self._entries.counted.get(key)
        known = self._lookup(key)
        return None if known is None else known[0]

    def __contains__(self, key: str) -> bool:
        return self.position(key) is not None

    def _lookup(self, key: str) -> tuple[int, E] | None:
        """The position and the entry that count for a key."""
        if key not in self._known:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[key] = self._first_readable(self.positions(key))
        return self._known[key]

    def _first_readable(self, positions: Iterable[int]) -> tuple[int, E] | None:
        for position in positions:
            if (entry := self._reader.entry(self.line(position))) is not None:
                return position, entry
        return None

    def keys(self) -> Iterable[str]:
        """The key of every entry that counts, in the order of the file."""
        return self.counted()

    def items(self) -> Iterator[tuple[str, E]]:
        """Every entry that counts, with its key, in the order of the file."""
        for key, position in self.counted().items():
            yield key, self.entry_at(position)

    def positions(self, key: str) -> list[int]:
        """The positions of all lines that claim a key, in the order of the file."""
        return self._searched().positions(key)

    def names_domain(self, domain: str) -> bool:
        """Whether the key of an entry that counts is in a domain."""
        if self._entries is not None:
            return domain in self.domains()
        return any(key in self for key in self._keys_in(domain))

    def domains(self) -> Set[str]:
        """The domains of all keys that count; "" if there are bare names."""
        if self._domains is None:
            self._domains = {split(key)[1] for key in self.counted()}
        return self._domains

    def keys_in(self, domain: str) -> Iterable[str]:
        """The keys in a domain, also of lines that do not count; each once."""
        return dict.fromkeys(self._keys_in(domain))

    def _keys_in(self, domain: str) -> Iterator[str]:
        return self._searched().keys_in(domain)

    # -- mentions

    def mentioning(self, user: str, domain: str) -> Iterator[tuple[str, E]]:
        """Every entry that counts and may lead to an address, with its key: it mentions the address
        or its whole domain. With an empty user: every entry that leads to anything in the domain.
        """
        for position, key, entry in self._mentioning(user, domain):
            if self.position(key) == position:
                yield key, entry

    def keys_mentioning(self, user: str, domain: str) -> list[str]:
        """The keys of the same entries and of duplicates, which do not count."""
        return list(dict.fromkeys(key for _, key, _ in self._mentioning(user, domain)))

    def _mentioning(self, user: str, domain: str) -> Iterator[tuple[int, str, E]]:
        for position in self._positions_mentioning(user, domain):
            line = self.line(position)
            if (entry := self.readable(line)) and mentions(self.format, entry, user, domain):
                yield position, self.format.key(line), entry

    def _positions_mentioning(self, user: str, domain: str) -> Sequence[int]:
        return self._searched().mentioning(user, domain)

    def readable(self, line: str) -> E | None:
        """The entry of a line, or None if it has no entry that can be read."""
        return self._reader.readable(line)

    # -- findings

    def faulty(self) -> int:
        """The number of lines that claim a key and can't be read."""
        return len(self.unreadable())

    def findings(self) -> list[Finding]:
        """Everything that is wrong with this file alone, in the order of its lines."""
        table = self._read_all()
        findings: list[Finding] = []
        for position in table.unreadable:
            try:
                self._reader.parse(self.lines[position])
            except ParseError as error:
                findings.append(error.at(self.location(position)))
        duplicates = {} if self.format.ordered else table.index.duplicates
        for key, positions in duplicates.items():
            readable = [each for each in positions if each not in table.unreadable]
            for position in readable[1:]:
                message = f"{key!r} is a duplicate and is ignored"
                line = self.number(readable[0])
                hint = f"remove this line or the one that counts, line {line}"
                where = self.location(position)
                findings.append(Finding(where, WARNING, "duplicate-entry", message, hint))
        findings.extend(self.format.faults(self))
        return sorted(findings, key=lambda finding: finding.where)

    # -- edits: each returns a new document; no other byte changes

    def has_mark(self) -> bool:
        """Whether the file begins with a byte order mark."""
        return self.text.startswith(MARK)

    def edited(
        self, replaced: Mapping[int, str | None], appended: Sequence[str] = ()
    ) -> "Document[E]":
        """Replaces the logical lines at some positions (None: removes the line), and appends lines
        at the end.

        A byte order mark stays. A replaced line keeps its carriage return. If the last line lacks
        its line feed, it gets one before lines are appended.
        """
        text = self.text
        if replaced:
            lines = []
            for position, line in enumerate(self.lines):
                new = replaced.get(position, line)
                if new is not None:
                    lines.append(line if position not in replaced else new + carriage_return(line))
            if replaced.get(len(self.lines) - 1, "") is None and lines:
                lines.append("")  # the line before keeps its line feed
            text = "\n".join(lines)
            if self.has_mark() and not text.startswith(MARK):
                text = MARK + text
        if appended:
            end = self.newline()
            start = text if not text or text.endswith("\n") else text + end
            text = start + "".join(f"{line}{end}" for line in appended)
        return Document(self.format, text)

    def replace(self, position: int, line: str) -> "Document[E]":
        """Replaces the logical line at a position."""
        return self.edited({position: line})

    def append(self, line: str) -> "Document[E]":
        """Appends one line at the end."""
        return self.edited({}, [line])

    def remove(self, positions: Iterable[int]) -> "Document[E]":
        """Removes some logical lines."""
        return self.edited(dict.fromkeys(positions))

    def newline(self) -> str:
        """How the file ends its lines."""
        return newline(self.text)


def newline(text: str) -> str:
    """How a text ends its lines, judged by its beginning."""
    return "\r\n" if "\r\n" in text[:NEWLINE_CHARS] else "\n"


def carriage_return(line: str) -> str:
    return "\r" if line.endswith("\r") else ""
