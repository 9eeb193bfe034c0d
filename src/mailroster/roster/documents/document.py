"""A file of entries as a value: lossless for any bytes, and keyed.

A document is its text, cut into *logical lines* by its format (Postfix tables continue a line on
leading blanks). Joined by line feeds they are the text again, to the byte: bytes that are not UTF-8
travel as surrogate escapes. Entries are read only when they are asked for, since a command looks at
one line of a file that may have a million.

Where a key stands twice, the first line that can be read counts. A *position* names a logical line
of one document: it is good for that document only.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import accumulate
from typing import TYPE_CHECKING, Generic, TypeVar

from mailroster.base.address import is_idna, split
from mailroster.base.findings import WARNING, Finding, Location, ParseError

if TYPE_CHECKING:
    from re import Match

E = TypeVar("E")

#: From this many questions on, an index is quicker than searching the text.
_SEARCHES = 16
#: How many entries are kept that have been asked for.
_KNOWN = 4096
#: The entry of a line with so many characters is kept once it was read: to read it takes longer
#: than any lookup, and a million aliases may lead to it.
_LONG_CHARS = 1 << 14
#: How much of a file tells how its lines end.
NEWLINE_CHARS = 4096
#: The byte order mark, which a file may begin with.
MARK = "\ufeff"
#: A user that no address has.
_ANYBODY = " "


class Format(Generic[E]):
    """How one file is read: its logical lines, the key and the entry of each.

    `key` must be quick and must agree with `parse`; it gives "" for what is no entry (empty lines,
    comments), and never fails. `parse` raises ParseError.
    """

    file: str
    #: Created with mode 0600.
    secret = False
    #: The order of entries carries meaning and keys don't: the file counts as a whole.
    ordered = False
    #: A physical line that starts with a blank continues the one before.
    continued = False

    def split(self, text: str) -> list[str]:
        """Logical lines; "\\n".join() of them is the text."""
        return text.split("\n")

    def key(self, line: str) -> str:
        raise NotImplementedError

    def parse(self, line: str) -> E:
        raise NotImplementedError

    def plain(self) -> "Plain[E] | None":
        """Reads lines of the plainest form, in a fifth of the time of `parse`. None: there is no
        such form. It may take a while to be made."""
        return None

    def quick(self) -> Callable[[str], E]:
        """The same as `parse`, for who has many lines."""
        plain = self.plain()
        if plain is None:
            return self.parse
        match, entry, parse = plain.match, plain.entry, self.parse
        return lambda line: entry(line) if match(line) else parse(line)

    def mentions(self, entry: E) -> Iterable[tuple[str, str]]:
        """The addresses that an entry leads to, as (user without extension, domain); the user of a
        whole domain, and the domain of a bare name, are empty."""
        return ()

    def needles(self, user: str, domain: str) -> Sequence[str]:
        """Of these a line holds one, in any case, if it mentions an address."""
        return ()

    def hidden(self, line: str) -> str:
        """A physical line as it may be shown: `…` for what may be a secret."""
        return line

    def faults(self, document: "Document[E]") -> Iterator[Finding]:
        """What is wrong with the file as a whole, beyond its single entries."""
        return iter(())


class Plain(Generic[E]):
    """`match` matches a line of the plainest form, with its key as the first group. `entry` gives
    the entry of such a line, without any check."""

    def __init__(
        self, match: "Callable[[str], Match[str] | None]", entry: Callable[[str], E]
    ) -> None:
        self.match, self.entry = match, entry


class Document(Generic[E]):
    """One file of the folder. `bytes(document)` is what stands in it. Never changed in place."""

    __slots__ = (
        "_counted",
        "_domains",
        "_folded",
        "_index",
        "_known",
        "_lines",
        "_long",
        "_mentioned",
        "_mentions_asked",
        "_more",
        "_numbers",
        "_odd",
        "_parse",
        "_plain",
        "_searches",
        "_text",
        "_unreadable",
        "format",
    )

    def __init__(self, format: Format[E], text: str = "") -> None:
        self.format = format
        self._text = text
        self._lines: list[str] | None = None
        self._index: dict[str, int] | None = None
        self._more: dict[str, list[int]] = {}  # of keys that stand more than once
        self._folded: tuple[str, list[int]] | None = None
        self._known: dict[str, tuple[int, E] | None] = {}  # what has been asked for
        self._long: dict[str, E] = {}  # by line: entries of long ones
        self._searches = 0
        self._counted: Mapping[str, int] | None = None
        self._domains: set[str] | None = None
        self._mentions_asked = 0
        self._mentioned: dict[tuple[str, str], list[int]] | None = None
        self._parse: Callable[[str], E] = format.parse
        self._plain: Plain[E] | None = None
        self._odd: set[int] = set()  # positions of the lines that are not of the plainest form
        self._unreadable: set[int] = set()
        self._numbers: list[int] | None = None  # of the logical lines; none if each has one line

    @classmethod
    def from_bytes(cls, format: Format[E], raw: bytes) -> "Document[E]":
        return cls(format, raw.decode("utf-8", "surrogateescape"))

    def __bytes__(self) -> bytes:
        return self.text.encode("utf-8", "surrogateescape")

    @property
    def text(self) -> str:
        return self._text

    def same_as(self, other: "Document[E]") -> bool:
        """Whether two documents are of the same bytes."""
        return self is other or self.text == other.text

    def is_empty(self) -> bool:
        return not self.text

    # -- lines

    @property
    def lines(self) -> list[str]:
        """Logical lines without their final line feed; not to be changed."""
        if self._lines is None:
            self._lines = self.format.split(self.text)
        return self._lines

    def line(self, position: int) -> str:
        """The logical line at a position, without its final line feed."""
        return self.lines[position]

    def above(self, position: int) -> int | None:
        """The position of the logical line above another, if there is one."""
        return position - 1 if position else None

    def below(self, position: int) -> int | None:
        """The position of the logical line below another, if there is one."""
        return position + 1 if position + 1 < len(self.lines) else None

    def holding(self, word: str) -> list[int]:
        """Where each line stands that holds an ASCII word, in the order of the file."""
        return [at for at, line in enumerate(self.lines) if word in line] if self.has(word) else []

    def naming(self, word: str) -> Iterator[int]:
        """Where each line stands that holds a lower-case word in any case, in the order of the
        file."""
        return self._positions_of(word)

    def has(self, word: str) -> bool:
        """Whether an ASCII word stands anywhere in the file."""
        return word in self.text

    def unfinished(self) -> int | None:
        """The position of a last line that lacks its line feed, if there is one."""
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

    @property
    def index(self) -> Mapping[str, int]:
        """Key -> position of the first line that claims it, in the order of the file."""
        if self._index is None:
            key_of = self.format.key
            index: dict[str, int] = {}
            for position, line in enumerate(self.lines):
                key = key_of(line)
                if key and index.setdefault(key, position) != position:
                    self._more.setdefault(key, [index[key]]).append(position)
            self._index = index
        return self._index

    def counted(self) -> Mapping[str, int]:
        """Key -> position of the line that counts, in the order of the file. From then on it is
        quick to ask for one key after the other."""
        if self._counted is None:
            self._counted = self._read_all()
        return self._counted

    def _read_all(self) -> Mapping[str, int]:
        """As `counted`, and makes the index: each line is read once."""
        self._parse, self._plain = self.format.quick(), self.format.plain()
        match = self._plain.match if self._plain is not None else lambda line: None
        key_of = self.format.key
        index: dict[str, int] = {}
        more: dict[str, list[int]] = {}
        for position, line in enumerate(self.lines):
            if len(line) < _LONG_CHARS and (found := match(line)) is not None:
                key = found[1]
            elif key := key_of(line):
                self._odd.add(position)
                if self._read(line) is None:
                    self._unreadable.add(position)
            else:
                continue
            if index.setdefault(key, position) != position:
                more.setdefault(key, [index[key]]).append(position)
        self._index, self._more = index, more
        if not self._unreadable:
            return index
        claims = ((key, at) for key, at in self.claims() if at not in self._unreadable)
        counted: dict[str, int] = {}
        for key, position in claims:
            counted.setdefault(key, position)
        return counted

    def unreadable(self) -> Collection[int]:
        """The positions of the lines that claim a key and can't be read."""
        self.counted()
        return self._unreadable

    def entry_at(self, position: int) -> E:
        """The entry of a line that is not one of `unreadable`."""
        line = self.lines[position]
        if self._plain is None or position in self._odd:
            return self._parsed(line)
        return self._plain.entry(line)

    def claims(self) -> Iterator[tuple[str, int]]:
        """Every key with the position of each line that claims it; of one key, in their order."""
        for key, position in self.index.items():
            for place in self._more.get(key, (position,)):
                yield key, place

    def _read(self, line: str) -> E | None:
        try:
            return self._parsed(line)
        except ParseError:
            return None

    def _parsed(self, line: str) -> E:
        """The entry of a line. Raises ParseError."""
        if len(line) < _LONG_CHARS:
            return self._parse(line)
        entry = self._long.get(line)
        if entry is None:
            entry = self._long[line] = self._parse(line)
        return entry

    def size_hint(self) -> int:
        """About how many entries there are."""
        return len(self.index)

    def get(self, key: str) -> E | None:
        """The entry that counts for a key, or None."""
        if self._counted is not None:
            place = self._counted.get(key)
            return None if place is None else self.entry_at(place)
        found = self._counting(key)
        return None if found is None else found[1]

    def position(self, key: str) -> int | None:
        """Where the entry stands that counts for a key."""
        if self._counted is not None:
            return self._counted.get(key)
        found = self._counting(key)
        return None if found is None else found[0]

    def __contains__(self, key: str) -> bool:
        if self._counted is not None:
            return key in self._counted
        return self.position(key) is not None

    def _counting(self, key: str) -> tuple[int, E] | None:
        if key not in self._known:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[key] = self._find(key)
        return self._known[key]

    def _find(self, key: str) -> tuple[int, E] | None:
        for position in self.positions(key):
            if (entry := self._read(self.line(position))) is not None:
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
        """Where every line stands that claims a key, in the order of the file.

        The first few of them are searched for in the text: a command that asks for one key of a
        large file needs no index of it. The keys of an ordered file can't be: they keep their case.
        """
        searched = self.text.isascii() and not self.format.ordered
        if self._index is None and self._searches < _SEARCHES and searched:
            self._searches += 1
            key_of, lines = self.format.key, self.lines
            return [place for place in self._positions_of(key) if key_of(lines[place]) == key]
        position = self.index.get(key)
        return [] if position is None else self._more.get(key, [position])

    def names_domain(self, domain: str) -> bool:
        """Whether the key of an entry that counts is in a domain."""
        if self._counted is not None:
            return domain in self.domains()
        return any(self.position(key) is not None for key in self._keys_in(domain))

    def domains(self) -> Set[str]:
        """The domains of all keys that count; "" if there are bare names."""
        if self._domains is None:
            self._domains = {split(key)[1] for key in self.counted()}
        return self._domains

    def keys_in(self, domain: str) -> Iterable[str]:
        """The keys in a domain, also of lines that do not count; each once."""
        return dict.fromkeys(self._keys_in(domain))

    def _keys_in(self, domain: str) -> Iterator[str]:
        word = "@" if is_idna(domain) else f"@{domain}"
        for position in self._positions_of(word):
            key = self.format.key(self.lines[position])
            if split(key)[1] == domain:
                yield key

    # -- mentions

    def mentioning(self, user: str, domain: str) -> Iterator[tuple[str, E]]:
        """Every entry that counts and may lead to an address, with its key: one that mentions it,
        or its whole domain; with an empty user, anything in the domain."""
        for position, key, entry in self._mentioning(user, domain):
            if self.position(key) == position:
                yield key, entry

    def keys_mentioning(self, user: str, domain: str) -> list[str]:
        """The same, but also the keys of lines that do not count since theirs stands twice."""
        return list(dict.fromkeys(key for _, key, _ in self._mentioning(user, domain)))

    def _mentioning(self, user: str, domain: str) -> Iterator[tuple[int, str, E]]:
        for position in self._positions_mentioning(user, domain):
            line = self.line(position)
            if (entry := self.readable(line)) and mentions(self.format, entry, user, domain):
                yield position, self.format.key(line), entry

    def _positions_mentioning(self, user: str, domain: str) -> list[int]:
        if self._mentioned is None and self._mentions_asked < _SEARCHES:
            self._mentions_asked += 1
            needles = self.format.needles(user, domain)
            return sorted({place for word in needles for place in self._positions_of(word)})
        return self._mentioned_at(user, domain)

    def _mentioned_at(self, user: str, domain: str) -> list[int]:
        """The same by an index, of the lines that are in memory."""
        if self._mentioned is None:
            self._mentioned = self._mention_index(enumerate(self.lines))
        if not user:
            return self._mentioned.get((_ANYBODY, domain), [])
        found = self._mentioned
        return sorted({*found.get((user, domain), ()), *found.get(("", domain), ())})

    def _mention_index(self, lines: Iterable[tuple[int, str]]) -> dict[tuple[str, str], list[int]]:
        """Who is mentioned -> positions; _ANYBODY of a domain wherever one of it is."""
        index: dict[tuple[str, str], list[int]] = {}
        for position, line in lines:
            entry = self.readable(line)
            for user, domain in set(self.format.mentions(entry)) if entry else ():
                index.setdefault((user, domain), []).append(position)
                places = index.setdefault((_ANYBODY, domain), [])
                if places[-1:] != [position]:
                    places.append(position)
        return index

    def readable(self, line: str) -> E | None:
        """The entry of a line, or None if it has none that can be read."""
        return self._read(line) if self.format.key(line) else None

    def _positions_of(self, word: str) -> Iterator[int]:
        """Where each line stands that holds a lower-case word."""
        folded, starts = self._folded_text()
        place = folded.find(word)
        while place >= 0:
            position = bisect_right(starts, place) - 1
            yield position
            if position + 1 == len(starts):
                return
            place = folded.find(word, starts[position + 1])

    def _folded_text(self) -> tuple[str, list[int]]:
        """The text in lower case, and where in it each logical line starts."""
        if self._folded is None:
            folded, lines = self.text.lower(), self.lines
            if len(folded) != len(self.text):  # a few letters grow
                lines = [line.lower() for line in lines]
                folded = "\n".join(lines)
            starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
            self._folded = folded, starts[:-1]
        return self._folded

    # -- findings

    def faulty(self) -> int:
        """How many lines there are that claim a key and can't be read."""
        return len(self.unreadable())

    def _faults(self, lines: Iterable[str]) -> int:
        return sum(1 for line in lines if self.format.key(line) and not self.readable(line))

    def findings(self) -> list[Finding]:
        """Everything that is wrong with the file by itself, in the order of its lines."""
        found: list[Finding] = []
        unreadable = self.unreadable()
        for position in unreadable:
            try:
                self._parsed(self.lines[position])
            except ParseError as fault:
                found.append(fault.at(self.location(position)))
        for key, positions in self._more.items():
            counted = None
            for position in positions:
                if position in unreadable:
                    continue
                if counted is None or self.format.ordered:
                    counted = position
                    continue
                message = f"{key!r} is a duplicate and is ignored"
                hint = f"remove this line or the one that counts, line {self.number(counted)}"
                where = self.location(position)
                found.append(Finding(where, WARNING, "duplicate-entry", message, hint))
        found.extend(self.format.faults(self))
        return sorted(found, key=lambda finding: finding.where)

    # -- edits: each gives a new document; no other byte changes

    def has_mark(self) -> bool:
        """Whether it begins with a byte order mark."""
        return self.text.startswith(MARK)

    def edited(
        self, replaced: Mapping[int, str | None], appended: Sequence[str] = ()
    ) -> "Document[E]":
        """The same with other logical lines at some positions (None: without that line), and with
        some more at the end.

        A byte order mark stays. A line that is replaced keeps its carriage return; a missing final
        newline is completed before what is appended.
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
        """The same with another logical line at a position."""
        return self.edited({position: line})

    def append(self, line: str) -> "Document[E]":
        """The same with one more line at the end."""
        return self.edited({}, [line])

    def remove(self, positions: Iterable[int]) -> "Document[E]":
        """The same without some logical lines."""
        return self.edited(dict.fromkeys(positions))

    def newline(self) -> str:
        """How the file ends its lines."""
        return newline(self.text)


def newline(text: str) -> str:
    """How a text ends its lines, as far as its beginning tells."""
    return "\r\n" if "\r\n" in text[:NEWLINE_CHARS] else "\n"


def carriage_return(line: str) -> str:
    return "\r" if line.endswith("\r") else ""


def mentions(format: Format[E], entry: E, user: str, domain: str) -> bool:
    """Whether an entry may lead to an address, or with an empty user to anything in its domain."""
    return any(
        there == domain and (not user or not local or local == user)
        for local, there in format.mentions(entry)
    )
