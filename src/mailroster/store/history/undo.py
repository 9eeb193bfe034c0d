"""A change taken back: what went comes again to where it was, and what came goes.

If nothing has changed since, the files are as they were, to the byte. If other lines have, each
place is found again by its own lines and their neighbours. What the change itself has written must
stand there as it left it.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from mailroster.base.findings import Refused
from mailroster.roster.documents.byte_lines import Read, start_before, start_behind
from mailroster.roster.documents.document import Document, Format
from mailroster.roster.documents.large import LargeDocument, whole
from mailroster.roster.documents.splices import Splice
from mailroster.roster.documents.text import only_comments
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.roster import Roster
from mailroster.store.history.entry import Entry, FileChange, Hunk, split

#: Bytes to put in the place of others: from one offset to another.
Piece: TypeAlias = tuple[int, int, bytes]

_CHUNK_BYTES = 1 << 22


class Changed(Refused):
    """What a change has written was changed since; carries the file and the lines."""

    def __init__(self, why: str, file: str, lines: Sequence[bytes]) -> None:
        super().__init__(why)
        self.file, self.lines = file, tuple(lines)


def revert(roster: Roster, entry: Entry) -> Roster:
    """The roster without what an entry has done. Raises Refused: Changed if its lines have been
    changed since, or if what comes back would stand beside something that has come instead."""
    fields = {document.format.file: field for field, document in roster.documents()}
    documents: dict[str, Any] = {}
    for change in entry.files:
        if change.file not in fields:
            raise Refused(f"change {entry.id} is about {change.file}, which is unknown here")
        if change.short:
            raise Refused(
                f"change {entry.id} was too large to be kept line by line: {change.removed} lines "
                f"removed and {change.added} added in {change.file}; raise history_bytes, or "
                "restore the file from a backup"
            )
        document = getattr(roster, fields[change.file])
        documents[fields[change.file]] = _reverted(document, change)
    return roster._replace(**documents)


def is_untouched(document: Document[Any], change: FileChange) -> bool:
    """Whether a file is as a change has left it, as far as its size and the places tell."""
    view = _View(document)
    return view.size == change.new_size and all(view.stands(hunk) for hunk in change.hunks)


def _reverted(document: Document[Any], change: FileChange) -> Document[Any]:
    view = _View(document)
    if is_untouched(document, change):
        found = [(h.offset, h.offset + len(h.added), h.removed) for h in change.hunks]
        return view.with_pieces(found)
    found = sorted(view.place(hunk) for hunk in change.hunks)
    for (_, end, _), (start, _, _) in pairwise(found):
        if start < end:
            raise view.changed("two of its places have become one", ())
    after = view.with_pieces(found)
    _check_keys(document, after, change)
    return after


def _check_keys(before: Document[Any], after: Document[Any], change: FileChange) -> None:
    """Refused if a key comes back that something else has taken meanwhile."""
    format = after.format
    if format.ordered:
        return
    lines = [
        line
        for hunk in change.hunks
        for line in format.split(hunk.removed.decode("utf-8", "surrogateescape"))
    ]
    keys = [key for line in lines if (key := format.key(line))]
    for key in dict.fromkeys(keys):
        stands = len(after.positions(key))
        if stands > max(keys.count(key), len(before.positions(key))):
            raise Refused(
                f"{format.file}: {key!r} has come into the file again since, in another line; "
                "take that away first"
            )


class _View:
    """The bytes of a document, read where they are needed."""

    def __init__(self, document: Document[Any]) -> None:
        if isinstance(document, LargeDocument) and document.splices:
            document = whole(document)
        self.document, self.format = document, document.format
        self.read: Read
        if isinstance(document, LargeDocument):
            self.read, self.size = document.base.read, document.base.size
        else:
            raw = bytes(document)
            self.read, self.size = lambda start, end: raw[start:end], len(raw)

    # -- where a hunk is

    def stands(self, hunk: Hunk) -> bool:
        """Whether the lines that came stand where they came to, between the same neighbours."""
        start = hunk.offset - len(hunk.before)
        wanted = hunk.before + hunk.added + hunk.behind
        return start >= 0 and self.read(start, start + len(wanted)) == wanted

    def place(self, hunk: Hunk) -> Piece:
        """What has to be put where. Raises Changed if that can't be told."""
        if hunk.added:
            start, end = self._lines_that_came(hunk)
            return start, end, hunk.removed
        at = self._gap(hunk)
        return at, at, hunk.removed

    def _lines_that_came(self, hunk: Hunk) -> tuple[int, int]:
        if self.stands(hunk):
            start = hunk.offset
        else:
            between = hunk.before + hunk.added + hunk.behind
            found = [at + len(hunk.before) for at in self._occurrences(between)]
            found = found or list(self._occurrences(hunk.added))
            if not found or (self.format.ordered and len(found) > 1):
                why = "stands there in several places" if found else "is not there any more"
                raise self.changed(why, split(hunk.added))
            start = min(found, key=lambda at: abs(at - hunk.offset))
        end = start + len(hunk.added)
        if not hunk.added.endswith(b"\n") and self.read(end, end + 1) == b"\n":
            end += 1
        if self._is_continued(end):
            raise self.changed("is continued in the line below now", split(hunk.added)[-1:])
        return start, end

    def _is_continued(self, end: int) -> bool:
        """Whether a line stands behind an offset that continues the one before it."""
        if not self.format.continued:
            return False
        behind = self.read(end, start_behind(self.format, self.read, self.size, end))
        lines = behind.decode("utf-8", "surrogateescape").split("\n")
        return any(line[:1] in " \t" and not only_comments(line) for line in lines)

    def _gap(self, hunk: Hunk) -> int:
        """Where lines stood that went: between their neighbours, or beside one of them."""
        between = hunk.before + hunk.behind
        if between:
            found = [at + len(hunk.before) for at in self._occurrences(between)]
            if self.format.ordered:
                found = [at for at in found if self._is_the_gap(hunk, at)]
            if len(found) == 1 or (found and not self.format.ordered):
                at = min(found, key=lambda at: abs(at - hunk.offset))
                return self._boundary(at) if self._is_continued(at) else at
        if self.format.ordered and self.size:
            raise self.changed("had its place in an order that is another now", split(hunk.removed))
        for neighbour, ahead in ((hunk.before, True), (hunk.behind, False)):
            found = list(self._occurrences(neighbour)) if neighbour else []
            if len(found) == 1:
                return self._boundary(found[0] + (len(neighbour) if ahead else 0))
        return self.size

    def _is_the_gap(self, hunk: Hunk, at: int) -> bool:
        """Whether nothing else can have come in at the end of the file, or in front of it."""
        return bool(hunk.before or at == 0) and bool(hunk.behind or at == self.size)

    def _boundary(self, at: int) -> int:
        """The next offset that is surely not inside of an entry."""
        return start_behind(self.format, self.read, self.size, at)

    def _occurrences(self, lines: bytes) -> Iterator[int]:
        """Where some whole lines stand; the last one may lack its line feed."""
        wanted = b"\n" + lines.removesuffix(b"\n") + b"\n"
        at = 0
        while at < self.size:
            end = min(self.size, at + _CHUNK_BYTES)
            raw = self.read(max(0, at - 1), min(self.size, end + len(wanted)))
            raw = raw if at else b"\n" + raw
            if end + len(wanted) >= self.size and not raw.endswith(b"\n"):
                raw += b"\n"
            place = raw.find(wanted)
            while 0 <= place < end - at:
                yield at + place
                place = raw.find(wanted, place + 1)
            at = end

    def changed(self, why: str, lines: Sequence[bytes]) -> Changed:
        first = lines[0].decode("utf-8", "backslashreplace") if lines else ""
        first = self.format.hidden(first)
        named = f"{first!r} {why}" if lines else why
        return Changed(f"{self.format.file}: {named}", self.format.file, lines)

    # -- the document with other bytes in some places

    def with_pieces(self, pieces: Sequence[Piece]) -> Document[Any]:
        """Lines that come to stand in front of others get a line feed, and so does what they come
        to stand behind."""
        complete: list[Piece] = []
        for piece in pieces:
            first = not complete or complete[-1][1] < piece[0]
            complete.append(self._complete(piece, first, piece is pieces[-1]))
        if isinstance(self.document, LargeDocument):
            return self._spliced(self.document, complete)
        parts, at = [], 0
        for start, end, raw in complete:
            parts += [self.read(at, start), raw]
            at = end
        content = b"".join([*parts, self.read(at, self.size)])
        return Document.from_bytes(self.format, content)

    def _complete(self, piece: Piece, first: bool, last: bool) -> Piece:
        start, end, raw = piece
        feed = self.document.newline().encode()
        if raw and not raw.endswith(b"\n") and (end < self.size or not last):
            raw += feed
        behind = first and raw and 0 < start == self.size
        if behind and self.read(start - 1, start) != b"\n":
            raw = feed + raw
        return start, end, raw

    def _spliced(self, document: LargeDocument[Any], pieces: Sequence[Piece]) -> Document[Any]:
        """By splices of whole logical lines; pieces of one line are one splice."""
        groups: list[tuple[int, int, list[Piece]]] = []
        for piece in pieces:
            low = start_before(self.format, self.read, self.size, piece[0])
            high = start_behind(self.format, self.read, self.size, piece[1])
            if groups and low <= groups[-1][1]:
                first, last, some = groups[-1]
                groups[-1] = first, max(last, high), [*some, piece]
            else:
                groups.append((low, high, [piece]))
        splices = []
        for low, high, some in groups:
            parts, at = [], low
            for start, end, raw in some:
                parts += [self.read(at, start), raw]
                at = end
            text = b"".join([*parts, self.read(at, high)]).decode("utf-8", "surrogateescape")
            splices.append(Splice(low, high, text))
        return LargeDocument(self.format, document.base, splices)


def took_away(format: Format[Any], entry: Entry) -> list[str]:
    """The keys of the lines that an entry took out of a file."""
    return _keys(format, [hunk.removed for hunk in _hunks(format, entry)])


def comes_back(format: Format[Any], entry: Entry) -> list[str]:
    """Those of them that it did not write again otherwise."""
    came = set(_keys(format, [hunk.added for hunk in _hunks(format, entry)]))
    return [key for key in took_away(format, entry) if key not in came]


def goes_away(format: Format[Any], entry: Entry) -> list[str]:
    """The keys of the lines that are in a file by an entry alone."""
    came = _keys(format, [hunk.added for hunk in _hunks(format, entry)])
    return [key for key in came if key not in took_away(format, entry)]


def renaming(entry: Entry) -> tuple[str, str] | None:
    """The addresses, before and after, of an account to which a command has given another one; its
    mail folder has got the name of that."""
    hunks = list(_hunks(ACCOUNTS, entry))
    if entry.by_hand or len(hunks) != 1:
        return None
    (old, _, removed), (new, _, added) = (
        raw.partition(b"|") for raw in (hunks[0].removed, hunks[0].added)
    )
    if not removed or removed != added or removed.count(b"\n") > 1:
        return None
    before, after = (raw.decode("utf-8", "surrogateescape").strip() for raw in (old, new))
    return None if before == after else (before, after)


def _hunks(format: Format[Any], entry: Entry) -> Iterator[Hunk]:
    return (hunk for change in entry.files if change.file == format.file for hunk in change.hunks)


def _keys(format: Format[Any], raws: Iterable[bytes]) -> list[str]:
    """The keys of some lines, each once."""
    texts = (raw.decode("utf-8", "surrogateescape") for raw in raws)
    keys = (format.key(line) for text in texts for line in format.split(text))
    return list(dict.fromkeys(key for key in keys if key))
