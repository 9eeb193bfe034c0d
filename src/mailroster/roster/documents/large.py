"""A large file as a value: an indexed base, which is read lazily, and splices.

The base is the bytes of a file with an index of its keys. A splice replaces some logical lines of
the base. So a document of a million lines, one of which was changed, costs as much as one line.

Positions: those below the size of the base are offsets of its lines; those above it number the
lines that the splices add.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from mailroster.base.content import Content, Range
from mailroster.base.findings import Finding
from mailroster.roster.documents.byte_lines import (
    cut,
    line_at,
    lines_of,
    start_before,
    start_behind,
)
from mailroster.roster.documents.document import (
    MARK,
    NEWLINE_CHARS,
    Document,
    carriage_return,
    newline,
)
from mailroster.roster.documents.format import Format
from mailroster.roster.documents.search import MentionIndex
from mailroster.roster.documents.splices import Splice

E = TypeVar("E")

#: How much is read at a time to search it or to count its lines.
_PIECE_BYTES = 1 << 22


class Base(Protocol):
    """The bytes of one file at one time, with an index."""

    size: int
    token: Hashable  # equal for two bases with the same bytes
    entries: int  # about how many lines claim a key
    faulty: int  # how many of them can't be read
    fd: int

    def read(self, start: int, end: int) -> bytes: ...

    def claiming(self, key: str) -> list[int]:
        """The offset of every logical line that claims a key."""

    def mentioning(self, user: str, domain: str) -> list[int]:
        """The offset of every logical line that mentions an address, or anything in a domain."""

    def keys_in(self, domain: str) -> Iterator[str]:
        """Keys in a domain. Some of them may no longer be in the file."""


class AddedLine(NamedTuple):
    """A line that a splice adds."""

    position: int
    line: str
    splice: int  # its number


class LargeDocument(Document[E]):
    """A document of a base, which has no byte order mark, and splices.

    Whatever concerns all lines reads the whole file. The class is long since it does everything
    that a Document does, by other means.
    """

    __slots__ = ("_added", "_added_by_key", "_added_mentions", "_whole", "base", "splices")

    def __init__(self, format: Format[E], base: Base, splices: Iterable[Splice] = ()) -> None:
        super().__init__(format)
        self.base, self.splices = base, tuple(splices)
        self._whole: Document[E] | None = None
        self._added: list[AddedLine] | None = None
        self._added_by_key: dict[str, list[int]] | None = None
        self._added_mentions: MentionIndex | None = None

    # -- as a whole

    @property
    def text(self) -> str:
        return self.whole().text

    @property
    def lines(self) -> list[str]:
        raise TypeError("the lines of a large document have offsets; use whole()")

    @property
    def index(self) -> Mapping[str, int]:
        return self.whole().index

    def whole(self) -> Document[E]:
        """The same document in memory."""
        if self._whole is None:
            pieces = (
                piece if isinstance(piece, bytes) else self.base.read(piece.start, piece.end)
                for piece in self.pieces()
            )
            self._whole = Document.from_bytes(self.format, b"".join(pieces))
        return self._whole

    def pieces(self) -> Iterator[bytes | Range]:
        """The content of the file, in order."""
        offset = 0
        for splice in self.splices:
            if splice.start > offset:
                yield Range(self.base.fd, offset, splice.start)
            if splice.text:
                yield splice.raw()
            offset = splice.end
        if self.base.size > offset:
            yield Range(self.base.fd, offset, self.base.size)

    def same_as(self, other: Document[E]) -> bool:
        if isinstance(other, LargeDocument) and other.base.token == self.base.token:
            return self.splices == other.splices
        return super().same_as(other)

    def is_empty(self) -> bool:
        return not any(True for _ in self.pieces())

    def size_hint(self) -> int:
        key_of = self.format.key
        added = sum(1 for _, line, _ in self.added() if key_of(line))
        return self.base.entries + added - sum(1 for line in self.removed() if key_of(line))

    def keys(self) -> Iterable[str]:
        return self.whole().keys()

    def items(self) -> Iterator[tuple[str, E]]:
        return self.whole().items()

    def findings(self) -> list[Finding]:
        return self.whole().findings()

    # -- lines

    def added(self) -> list[AddedLine]:
        """The lines that the splices add, in the order of the file."""
        if self._added is None:
            lines = [
                (line, nth)
                for nth, splice in enumerate(self.splices)
                for line in lines_of(self.format, splice.text)
            ]
            first = self.base.size + 1
            self._added = [AddedLine(at, *line) for at, line in enumerate(lines, first)]
        return self._added

    def removed(self) -> Iterator[str]:
        """The lines of the base that the splices remove."""
        for _, text in self.replaced():
            yield from lines_of(self.format, text)

    def replaced(self) -> Iterator[tuple[Splice, str]]:
        """Each splice with the text of the base that it replaces."""
        for splice in self.splices:
            raw = self.base.read(splice.start, splice.end)
            yield splice, raw.decode("utf-8", "surrogateescape")

    def _added_at(self, position: int) -> AddedLine | None:
        """The added line at a position, or None."""
        nth = position - self.base.size - 1
        return self.added()[nth] if 0 <= nth < len(self.added()) else None

    def _positions_of_splice(self, nth: int) -> list[int]:
        return [added.position for added in self.added() if added.splice == nth]

    def line(self, position: int) -> str:
        added = self._added_at(position)
        return self._line_at(position)[0] if added is None else added.line

    def _line_at(self, offset: int) -> tuple[str, int]:
        return line_at(self.format, self.base.read, self.base.size, offset)

    def _start_of_line_to(self, end: int) -> int:
        """The offset of the logical line of the base that ends at an offset."""
        start = start_before(self.format, self.base.read, self.base.size, end - 1)
        return cut(self.format, self.base.read, self.base.size, start, end)[-1][0]

    def above(self, position: int) -> int | None:
        added = self._added_at(position)
        if added is None:
            starts = [splice.start for splice in self.splices]
            return self._ending_at(position, bisect_right(starts, position))
        previous = self._added_at(position - 1)
        if previous is not None and previous.splice == added.splice:
            return position - 1
        return self._ending_at(self.splices[added.splice].start, added.splice)

    def _ending_at(self, offset: int, count: int) -> int | None:
        """The position of the line that ends at an offset of the base, after the first `count`
        splices."""
        for nth in reversed(range(count)):
            if self.splices[nth].end != offset:
                break
            if positions := self._positions_of_splice(nth):
                return positions[-1]
            offset = self.splices[nth].start
        return self._start_of_line_to(offset) if offset else None

    def below(self, position: int) -> int | None:
        added = self._added_at(position)
        if added is None:
            starts = [splice.start for splice in self.splices]
            end = self._line_at(position)[1]
            return self._beginning_at(end, bisect_left(starts, end))
        following = self._added_at(position + 1)
        if following is not None and following.splice == added.splice:
            return position + 1
        return self._beginning_at(self.splices[added.splice].end, added.splice + 1)

    def _beginning_at(self, offset: int, first: int) -> int | None:
        """The position of the line that begins at an offset of the base, before the splices from
        the number `first` on."""
        for nth in range(first, len(self.splices)):
            if self.splices[nth].start != offset:
                break
            if positions := self._positions_of_splice(nth):
                return positions[0]
            offset = self.splices[nth].end
        return offset if offset < self.base.size else None

    def unfinished(self) -> int | None:
        size = self.base.size
        last = self.splices[-1] if self.splices else None
        if last is not None and last.end == size:
            if not last.text or last.text.endswith("\n"):
                return None
            return self.added()[-1].position
        if not size or self.base.read(size - 1, size) == b"\n":
            return None
        return self._start_of_line_to(size)

    def number(self, position: int) -> int:
        added = self._added_at(position)
        if added is None:
            offset, line_feeds = position, 0
            earlier = [splice for splice in self.splices if splice.end <= position]
        else:
            offset, earlier = self.splices[added.splice].start, [*self.splices[: added.splice]]
            line_feeds = sum(
                1 + other.line.count("\n")
                for other in self.added()
                if other.splice == added.splice and other.position < position
            )
        for splice in earlier:
            line_feeds += splice.text.count("\n") - self._line_feeds(splice.start, splice.end)
        return 1 + self._line_feeds(0, offset) + line_feeds

    def _line_feeds(self, start: int, end: int) -> int:
        return sum(
            self.base.read(at, min(end, at + _PIECE_BYTES)).count(b"\n")
            for at in range(start, end, _PIECE_BYTES)
        )

    # -- searches: those of the base, without the lines that a splice removes, and the added lines

    def holding(self, word: str) -> list[int]:
        positions: list[int] = []
        for offset in self._offsets_of(word.encode()):
            start = start_before(self.format, self.base.read, self.base.size, offset)
            end = start_behind(self.format, self.base.read, self.base.size, offset + 1)
            lines = cut(self.format, self.base.read, self.base.size, start, end)
            position = max(begin for begin, _ in lines if begin <= offset)
            if positions[-1:] != [position]:
                positions.append(position)
        return self._merged(positions, (at for at, line, _ in self.added() if word in line))

    def naming(self, word: str) -> Iterator[int]:
        raise TypeError("a large document is not searched in any case; use whole()")

    def has(self, word: str) -> bool:
        return any(word in splice.text for splice in self.splices) or bool(
            self._kept(self._offsets_of(word.encode()))
        )

    def _offsets_of(self, word: bytes) -> Iterator[int]:
        """The offsets of a word in the base, which is read in pieces."""
        for start in range(0, self.base.size, _PIECE_BYTES):
            piece = self.base.read(start, min(self.base.size, start + _PIECE_BYTES + len(word) - 1))
            offset = piece.find(word)
            while offset >= 0:
                yield start + offset
                offset = piece.find(word, offset + 1)

    def positions(self, key: str) -> list[int]:
        if self._added_by_key is None:
            self._added_by_key = {}
            for position, line, _ in self.added():
                self._added_by_key.setdefault(self.format.key(line), []).append(position)
        return self._merged(self.base.claiming(key), self._added_by_key.get(key, ()))

    def _keys_in(self, domain: str) -> Iterator[str]:
        yield from self.base.keys_in(domain)
        for _, line, _ in self.added():
            key = self.format.key(line)
            if key.rpartition("@")[1:] == ("@", domain):
                yield key

    def _positions_mentioning(self, user: str, domain: str) -> list[int]:
        if self._added_mentions is None:
            lines = ((position, line) for position, line, _ in self.added())
            self._added_mentions = MentionIndex(self._reader, lines)
        added = self._added_mentions.positions(user, domain)
        return self._merged(self.base.mentioning(user, domain), added)

    def _merged(self, offsets: Iterable[int], added: Iterable[int]) -> list[int]:
        """Offsets of the base, without those that a splice removes, and positions of added lines,
        in the order of the file."""
        return sorted([*self._kept(offsets), *added], key=self._order)

    def _kept(self, offsets: Iterable[int]) -> list[int]:
        """The offsets of the base that no splice removes."""
        starts = [splice.start for splice in self.splices]

        def is_kept(offset: int) -> bool:
            nth = bisect_right(starts, offset) - 1
            return nth < 0 or offset >= self.splices[nth].end

        return [offset for offset in offsets if is_kept(offset)]

    def _order(self, position: int) -> tuple[int, int]:
        """Sorts positions in the order of the file: added lines are before the line of the base at
        the start of their splice."""
        added = self._added_at(position)
        if added is None:
            return position, 1 << 62
        return self.splices[added.splice].start, position

    def faulty(self) -> int:
        return (
            self.base.faulty
            + self._faults(added.line for added in self.added())
            - self._faults(self.removed())
        )

    def _faults(self, lines: Iterable[str]) -> int:
        return sum(1 for line in lines if self.format.key(line) and not self.readable(line))

    # -- edits

    def has_mark(self) -> bool:
        first = self.splices[0] if self.splices else None
        return first is not None and first.start == 0 and first.text.startswith(MARK)

    def edited(
        self, replaced: Mapping[int, str | None], appended: Sequence[str] = ()
    ) -> Document[E]:
        splices = list(self.splices)
        edited_splices: set[int] = set()
        for position, new in replaced.items():
            if (added := self._added_at(position)) is not None:
                edited_splices.add(added.splice)
                continue
            line, end = self._line_at(position)
            feed = "\n" if self.base.read(end - 1, end) == b"\n" else ""
            text = "" if new is None else new + carriage_return(line) + feed
            splices.append(Splice(position, end, text))
        for nth in edited_splices:
            splices[nth] = splices[nth]._replace(text=self._edited_text(nth, replaced))
        document = self._with(splices)
        return document._appended(appended, self.newline()) if appended else document

    def _edited_text(self, nth: int, replaced: Mapping[int, str | None]) -> str:
        """The text of a splice with other lines at some positions."""
        positions, lines = self._positions_of_splice(nth), []
        for position in positions:
            line = self.line(position)
            new = replaced.get(position, line)
            if new is not None:
                lines.append(new + carriage_return(line) if position in replaced else new)
        text = "".join(f"{line}\n" for line in lines)
        is_unfinished = not self.splices[nth].text.endswith("\n")
        if is_unfinished and replaced.get(positions[-1], "") is not None:
            return text.removesuffix("\n")
        return text

    def _appended(self, lines: Sequence[str], end: str) -> "LargeDocument[E]":
        text = "".join(f"{line}{end}" for line in lines)
        size = self.base.size
        unfinished = self.unfinished()
        if unfinished is not None:
            text = end + text
        splices = list(self.splices)
        if splices and splices[-1].end == size:
            splices[-1] = splices[-1]._replace(text=splices[-1].text + text)
        elif unfinished is not None:
            splices.append(Splice(unfinished, size, self.line(unfinished) + text))
        else:
            splices.append(Splice(size, size, text))
        return self._with(splices)

    def _with(self, splices: Iterable[Splice]) -> "LargeDocument[E]":
        """A document of the same base with other splices, without those that change nothing."""
        changing = [
            splice
            for splice in sorted(splices)
            if splice.raw() != self.base.read(splice.start, splice.end)
        ]
        return LargeDocument(self.format, self.base, changing)

    def newline(self) -> str:
        head, wanted = b"", 4 * NEWLINE_CHARS
        for piece in self.pieces():
            rest = wanted - len(head)
            head += (
                piece[:rest]
                if isinstance(piece, bytes)
                else self.base.read(piece.start, min(piece.end, piece.start + rest))
            )
            if len(head) >= wanted:
                break
        return newline(head.decode("utf-8", "surrogateescape"))


def whole(document: Document[E]) -> Document[E]:
    """The same document in memory."""
    return document.whole() if isinstance(document, LargeDocument) else document


def spliced(before: Document[E], after: Document[E]) -> LargeDocument[E] | None:
    """`after`, if it is the same base as `before` with splices and `before` has none; else None."""
    if (
        isinstance(before, LargeDocument)
        and isinstance(after, LargeDocument)
        and before.base.token == after.base.token
        and not before.splices
    ):
        return after
    return None


def appended(document: Document[E]) -> bytes:
    """The lines that a document appends to its base, or b"" if it differs in other places too."""
    if not isinstance(document, LargeDocument) or len(document.splices) != 1:
        return b""
    (splice,) = document.splices
    return splice.raw() if splice.start == document.base.size else b""


def content_of(document: Document[Any]) -> Content:
    """The content of the file of a document."""
    return document.pieces() if isinstance(document, LargeDocument) else bytes(document)
