"""What is served, kept beside the tables: a copy of every file, and an index of the large ones.

The copies tell what a hand edit changed, and what to keep serving when a file is damaged. While the
copy of a file is the file itself, as its identity tells, commands use the index for the file too.
"""

import os
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any

from mailroster.base.address import is_idna, split
from mailroster.base.findings import ParseError
from mailroster.roster.documents.byte_lines import (
    cut,
    is_start,
    length,
    line_at,
    lines_of,
    start_before,
    start_behind,
)
from mailroster.roster.documents.document import Document, Format, mentions
from mailroster.roster.documents.large import LargeDocument, content_of, whole
from mailroster.roster.documents.splices import SPLICES_MAX, Bytes, Splice, splices_between
from mailroster.roster.roster import Roster, document_of
from mailroster.store.config_folder import Edited, Find
from mailroster.system.files import ABSENT, Disk, Identity, identity, identity_of, opened, read

if TYPE_CHECKING:
    from mailroster.publish.index import CopyInfo, Entry, Index, IndexFile

#: The size of a file from which on it has an index: below it, reading all of it is quicker.
INDEX_FROM_BYTES = 1 << 18
#: How far lines may have moved before the index is made anew.
_DRIFT_MAX_BYTES = 1 << 20
#: From so many lines on that mention a domain, all lines are looked at.
_MANY = 256
_CHUNK_BYTES = 1 << 23
_BATCH = 100_000
#: Two writes within one tick of the kernel's clock have the same times; HZ is 100 at the least.
_TICK_S = 0.02


class IndexedFile:
    """A file with an index: the base of a document."""

    def __init__(
        self, format: Format[Any], field: str, path: str, index: "Index", note: "CopyInfo"
    ):
        self._format, self._field, self._index, self._note = format, field, index, note
        self._file = opened(path)
        self.fd = self._file.fileno()
        self.size, self.entries, self.faulty = note.size, note.entries, note.faulty
        self.token: Hashable = (field, note.serial)

    def read(self, start: int, end: int) -> bytes:
        return os.pread(self.fd, end - start, start)

    def claiming(self, key: str) -> list[int]:
        hints = self._index.claiming(self._field, key)
        needles = () if is_idna(split(key)[1]) else (key,)
        return self._found(hints, needles, lambda line: self._format.key(line) == key)

    def mentioning(self, user: str, domain: str) -> list[int]:
        def matches(line: str) -> bool:
            try:
                entry = self._format.parse(line) if self._format.key(line) else None
            except ParseError:
                return False
            return entry is not None and mentions(self._format, entry, user, domain)

        hints = self._index.mentioning(self._field, user, domain)
        return self._found(hints, self._format.needles(user, domain), matches)

    def keys_in(self, domain: str) -> Iterator[str]:
        return self._index.keys_in(self._field, domain)

    def _found(
        self, hints: list[int], needles: Sequence[str], matches: Callable[[str], bool]
    ) -> list[int]:
        """Where lines stand that match, each of which holds one of the needles if there are any."""
        if len(hints) > _MANY and self._note.low != self._note.high:
            places = lines_in(self._format, self.read, self.size)
        else:
            places = (place for hint in hints for place in self._near(hint, needles))
        return sorted({offset for offset, line in places if matches(line)})

    def _near(self, hint: int, needles: Sequence[str]) -> Iterable[tuple[int, str]]:
        """The lines that may be the one that stood at an offset when that was written down."""
        low, high = hint + self._note.low, hint + self._note.high
        if low == high and is_start(self._format, self.read, self.size, hint):
            return [(hint, line_at(self._format, self.read, self.size, hint)[0])]
        low, high = max(0, low), min(high + 1, self.size)
        if low >= high:
            return []
        start = start_before(self._format, self.read, self.size, low)
        end = start_behind(self._format, self.read, self.size, high)
        return lines_with(self._format, self.read(start, end), start, needles)


def lines_with(
    format: Format[Any], raw: bytes, start: int, needles: Sequence[str]
) -> Iterator[tuple[int, str]]:
    """The logical lines that hold one of some words in any case, with their offsets, of whole
    lines that begin at an offset. All of them, if that can't be told by a search."""

    def at(low: int, high: int) -> bytes:
        return raw[low:high]

    searched = raw.isascii() and needles and all(needles)
    folded = raw.lower() if searched else b""
    for needle in map(str.encode, needles) if searched else (b"",):
        place = folded.find(needle)
        while place >= 0:
            low = start_before(format, at, len(raw), place) if searched else 0
            end = start_behind(format, at, len(raw), place + 1) if searched else len(raw)
            for offset, line in cut(format, at, len(raw), low, end):
                yield start + offset, line
            place = folded.find(needle, end) if searched else -1


def lines_in(
    format: Format[Any], read: Callable[[int, int], bytes], size: int
) -> Iterator[tuple[int, str]]:
    """All logical lines of a file with their offsets, a part of it in memory at a time."""
    start = 0
    while start < size:
        end = start_behind(format, read, size, min(size, start + _CHUNK_BYTES))
        yield from cut(format, read, size, start, end)
        start = end


class PublishedFiles:
    """The copies and the index in one folder. Whoever writes holds the lock of the state."""

    def __init__(
        self, folder: str, disk: Disk | None = None, index_from: int = INDEX_FROM_BYTES
    ) -> None:
        self._folder, self._disk, self._index_from = folder, disk or Disk(), index_from
        self._file: IndexFile | None = None

    @property
    def _index(self) -> "IndexFile":
        if self._file is None:
            from mailroster.publish.index import IndexFile

            self._file = IndexFile(self.path("index"), self._disk)
        return self._file

    def path(self, file: str) -> str:
        return os.path.join(self._folder, file)

    # -- reading

    def roster(self, known: Iterable[Roster] = ()) -> Roster:
        """The copies, as documents."""
        index = self._look()
        documents: dict[str, Document[Any]] = {}
        for field, empty in Roster().documents():
            path = self.path(empty.format.file)
            note = index.note(field) if index is not None else None
            if index is not None and note is not None and identity(path).size == note.size:
                base = IndexedFile(empty.format, field, path, index, note)
                documents[field] = LargeDocument(empty.format, base)
            else:
                documents[field] = document_of(field, read(path), known)
        return Roster(**documents)

    def current(
        self, field: str, path: str, found: Identity
    ) -> tuple[Document[Any], Identity] | None:
        """A file of the config folder by its index, if its copy is the same (store.Find)."""
        if found.size < self._index_from or (index := self._look()) is None:
            return None
        note = index.note(field)
        if note is None or note.identity != found:
            return None
        format = getattr(Roster(), field).format
        base = IndexedFile(format, field, path, index, note)
        return (LargeDocument(format, base), found) if identity_of(base.fd) == found else None

    def finding(self, served: Roster, edited: Edited | None) -> Find:
        """Finds the files of the config folder as what they differ in from what is served.

        `edited`: what a command has just done, so that nobody has to look for it.
        """

        def find(field: str, path: str, found: Identity) -> tuple[Document[Any], Identity] | None:
            ours = getattr(served, field)
            if not isinstance(ours, LargeDocument) or found == ABSENT:
                return None
            if edited is not None and edited.written.get(field, ABSENT) == found:
                theirs = getattr(edited.after, field)
                if isinstance(theirs, LargeDocument) and theirs.base.token == ours.base.token:
                    return LargeDocument(ours.format, ours.base, theirs.splices), found
            return (ours, found) if self._is_copied(field, found) else _compared(ours, path)

        return find

    def _is_copied(self, field: str, found: Identity) -> bool:
        """Whether a file of the config folder is known to be the same as its copy."""
        note = self._note(field) if found.size >= self._index_from else None
        return note is not None and note.identity == found

    # -- writing

    def put(self, field: str, document: Document[Any]) -> None:
        """Makes the copy of a file hold a document. If that is cut short, the copy has no index. A
        copy with a byte order mark never has one: the mark would move with the first line."""
        has_mark = document.has_mark()
        if isinstance(document, LargeDocument) and not has_mark and self._follow(field, document):
            return
        path = self.path(document.format.file)
        self._forget(field)
        self._disk.replace(path, content_of(document), mode=0o600)
        is_large = os.path.getsize(path) >= self._index_from
        if is_large and not document.format.ordered and not has_mark:
            self._build(field, whole(document), os.path.getsize(path))

    def leaves_half(self, document: Document[Any]) -> bool:
        """Whether a `put` that is cut short may leave a copy that is neither old nor new."""
        return isinstance(document, LargeDocument) and bool(moves(document))

    def agree(self, field: str, path: str, found: Identity) -> None:
        """Takes note that a file of the config folder is the same as its copy.

        Its last write must be so long ago that another one has another time.
        """
        note = self._note(field) if found.size >= self._index_from else None
        if note is None or note.identity == found or found.ctime_ns % 10**9 == 0:
            return
        wait_s = found.ctime_ns / 1e9 + _TICK_S - time.time()
        if wait_s > _TICK_S:
            return  # another machine's clock
        time.sleep(max(0.0, wait_s))
        if identity(path) == found:
            with self._index.writing() as writing:
                writing.put_note(field, note._replace(identity=found))

    def forget(self) -> None:
        """Nothing is known of the copies from now on, to nobody who has the index open."""
        self._forget(*Roster._fields)

    def _forget(self, *fields: str) -> None:
        if self._has_index():
            with self._index.writing() as writing:
                for field in fields:
                    writing.put_note(field, None)

    def close(self) -> None:
        self._index.close()

    def _has_index(self) -> bool:
        return os.path.exists(self.path("index"))

    def _look(self) -> "Index | None":
        return self._index.look() if self._has_index() else None

    def _note(self, field: str) -> "CopyInfo | None":
        index = self._look()
        return index.note(field) if index is not None else None

    def _follow(self, field: str, document: LargeDocument[Any]) -> bool:
        """Changes copy and index in place; False if the document does not stand on them."""
        note = self._note(field)
        if note is None or document.base.token != (field, note.serial):
            return False
        if not document.splices:
            return True
        new = moved(note, document)
        if new.high - new.low > _DRIFT_MAX_BYTES or len(document.splices) > SPLICES_MAX:
            return False
        format, path = document.format, self.path(document.format.file)
        removed = list(entries(format, ((0, line) for line in document.removed())))
        added = list(entries(format, _placed(document)))
        self._forget(field)
        self._rewrite(path, document, new.size)
        with self._index.writing() as writing:
            writing.forget(field, removed)
            writing.learn(field, added, new.serial)
            writing.put_note(field, new)
        return True

    def _rewrite(self, path: str, document: LargeDocument[Any], size: int) -> None:
        found = moves(document)
        if found is None:
            self._disk.replace(path, content_of(document), mode=0o600)
            return
        writes = ((offset, splice.raw()) for offset, splice in shifted(document))
        self._disk.patch(path, found, writes, size)

    def _build(self, field: str, document: Document[Any], size: int) -> None:
        """Makes the index of a copy anew."""
        from mailroster.publish.index import CopyInfo

        entries = faulty = 0
        with self._index.writing() as writing:
            serial = time.time_ns()  # none that was there before
            writing.clear(field)
            waiting = all_entries(document)
            while part := list(islice(waiting, _BATCH)):
                writing.learn(field, part, serial)
                entries += len(part)
                faulty += sum(1 for entry in part if entry.faulty)
            writing.put_note(field, CopyInfo(serial, ABSENT, size, 0, 0, entries, faulty))


def _compared(ours: LargeDocument[Any], path: str) -> tuple[Document[Any], Identity] | None:
    """A file of the config folder as what it differs in from its copy; None if that is too much."""
    with opened(path) as file:
        found = identity_of(file.fileno())

        def at(start: int, end: int) -> bytes:
            return os.pread(file.fileno(), end - start, start)

        copy = Bytes(ours.base.read, ours.base.size)
        splices = splices_between(ours.format, copy, Bytes(at, found.size))
    return None if splices is None else (LargeDocument(ours.format, ours.base, splices), found)


def entries(format: Format[Any], lines: Iterable[tuple[int, str]]) -> Iterator["Entry"]:
    """What the index keeps of some lines with their offsets."""
    from mailroster.publish.index import Entry

    for offset, line in lines:
        if not (key := format.key(line)):
            continue
        try:
            yield Entry(offset, key, tuple(format.mentions(format.parse(line))), False)
        except ParseError:
            yield Entry(offset, key, (), True)


def all_entries(document: Document[Any]) -> Iterator["Entry"]:
    """The same of every line of a file, which is not read again for what is known of it."""
    from mailroster.publish.index import Entry

    format, lines = document.format, document.lines
    lengths = map(len, lines) if document.text.isascii() else map(length, lines)
    offsets = list(accumulate((octets + 1 for octets in lengths), initial=0))
    unreadable, made = document.unreadable(), Entry._make
    mentioning = type(format).mentions is not Format.mentions
    for key, position in document.claims():
        faulty = position in unreadable
        read = mentioning and not faulty
        found = tuple(format.mentions(document.entry_at(position))) if read else ()
        yield made((offsets[position], key, found, faulty))


def shifted(document: LargeDocument[Any]) -> Iterator[tuple[int, Splice]]:
    """Every splice, with where its text begins in the new file."""
    shift = 0
    for splice in document.splices:
        yield splice.start + shift, splice
        shift += len(splice.raw()) - (splice.end - splice.start)


def _placed(document: LargeDocument[Any]) -> Iterator[tuple[int, str]]:
    """The lines that the splices bring, with their offsets in the new file."""
    for offset, splice in shifted(document):
        for line in lines_of(document.format, splice.text):
            yield offset, line
            offset += length(line) + 1


def _kept(document: LargeDocument[Any]) -> list[tuple[int, int, int]]:
    """The parts of the base that stay, behind each splice: from, to, and how many bytes."""
    ends = [*(splice.start for splice in document.splices[1:]), document.base.size]
    found = []
    for (offset, splice), end in zip(shifted(document), ends, strict=True):
        if end > splice.end:
            found.append((splice.end, offset + len(splice.raw()), end - splice.end))
    return found


def moves(document: LargeDocument[Any]) -> list[tuple[int, int, int]] | None:
    """The parts of the base that move, in an order in which none overwrites another; None if
    there is no such order, as parts move both ways."""
    found = [(start, to, count) for start, to, count in _kept(document) if start != to]
    if all(to < start for start, to, _ in found):
        return found
    return found[::-1] if all(to > start for start, to, _ in found) else None


def moved(note: "CopyInfo", document: LargeDocument[Any]) -> "CopyInfo":
    """What is known of a copy once a document has been put in its place."""
    shifts = [to - start for start, to, _ in _kept(document)]
    size = note.size + sum(len(s.raw()) - (s.end - s.start) for s in document.splices)
    low, high = note.low + min(0, *shifts, 0), note.high + max(0, *shifts, 0)
    return note._replace(
        serial=note.serial + 1,
        identity=ABSENT,
        size=size,
        low=low,
        high=high,
        entries=document.size_hint(),
        faulty=document.faulty(),
    )
