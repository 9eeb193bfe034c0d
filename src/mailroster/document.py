"""A file of entries as a value: lossless for any bytes, and keyed.

A document is its text, cut into *logical lines* by its format (Postfix tables continue a line on
leading blanks). Joined by line feeds they are the text again, to the byte: bytes that are not UTF-8
travel as surrogate escapes. Entries are read only when they are asked for, since a command looks at
one line of a file that may have a million.

Where a key stands twice, the first line that can be read counts.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from mailroster.finding import WARNING, Fault, Finding, Location

E = TypeVar("E")

#: From this many questions on, an index is quicker than searching the text.
_SEARCHES = 16


class Format(Generic[E]):
    """How one file is read: its logical lines, the key and the entry of each.

    `key` must be quick and must agree with `parse`; it gives "" for what is no entry (empty lines,
    comments), and never fails. `parse` raises Fault.
    """

    file: str
    #: Created with mode 0600.
    secret = False
    #: The order of entries carries meaning and keys don't: the file counts as a whole.
    ordered = False

    def split(self, text: str) -> list[str]:
        """Logical lines; "\\n".join() of them is the text."""
        return text.split("\n")

    def key(self, line: str) -> str:
        raise NotImplementedError

    def parse(self, line: str) -> E:
        raise NotImplementedError

    def faults(self, document: "Document[E]") -> Iterator[Finding]:
        """What is wrong with the file as a whole, beyond its single entries."""
        return iter(())


class Document(Generic[E]):
    """One file of the folder. `bytes(document)` is what stands in it. Never changed in place."""

    __slots__ = (
        "_continued",
        "_folded",
        "_index",
        "_known",
        "_lines",
        "_searches",
        "format",
        "text",
    )

    def __init__(self, format: Format[E], text: str = "") -> None:
        self.format = format
        self.text = text
        self._lines: list[str] | None = None
        self._index: dict[str, list[int]] | None = None
        self._folded: tuple[str, list[int]] | None = None
        self._known: dict[str, tuple[int, E] | None] = {}  # what has been asked for
        self._searches = 0
        self._continued: bool | None = None  # whether any logical line has more than one

    @classmethod
    def from_bytes(cls, format: Format[E], raw: bytes) -> "Document[E]":
        return cls(format, raw.decode("utf-8", "surrogateescape"))

    def __bytes__(self) -> bytes:
        return self.text.encode("utf-8", "surrogateescape")

    @property
    def lines(self) -> list[str]:
        """Logical lines without their final line feed; not to be changed."""
        if self._lines is None:
            self._lines = self.format.split(self.text)
        return self._lines

    @property
    def index(self) -> dict[str, list[int]]:
        """Key -> positions in `lines`, of every line that claims the key, in order."""
        if self._index is None:
            key_of = self.format.key
            index: dict[str, list[int]] = {}
            for position, line in enumerate(self.lines):
                if key := key_of(line):
                    if key in index:
                        index[key].append(position)
                    else:
                        index[key] = [position]
            self._index = index
        return self._index

    def get(self, key: str) -> E | None:
        """The entry that counts for a key, or None."""
        found = self._counting(key)
        return None if found is None else found[1]

    def position(self, key: str) -> int | None:
        """Where in `lines` the entry stands that counts for a key."""
        found = self._counting(key)
        return None if found is None else found[0]

    def __contains__(self, key: str) -> bool:
        return self._counting(key) is not None

    def _counting(self, key: str) -> tuple[int, E] | None:
        if key not in self._known:
            self._known[key] = self._find(key)
        return self._known[key]

    def _find(self, key: str) -> tuple[int, E] | None:
        for position in self.positions(key):
            try:
                return position, self.format.parse(self.lines[position])
            except Fault:
                continue
        return None

    def items(self) -> Iterator[tuple[str, E]]:
        """Every entry that counts, with its key, in the order of the file."""
        for key in self.index:
            if (entry := self.get(key)) is not None:
                yield key, entry

    def mentions(self, word: str) -> Iterator[tuple[str, E]]:
        """Every entry that counts whose line holds a lower-case word, in any case.

        Finds it by a search of the text, so that few lines of a large file are looked at. The word
        is compared as text: it is for the caller to look closer.
        """
        for position in self._positions_of(word):
            key = self.format.key(self.lines[position])
            found = self._counting(key) if key else None
            if found is not None and found[0] == position:
                yield key, found[1]

    def keys_mentioning(self, word: str) -> Iterator[str]:
        """The key of every line that holds a lower-case word, whether the line counts or not."""
        for position in self._positions_of(word):
            if key := self.format.key(self.lines[position]):
                yield key

    def positions(self, key: str) -> list[int]:
        """Where in `lines` every line stands that claims a key.

        The first few of them are searched for in the text: a command that asks for one key of a
        large file needs no index of it.
        """
        if self._index is None and self._searches < _SEARCHES and self.text.isascii():
            self._searches += 1
            key_of, lines = self.format.key, self.lines
            return [place for place in self._positions_of(key) if key_of(lines[place]) == key]
        return self.index.get(key, [])

    def _positions_of(self, word: str) -> Iterator[int]:
        """Where in `lines` each line stands that holds a lower-case word."""
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

    def number(self, position: int) -> int:
        """The 1-based line number in the file of the logical line at a position."""
        if self._continued is None:
            self._continued = any("\n" in line for line in self.lines)
        if not self._continued:
            return 1 + position
        return 1 + position + sum(line.count("\n") for line in self.lines[:position])

    def location(self, position: int | None) -> Location:
        return Location(self.format.file, 0 if position is None else self.number(position))

    def findings(self) -> list[Finding]:
        """Everything that is wrong with the file by itself, in the order of its lines."""
        found: list[Finding] = []
        for key, positions in self.index.items():
            counted = None
            for position in positions:
                where = self.location(position)
                try:
                    self.format.parse(self.lines[position])
                except Fault as fault:
                    found.append(fault.at(where))
                    continue
                if counted is None or self.format.ordered:
                    counted = where
                    continue
                what = f"{key!r} stands here again, and does not count"
                mend = f"remove this line or the one that counts, line {counted.line}"
                found.append(Finding(where, WARNING, "duplicate-entry", what, mend))
        found.extend(self.format.faults(self))
        return sorted(found, key=lambda finding: finding.where)

    # -- edits: each gives a new document; no other byte changes

    def replace(self, position: int, line: str) -> "Document[E]":
        """The same with another logical line at a position."""
        return self.edited({position: line})

    def append(self, line: str) -> "Document[E]":
        """The same with one more line at the end."""
        return self.edited({}, [line])

    def remove(self, positions: list[int]) -> "Document[E]":
        """The same without some logical lines."""
        return self.edited(dict.fromkeys(positions))

    def edited(
        self, replaced: Mapping[int, str | None], appended: Sequence[str] = ()
    ) -> "Document[E]":
        """The same with other logical lines at some positions (None: without the one there), and
        with more at the end.

        A replaced line keeps its carriage return; a missing final newline is completed before what
        is appended. However many lines change, it costs one copy of the text.
        """
        text = self._replaced(replaced) if replaced else self.text
        if appended:
            end = self._newline()
            if text and not text.endswith("\n"):
                text += end
            text += end.join(appended) + end
        return Document(self.format, text)

    def _replaced(self, replaced: Mapping[int, str | None]) -> str:
        lines: list[str | None] = [*self.lines]
        for position, line in replaced.items():
            old = self.lines[position]
            lines[position] = None if line is None else line + self._carriage_return(old)
        left = [line for line in lines if line is not None]
        if lines[-1] is None and left:
            left.append("")  # the line before keeps its line feed
        return "\n".join(left)

    def _newline(self) -> str:
        return "\r\n" if "\r\n" in self.text[:4096] else "\n"

    @staticmethod
    def _carriage_return(line: str) -> str:
        return "\r" if line.endswith("\r") else ""


def only_comments(line: str) -> bool:
    """Whether a physical line is no entry: empty, blank, or a comment."""
    stripped = line.lstrip(" \t\r\ufeff")
    return not stripped or stripped[0] == "#"


def logical_lines(text: str) -> list[str]:
    """Logical lines of a Postfix table: a line that starts with a blank continues the one before.

    Empty lines and comments may stand between the lines of one entry and are part of it then
    (postconf(5), "continuation lines"); those behind its last line are lines of their own.
    """
    lines = text.split("\n")
    if "\n " not in text and "\n\t" not in text:
        return lines
    logical: list[str] = []
    pending: list[str] = []  # comments that may turn out to be inside an entry
    open_entry = False
    for line in lines:
        if only_comments(line):
            pending.append(line)
        elif line[0] in " \t" and open_entry:
            logical[-1] = "\n".join([logical[-1], *pending, line])
            pending = []
        else:
            logical += pending
            logical.append(line)
            pending = []
            open_entry = True
    return logical + pending


def content(line: str) -> str:
    """The words of a logical line: comments inside it left out, its pieces joined by blanks."""
    if "\n" not in line:
        return line.strip(" \t\r\ufeff")
    pieces = [piece for piece in line.split("\n") if not only_comments(piece)]
    return " ".join(piece.strip(" \t\r\ufeff") for piece in pieces)


def check_text(line: str) -> None:
    """Raises Fault for what no entry may hold: not UTF-8, control characters, odd blanks."""
    if line.isprintable():
        return
    for char in line:
        if "\udc80" <= char <= "\udcff":
            raise Fault(
                "not-utf-8", f"byte 0x{ord(char) - 0xDC00:02x} is not UTF-8", "save as UTF-8"
            )
        if (char < " " and char not in "\t\r\n") or char == "\x7f":
            raise Fault("control-character", f"control character 0x{ord(char):02x}", "remove it")
        if char.isspace() and char not in " \t\r\n":
            raise Fault("odd-blank", f"U+{ord(char):04X} is no plain blank", "write a plain blank")
    if "\r" in line.removesuffix("\r").replace("\r\n", "\n"):
        raise Fault("control-character", "a carriage return inside a line", "remove it")
