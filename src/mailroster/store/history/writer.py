"""What a change is noted as in the history: lines that say by their first word what they are. Their
meaning is in docs/reference/formats/history.md; `store/history/entry.py` reads them.

Every edit pays for this module: it has functions and plain tuples only.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from mailroster.roster.documents.byte_lines import lines_of
from mailroster.roster.documents.document import Document, Format
from mailroster.roster.documents.large import LargeDocument, whole
from mailroster.roster.documents.splices import Bytes, Splice, splices_between

#: A place where lines differ: where it begins in the new file, as octets and as the number of the
#: line (0 in a large file: nobody has counted); the line before; the lines that went; those that
#: came; the line behind. Lines have their line feeds.
Place: TypeAlias = tuple[int, int, bytes, bytes, bytes, bytes]

#: A neighbour that is longer is not repeated: it would be in every entry.
_NEIGHBOUR_BYTES = 300
#: The form of words that need no quotes.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_{}~…")
_COMMAND_CHARS = 2000


def entry(
    number: int, when: str, author: str, files: Iterable[bytes], *, done: bool = False
) -> bytes:
    """A whole entry; `author` is who and by what: `UID:USER SUDO COMMAND`."""
    end = f"end {number}\n" + (f"done {number}\n" if done else "")
    return b"".join((f"change {number} {when} {author}\n".encode(), *files, end.encode()))


def author(uid: int, user: str, sudo: str, command: str) -> str:
    """Who changes something and by what; `sudo` is `UID:USER` behind sudo(8), or ""."""
    who, by = ("".join(c for c in name if c.isprintable() and c != " ") for name in (user, sudo))
    return f"{uid}:{who} {by or '-'} {command}"


def command(words: Sequence[str]) -> str:
    """A command line as one line of text, quoted where a shell wants it."""
    text = " ".join(map(_quoted, words))
    return text if len(text) <= _COMMAND_CHARS else f"{text[:_COMMAND_CHARS]}…"


def _quoted(word: str) -> str:
    if word and _PLAIN.issuperset(word):
        return word
    if word.isprintable():
        return "'" + word.replace("'", "'\\''") + "'"
    escaped = word.encode("unicode_escape").decode().replace("'", "\\'")
    return f"$'{escaped}'"


def file_part(before: Document[Any], after: Document[Any], room: int) -> bytes:
    """What an edit has changed in one file; if that is more than some bytes, only how much."""
    old_size, found = places(before, after)
    new_size = old_size + sum(len(place[4]) - len(place[3]) for place in found)
    return part(after.format.file, old_size, new_size, found, room)


def part(file: str, old_size: int, new_size: int, found: Iterable[Place], room: int) -> bytes:
    """The lines of an entry that are about one file."""
    head = f"file {file} {old_size} {new_size}\n".encode()
    found = list(found)
    if sum(len(place[3]) + len(place[4]) for place in found) > room:
        removed = sum(_count(place[3]) for place in found)
        added = sum(_count(place[4]) for place in found)
        return head + f"short {removed} {added}\n".encode()
    return head + b"".join(map(_written, found))


def places(before: Document[Any], after: Document[Any]) -> tuple[int, list[Place]]:
    """The size of the old file, and where the new one differs."""
    if (
        isinstance(before, LargeDocument)
        and isinstance(after, LargeDocument)
        and before.base.token == after.base.token
        and not before.splices
    ):
        base = Bytes(before.base.read, before.base.size)
        return base.size, list(_placed(base, _finer(after.format, base, after.splices), b""))
    one, other = bytes(whole(before)), bytes(whole(after))

    def old(start: int, end: int) -> bytes:
        return one[start:end]

    def new(start: int, end: int) -> bytes:
        return other[start:end]

    base = Bytes(old, len(one))
    splices: list[Splice] | None
    if other.startswith(one) and one[-1:] in (b"", b"\n"):  # nearly always
        added = other[len(one) :].decode("utf-8", "surrogateescape")
        splices = [Splice(len(one), len(one), added)]
    else:
        splices = splices_between(after.format, base, Bytes(new, len(other)))
    if splices is None:
        splices = [Splice(0, len(one), after.text)]
    return len(one), list(_placed(base, _finer(after.format, base, splices), one))


def _finer(format: Format[Any], base: Bytes, splices: Iterable[Splice]) -> list[Splice]:
    """The same without the logical lines that stand on both sides of a splice, in their order."""
    finer = []
    for splice in splices:
        removed = base.read(splice.start, splice.end)
        if removed.count(b"\n") + splice.text.count("\n") <= 2 or not (removed and splice.text):
            finer.append(splice)
            continue
        old = _lines(format, removed.decode("utf-8", "surrogateescape"))
        new = _lines(format, splice.text)
        start = splice.start
        for same, one, other in _runs(old, new):
            start += _octets(old[same : one[0]])
            end = start + _octets(old[one[0] : one[1]])
            finer.append(Splice(start, end, "".join(new[other[0] : other[1]])))
            start = end
    return finer


def _octets(lines: Sequence[str]) -> int:
    return len("".join(lines).encode("utf-8", "surrogateescape"))


def _lines(format: Format[Any], text: str) -> list[str]:
    """Logical lines with their line feeds."""
    *lines, last = lines_of(format, text)
    feed = "\n" if text.endswith("\n") else ""
    return [*(f"{line}\n" for line in lines), f"{last}{feed}"]


def _runs(
    old: Sequence[str], new: Sequence[str]
) -> "Iterator[tuple[int, tuple[int, int], tuple[int, int]]]":
    """Where two lists of lines differ, one run after the other; and before each run from where on
    the first list is the same. They meet again at the next line that both have and that says
    something."""
    places: dict[str, list[int]] = {}
    for place, line in enumerate(old):
        places.setdefault(line, []).append(place)
    end_i, end_j = len(old), len(new)
    while end_i and end_j and old[end_i - 1] == new[end_j - 1]:
        end_i, end_j = end_i - 1, end_j - 1
    i = j = 0
    while i < end_i or j < end_j:
        same = i
        while i < end_i and j < end_j and old[i] == new[j]:
            i, j = i + 1, j + 1
        if i == end_i and j == end_j:
            return
        met_i, met_j = end_i, end_j
        for place in range(j, end_j):
            some = places.get(new[place], ())
            behind = bisect_left(some, i)
            if behind < len(some) and some[behind] < end_i and not new[place].isspace():
                met_i, met_j = some[behind], place
                break
        yield same, (i, met_i), (j, met_j)
        i, j = met_i, met_j


def _placed(base: Bytes, splices: Sequence[Splice], counted: bytes) -> Iterable[Place]:
    """Splices of a file as places. Lines are counted in its bytes, if there are any."""
    shift = lines = behind = 0  # how far the new file is ahead; where the last splice has ended
    for nth, splice in enumerate(splices):
        start, end, added = splice.start, splice.end, splice.raw()
        removed = base.read(start, end)
        limit = splices[nth + 1].start if nth + 1 < len(splices) else base.size
        number = 1 + lines + counted.count(b"\n", 0, start) if counted or not base.size else 0
        yield (
            start + shift,
            number,
            _line_before(base, behind, start),
            removed,
            added,
            _line_behind(base, end, limit),
        )
        shift += len(added) - len(removed)
        lines += added.count(b"\n") - removed.count(b"\n")
        behind = end


def _line_before(base: Bytes, low: int, start: int) -> bytes:
    """The line that ends at an offset, if it begins at another one or behind it, and is short."""
    raw = base.read(max(low, start - _NEIGHBOUR_BYTES), start)
    place = raw.rfind(b"\n", 0, -1) if raw else -1
    return raw[place + 1 :] if place >= 0 or start - len(raw) == low else b""


def _line_behind(base: Bytes, end: int, high: int) -> bytes:
    raw = base.read(end, min(high, end + _NEIGHBOUR_BYTES))
    place = raw.find(b"\n")
    if place >= 0:
        return raw[: place + 1]
    return raw if end + len(raw) == high else b""


def _written(place: Place) -> bytes:
    offset, number, before, removed, added, behind = place
    marked = ((b" ", before), (b"-", removed), (b"+", added), (b" ", behind))
    lines = [line for mark, raw in marked if raw for line in _marked(mark, raw)]
    return f"at {offset} {number}\n".encode() + b"".join(lines)


def _marked(mark: bytes, raw: bytes) -> list[bytes]:
    """Lines with a mark in front; a `\\` below the last one says that it lacks its line feed."""
    lines = raw.split(b"\n")
    last = lines.pop()
    return [b"%b%b\n" % (mark, line) for line in lines] + (
        [b"%b%b\n\\\n" % (mark, last)] if last else []
    )


def _count(raw: bytes) -> int:
    return raw.count(b"\n") + (not raw.endswith(b"\n") if raw else 0)
