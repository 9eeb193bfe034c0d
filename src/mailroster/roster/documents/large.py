"""A large file as a value: a base that is read where it is needed, and the places where it differs.

The base is bytes that lie elsewhere, with an index of the keys in them; a splice puts other logical
lines in place of some of its own. So a document of a million lines, of which one was changed, costs
what one line costs.

Positions: those below the size of the base are offsets of its lines, those above it count the lines
that the splices bring.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

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
    Format,
    carriage_return,
    newline,
)
from mailroster.roster.documents.splices import Splice

if TYPE_CHECKING:
    from mailroster.roster.documents.base import Base

E = TypeVar("E")

#: How much is read at a time to count its lines.
_COUNT_BYTES = 1 << 22


class LargeDocument(Document[E]):
    """A document over a base, which has no byte order mark. Whatever concerns all lines reads all
    of it."""

    __slots__ = ("_by_key", "_inserted", "_whole", "base", "splices")

    def __init__(self, format: Format[E], base: "Base", splices: Iterable[Splice] = ()) -> None:
        super().__init__(format)
        self.base, self.splices = base, tuple(splices)
        self._whole: Document[E] | None = None
        self._inserted: list[tuple[int, str]] | None = None
        self._by_key: dict[str, list[int]] | None = None

    # -- as a whole

    @property
    def text(self) -> str:
        return self.whole().text

    @property
    def lines(self) -> list[str]:
        raise TypeError("lines have offsets here, not numbers; ask for the whole document")

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
        """What stands in the file, in order."""
        place = 0
        for splice in self.splices:
            if splice.start > place:
                yield Range(self.base.fd, place, splice.start)
            if splice.text:
                yield splice.raw()
            place = splice.end
        if self.base.size > place:
            yield Range(self.base.fd, place, self.base.size)

    def same_as(self, other: Document[E]) -> bool:
        if isinstance(other, LargeDocument) and other.base.token == self.base.token:
            return self.splices == other.splices
        return super().same_as(other)

    def is_empty(self) -> bool:
        return not any(True for _ in self.pieces())

    def size_hint(self) -> int:
        removed = sum(1 for line in self.removed() if self.format.key(line))
        return (
            self.base.entries
            - removed
            + sum(1 for _, line in self.inserted() if self.format.key(line))
        )

    def keys(self) -> Iterable[str]:
        return self.whole().keys()

    def items(self) -> Iterator[tuple[str, E]]:
        return self.whole().items()

    def findings(self) -> list[Finding]:
        return self.whole().findings()

    # -- lines

    def inserted(self) -> list[tuple[int, str]]:
        """The lines that the splices bring, each with the number of its splice."""
        if self._inserted is None:
            self._inserted = [
                (number, line)
                for number, splice in enumerate(self.splices)
                for line in lines_of(self.format, splice.text)
            ]
        return self._inserted

    def removed(self) -> Iterator[str]:
        """The lines of the base that are not there any more."""
        for splice in self.splices:
            raw = self.base.read(splice.start, splice.end)
            yield from lines_of(self.format, raw.decode("utf-8", "surrogateescape"))

    def added(self) -> list[tuple[int, str]]:
        """The lines that the splices bring, each with its position."""
        first = self.base.size + 1
        return [(first + place, line) for place, (_, line) in enumerate(self.inserted())]

    def line(self, position: int) -> str:
        if position > self.base.size:
            return self.inserted()[position - self.base.size - 1][1]
        return self._line_at(position)[0]

    def _line_at(self, offset: int) -> tuple[str, int]:
        return line_at(self.format, self.base.read, self.base.size, offset)

    def above(self, position: int) -> int | None:
        own = position - self.base.size - 1
        if own < 0:
            starts = [splice.start for splice in self.splices]
            return self._ending_at(position, bisect_right(starts, position))
        nth, _ = self.inserted()[own]
        if own and self.inserted()[own - 1][0] == nth:
            return position - 1
        return self._ending_at(self.splices[nth].start, nth)

    def _ending_at(self, offset: int, count: int) -> int | None:
        """The position of the line that ends at an offset, of the first so many splices and of
        what of the base they leave."""
        for nth in reversed(range(count)):
            if self.splices[nth].end != offset:
                break
            own = [place for place, (n, _) in enumerate(self.inserted()) if n == nth]
            if own:
                return self.base.size + 1 + own[-1]
            offset = self.splices[nth].start
        if not offset:
            return None
        start = start_before(self.format, self.base.read, self.base.size, offset - 1)
        return cut(self.format, self.base.read, self.base.size, start, offset)[-1][0]

    def below(self, position: int) -> int | None:
        own = position - self.base.size - 1
        if own < 0:
            starts = [splice.start for splice in self.splices]
            end = self._line_at(position)[1]
            return self._beginning_at(end, bisect_left(starts, end))
        nth, _ = self.inserted()[own]
        if own + 1 < len(self.inserted()) and self.inserted()[own + 1][0] == nth:
            return position + 1
        return self._beginning_at(self.splices[nth].end, nth + 1)

    def _beginning_at(self, offset: int, first: int) -> int | None:
        """The position of the line that begins at an offset, of the splices from one on and of
        what of the base they leave."""
        for nth in range(first, len(self.splices)):
            if self.splices[nth].start != offset:
                break
            own = [place for place, (n, _) in enumerate(self.inserted()) if n == nth]
            if own:
                return self.base.size + 1 + own[0]
            offset = self.splices[nth].end
        return offset if offset < self.base.size else None

    def holding(self, word: str) -> list[int]:
        found: list[int] = []
        for offset in self._offsets_of(word.encode()):
            start = start_before(self.format, self.base.read, self.base.size, offset)
            end = start_behind(self.format, self.base.read, self.base.size, offset + 1)
            lines = cut(self.format, self.base.read, self.base.size, start, end)
            at = max(begin for begin, _ in lines if begin <= offset)
            if found[-1:] != [at]:
                found.append(at)
        found = self._standing(found) + [at for at, line in self.added() if word in line]
        return sorted(found, key=self._order)

    def has(self, word: str) -> bool:
        return any(word in splice.text for splice in self.splices) or bool(
            self._standing(self._offsets_of(word.encode()))
        )

    def _offsets_of(self, word: bytes) -> Iterator[int]:
        """Where a word stands in the base, which is read in pieces."""
        for at in range(0, self.base.size, _COUNT_BYTES):
            piece = self.base.read(at, min(self.base.size, at + _COUNT_BYTES + len(word) - 1))
            place = piece.find(word)
            while place >= 0:
                yield at + place
                place = piece.find(word, place + 1)

    def unfinished(self) -> int | None:
        size = self.base.size
        last = self.splices[-1] if self.splices else None
        if last is not None and last.end == size:
            if not last.text or last.text.endswith("\n"):
                return None
            return size + len(self.inserted())
        if not size or self.base.read(size - 1, size) == b"\n":
            return None
        start = start_before(self.format, self.base.read, size, size - 1)
        return cut(self.format, self.base.read, size, start, size)[-1][0]

    def number(self, position: int) -> int:
        own = position - self.base.size - 1
        if own >= 0:
            nth, _ = self.inserted()[own]
            upto, earlier = self.splices[nth].start, self.splices[:nth]
            within = [line for n, line in self.inserted()[:own] if n == nth]
        else:
            upto, within = position, []
            earlier = tuple(splice for splice in self.splices if splice.end <= position)
        moved = sum(s.text.count("\n") - self._feeds(s.start, s.end) for s in earlier)
        return 1 + self._feeds(0, upto) + moved + sum(1 + line.count("\n") for line in within)

    def _feeds(self, start: int, end: int) -> int:
        return sum(
            self.base.read(at, min(end, at + _COUNT_BYTES)).count(b"\n")
            for at in range(start, end, _COUNT_BYTES)
        )

    # -- keys

    def positions(self, key: str) -> list[int]:
        found = self._standing(self.base.claiming(key))
        first = self.base.size + 1
        found += [first + place for place in self._places_of(key)]
        return sorted(found, key=self._order)

    def _places_of(self, key: str) -> list[int]:
        if self._by_key is None:
            by_key: dict[str, list[int]] = {}
            for place, (_, line) in enumerate(self.inserted()):
                by_key.setdefault(self.format.key(line), []).append(place)
            self._by_key = by_key
        return self._by_key.get(key, [])

    def _standing(self, offsets: Iterable[int]) -> list[int]:
        """Those of some places in the base that no splice takes away."""
        starts = [splice.start for splice in self.splices]

        def stands(offset: int) -> bool:
            nth = bisect_right(starts, offset) - 1
            return nth < 0 or offset >= self.splices[nth].end

        return [offset for offset in offsets if stands(offset)]

    def _order(self, position: int) -> tuple[int, int]:
        """Positions in the order of the file: what is inserted stands before what it stands at."""
        own = position - self.base.size - 1
        return (
            (position, 1 << 62) if own < 0 else (self.splices[self.inserted()[own][0]].start, own)
        )

    def _keys_in(self, domain: str) -> Iterator[str]:
        yield from self.base.keys_in(domain)
        for _, line in self.inserted():
            key = self.format.key(line)
            if key.rpartition("@")[1:] == ("@", domain):
                yield key

    def _positions_mentioning(self, user: str, domain: str) -> list[int]:
        if self._mentioned is None:
            self._mentioned = self._mention_index(self.added())
        found = self._standing(self.base.mentioning(user, domain))
        return sorted(found + self._mentioned_at(user, domain), key=self._order)

    def faulty(self) -> int:
        added = [line for _, line in self.inserted()]
        return self.base.faulty + self._faults(added) - self._faults(self.removed())

    # -- edits

    def has_mark(self) -> bool:
        first = self.splices[0] if self.splices else None
        return first is not None and first.start == 0 and first.text.startswith(MARK)

    def edited(
        self, replaced: Mapping[int, str | None], appended: Sequence[str] = ()
    ) -> Document[E]:
        splices = list(self.splices)
        first = self.base.size + 1
        anew: dict[int, list[str]] = {}  # splice -> its lines
        for position, new in replaced.items():
            if position < first:
                line, end = self._line_at(position)
                feed = "\n" if self.base.read(end - 1, end) == b"\n" else ""
                text = "" if new is None else new + carriage_return(line) + feed
                splices.append(Splice(position, end, text))
                continue
            nth, _ = self.inserted()[position - first]
            anew.setdefault(nth, [])
        for nth in anew:
            for position, line in self.added():
                if self.inserted()[position - first][0] == nth:
                    new = replaced.get(position, line)
                    if new is not None:
                        end_of = carriage_return(line) if position in replaced else ""
                        anew[nth].append(new + end_of)
            text = "".join(f"{line}\n" for line in anew[nth])
            if not splices[nth].text.endswith("\n") and self._kept_last(nth, replaced):
                text = text.removesuffix("\n")
            splices[nth] = splices[nth]._replace(text=text)
        document = self._with(splices)
        return document._appended(appended, self.newline()) if appended else document

    def _kept_last(self, nth: int, replaced: Mapping[int, str | None]) -> bool:
        last = max(place for place, (n, _) in enumerate(self.inserted()) if n == nth)
        return replaced.get(self.base.size + 1 + last, "") is not None

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
        """Another document over the same base, less the splices that change nothing."""
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


def appended(document: Document[E]) -> bytes:
    """The lines at the end that are all in which a document differs from its base, if so."""
    if not isinstance(document, LargeDocument) or len(document.splices) != 1:
        return b""
    (splice,) = document.splices
    return splice.raw() if splice.start == document.base.size else b""


def content_of(document: Document[Any]) -> Content:
    """What a file holds whose document this is."""
    return document.pieces() if isinstance(document, LargeDocument) else bytes(document)
