"""Undoes a change: restores the lines that it removed, and removes those that it added.

If nothing has changed since, the files become what they were, byte for byte. If other lines have
changed, each hunk is located by its own lines and their neighbours. The lines that the change added
must still be there unchanged.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from mailroster.base.findings import Refused
from mailroster.roster.documents.byte_lines import Read, start_before, start_behind
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format
from mailroster.roster.documents.large import LargeDocument, whole
from mailroster.roster.documents.splices import Splice
from mailroster.roster.documents.text import only_comments
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.roster import Roster
from mailroster.store.history.entry import FileChange, HistoryEntry, Hunk, split

#: A replacement: start and end of the old bytes, and the new bytes.
Replacement: TypeAlias = tuple[int, int, bytes]

_CHUNK_BYTES = 1 << 22


class LinesChanged(Refused):
    """The lines of a change were changed since; carries the file and the lines."""

    def __init__(self, why: str, file: str, lines: Sequence[bytes]) -> None:
        super().__init__(why)
        self.file, self.lines = file, tuple(lines)


def revert(roster: Roster, entry: HistoryEntry) -> Roster:
    """The roster without the change of an entry. Raises LinesChanged if its lines were changed
    since; Refused if a restored key is in another line now, or the history lacks the lines."""
    fields = {document.format.file: field for field, document in roster.documents()}
    documents: dict[str, Any] = {}
    for change in entry.files:
        if change.file not in fields:
            raise Refused(f"change {entry.id} is about {change.file}, an unknown file")
        if change.short:
            raise Refused(
                f"the history does not have the lines of change {entry.id}, which was too large: "
                f"{change.removed} lines removed and {change.added} added in {change.file}; "
                "restore the file from a backup, and raise history_bytes"
            )
        document = getattr(roster, fields[change.file])
        documents[fields[change.file]] = _reverted(document, change)
    return roster._replace(**documents)


def is_untouched(document: Document[Any], change: FileChange) -> bool:
    """Whether a file is as a change has left it, judging by its size and its hunks."""
    view = _View(document)
    return view.size == change.new_size and all(view.is_in_place(hunk) for hunk in change.hunks)


def _reverted(document: Document[Any], change: FileChange) -> Document[Any]:
    view = _View(document)
    if is_untouched(document, change):
        pieces = [(h.offset, h.offset + len(h.added), h.removed) for h in change.hunks]
        return view.replaced(pieces)
    pieces = sorted(view.replacement(hunk) for hunk in change.hunks)
    for (_, end, _), (start, _, _) in pairwise(pieces):
        if start < end:
            raise view.changed("two of its hunks overlap now", ())
    after = view.replaced(pieces)
    _check_keys(document, after, change)
    return after


def _check_keys(before: Document[Any], after: Document[Any], change: FileChange) -> None:
    """Raises Refused if a restored key is in another line already."""
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
        if len(after.positions(key)) > max(keys.count(key), len(before.positions(key))):
            raise Refused(
                f"{format.file}: {key!r} was added again since, in another line; remove that line "
                "first"
            )


class _View:
    """The bytes of a document, of which only the necessary parts are read."""

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

    # -- the position of a hunk

    def is_in_place(self, hunk: Hunk) -> bool:
        """Whether the added lines are still at their offset, between the same neighbours."""
        start = hunk.offset - len(hunk.before)
        expected = hunk.before + hunk.added + hunk.behind
        return start >= 0 and self.read(start, start + len(expected)) == expected

    def replacement(self, hunk: Hunk) -> Replacement:
        """The replacement that undoes a hunk. Raises LinesChanged if its position is unknown."""
        if hunk.added:
            start, end = self._added_lines(hunk)
            return start, end, hunk.removed
        offset = self._gap(hunk)
        return offset, offset, hunk.removed

    def _added_lines(self, hunk: Hunk) -> tuple[int, int]:
        """Start and end of the added lines."""
        if self.is_in_place(hunk):
            start = hunk.offset
        else:
            context = hunk.before + hunk.added + hunk.behind
            offsets = [start + len(hunk.before) for start in self._occurrences(context)]
            offsets = offsets or list(self._occurrences(hunk.added))
            if not offsets or (self.format.ordered and len(offsets) > 1):
                why = "is in the file several times" if offsets else "is no longer in the file"
                raise self.changed(why, split(hunk.added))
            start = _nearest(offsets, hunk)
        end = start + len(hunk.added)
        if not hunk.added.endswith(b"\n") and self.read(end, end + 1) == b"\n":
            end += 1
        if self._is_continued(end):
            raise self.changed("is now continued in the next line", split(hunk.added)[-1:])
        return start, end

    def _is_continued(self, end: int) -> bool:
        """Whether the line at an offset continues the one before it."""
        if not self.format.continued:
            return False
        behind = self.read(end, start_behind(self.format, self.read, self.size, end))
        lines = behind.decode("utf-8", "surrogateescape").split("\n")
        return any(line[:1] in " \t" and not only_comments(line) for line in lines)

    def _gap(self, hunk: Hunk) -> int:
        """The old offset of the removed lines: between their neighbours, or next to one of them."""
        context = hunk.before + hunk.behind
        if context:
            offsets = [start + len(hunk.before) for start in self._occurrences(context)]
            if self.format.ordered:
                offsets = [offset for offset in offsets if self._is_at_same_end(hunk, offset)]
            if len(offsets) == 1 or (offsets and not self.format.ordered):
                offset = _nearest(offsets, hunk)
                return self._boundary(offset) if self._is_continued(offset) else offset
        if self.format.ordered and self.size:
            raise self.changed("can't be restored: the order has changed", split(hunk.removed))
        for neighbour, skipped in ((hunk.before, len(hunk.before)), (hunk.behind, 0)):
            offsets = list(self._occurrences(neighbour)) if neighbour else []
            if len(offsets) == 1:
                return self._boundary(offsets[0] + skipped)
        return self.size

    def _is_at_same_end(self, hunk: Hunk, offset: int) -> bool:
        """Whether an offset is at the start or the end of the file if the hunk was there."""
        return bool(hunk.before or offset == 0) and bool(hunk.behind or offset == self.size)

    def _boundary(self, offset: int) -> int:
        """The next offset that is not inside an entry."""
        return start_behind(self.format, self.read, self.size, offset)

    def _occurrences(self, lines: bytes) -> Iterator[int]:
        """The offsets of some whole lines; the last one may lack its line feed."""
        pattern = b"\n" + lines.removesuffix(b"\n") + b"\n"
        start = 0
        while start < self.size:
            end = min(self.size, start + _CHUNK_BYTES)
            raw = self.read(max(0, start - 1), min(self.size, end + len(pattern)))
            raw = raw if start else b"\n" + raw
            if end + len(pattern) >= self.size and not raw.endswith(b"\n"):
                raw += b"\n"
            position = raw.find(pattern)
            while 0 <= position < end - start:
                yield start + position
                position = raw.find(pattern, position + 1)
            start = end

    def changed(self, why: str, lines: Sequence[bytes]) -> LinesChanged:
        first = lines[0].decode("utf-8", "backslashreplace") if lines else ""
        first = self.format.hidden(first)
        named = f"{first!r} {why}" if lines else why
        return LinesChanged(f"{self.format.file}: {named}", self.format.file, lines)

    # -- the document after replacements

    def replaced(self, pieces: Sequence[Replacement]) -> Document[Any]:
        """The document after replacements, with line feeds between lines that become neighbours."""
        complete: list[Replacement] = []
        for piece in pieces:
            first = not complete or complete[-1][1] < piece[0]
            complete.append(self._complete(piece, first, piece is pieces[-1]))
        if isinstance(self.document, LargeDocument):
            return self._spliced(self.document, complete)
        return Document.from_bytes(self.format, self._content(0, self.size, complete))

    def _complete(self, piece: Replacement, first: bool, last: bool) -> Replacement:
        start, end, raw = piece
        feed = self.document.newline().encode()
        if raw and not raw.endswith(b"\n") and (end < self.size or not last):
            raw += feed
        at_end = first and raw and 0 < start == self.size
        if at_end and self.read(start - 1, start) != b"\n":
            raw = feed + raw
        return start, end, raw

    def _content(self, start: int, end: int, pieces: Sequence[Replacement]) -> bytes:
        """The bytes between two offsets after replacements."""
        parts, position = [], start
        for old_start, old_end, raw in pieces:
            parts += [self.read(position, old_start), raw]
            position = old_end
        return b"".join([*parts, self.read(position, end)])

    def _spliced(
        self, document: LargeDocument[Any], pieces: Sequence[Replacement]
    ) -> Document[Any]:
        """A large document with splices of whole lines, one for all replacements in a line."""
        groups: list[tuple[int, int, list[Replacement]]] = []
        for piece in pieces:
            low = start_before(self.format, self.read, self.size, piece[0])
            high = start_behind(self.format, self.read, self.size, piece[1])
            if groups and low <= groups[-1][1]:
                first, last, group = groups[-1]
                groups[-1] = first, max(last, high), [*group, piece]
            else:
                groups.append((low, high, [piece]))
        splices = [
            Splice(low, high, self._content(low, high, group).decode("utf-8", "surrogateescape"))
            for low, high, group in groups
        ]
        return LargeDocument(self.format, document.base, splices)


def _nearest(offsets: Iterable[int], hunk: Hunk) -> int:
    return min(offsets, key=lambda offset: abs(offset - hunk.offset))


def keys_of_removed_lines(format: Format[Any], entry: HistoryEntry) -> list[str]:
    """The keys of the lines that an entry removed from a file."""
    return _keys(format, [hunk.removed for hunk in _hunks(format, entry)])


def removed_keys(format: Format[Any], entry: HistoryEntry) -> list[str]:
    """The keys that an entry removed from a file: it added no other line for them."""
    added = set(_keys(format, [hunk.added for hunk in _hunks(format, entry)]))
    return [key for key in keys_of_removed_lines(format, entry) if key not in added]


def added_keys(format: Format[Any], entry: HistoryEntry) -> list[str]:
    """The keys that an entry added to a file: it removed no other line for them."""
    added = _keys(format, [hunk.added for hunk in _hunks(format, entry)])
    removed = set(keys_of_removed_lines(format, entry))
    return [key for key in added if key not in removed]


def renamed_account(entry: HistoryEntry) -> tuple[str, str] | None:
    """The old and the new address of the account that a command has renamed, together with its
    mailbox; None if it was another change."""
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


def _hunks(format: Format[Any], entry: HistoryEntry) -> Iterator[Hunk]:
    return (hunk for change in entry.files if change.file == format.file for hunk in change.hunks)


def _keys(format: Format[Any], raws: Iterable[bytes]) -> list[str]:
    """The keys of some lines, each once."""
    texts = (raw.decode("utf-8", "surrogateescape") for raw in raws)
    keys = (format.key(line) for text in texts for line in format.split(text))
    return list(dict.fromkeys(key for key in keys if key))
