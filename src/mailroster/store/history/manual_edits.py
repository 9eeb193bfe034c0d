"""What somebody has changed by hand: what comes into force and stands in no entry of the history.

Of each line the newest entry that has it tells whether the history knows it as there or as gone. A
line that comes into force as the history knows it was noted already, by the command that wrote it.
"""

from collections.abc import Iterable
from typing import NamedTuple

from mailroster.roster.documents.document import Document
from mailroster.roster.documents.text import only_comments
from mailroster.roster.roster import Roster, differing
from mailroster.store.history.writer import Place, part, places


class Part(NamedTuple):
    """What was changed by hand in one file, as an entry says it."""

    file: str
    text: bytes


def by_hand(
    before: Roster, after: Roster, history: bytes, room: int, *, later: bool = False
) -> list[Part]:
    """What is in force in the second roster and was not in the first, less what is noted already.

    `later`: the files may have been written again since `after` was read, so the history may know
    more than that.
    """
    parts = []
    for _, old, new in differing(before, after):
        file = new.format.file
        old_size, found = places(old, new)
        new_size = old_size + sum(len(place[4]) - len(place[3]) for place in found)
        moved = _moved(found, new)
        lines = {line for place in found for line in _texts(place)}
        known = _marks(history, file.encode(), lines)
        left = []
        for place in found:
            removed = _unknown(place[3], b"-", known, moved, later=later)
            added = _unknown(place[4], b"+", known, moved, later=later)
            if removed != added:
                offset = place[0] + (place[4].find(added) if added else 0)
                left.append((offset, place[1], place[2], removed, added, place[5]))
        if left:
            parts.append(Part(file, part(file, old_size, new_size, left, room)))
            room -= len(parts[-1].text)
    return parts


def _texts(place: Place) -> set[bytes]:
    return {line.rstrip(b"\n") for raw in (place[3], place[4]) for line in raw.split(b"\n")}


def _moved(found: Iterable[Place], document: Document[object]) -> set[bytes]:
    """The lines that are only in another place: so are entries that are held back, and have their
    place again when they are let go or come back."""
    if document.format.ordered:
        return set()
    found = list(found)
    removed = {line for place in found for line in place[3].split(b"\n")}
    added = {line for place in found for line in place[4].split(b"\n")}
    return {line for line in removed & added if not _says_nothing(line)}


def _says_nothing(line: bytes) -> bool:
    return only_comments(line.decode("utf-8", "replace"))


def _unknown(
    raw: bytes, mark: bytes, known: dict[bytes, bytes], moved: set[bytes], *, later: bool
) -> bytes:
    """The lines of a place that are not noted with a mark; comments and empty lines go with those
    that they stand with."""
    lines = _lines(raw)

    def is_noted(line: bytes) -> bool:
        marks = known.get(line, b"")
        return line in moved or (mark in marks if later else marks.endswith(mark))

    fresh = [line for line in lines if not is_noted(line.rstrip(b"\n"))]
    if all(_says_nothing(line) for line in fresh) and len(fresh) < len(lines):
        return b""
    told = set(fresh)
    return b"".join(line for line in lines if line in told or _says_nothing(line))


def _lines(raw: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in raw.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return [line for line in lines if line]


def _marks(history: bytes, file: bytes, lines: set[bytes]) -> dict[bytes, bytes]:
    """The marks of some lines of a file in a history, the newest last."""
    found: dict[bytes, bytes] = {}
    inside = False
    for line in history.split(b"\n"):
        mark = line[:1]
        if mark in (b"-", b"+"):
            if inside and line[1:] in lines:
                found[line[1:]] = found.get(line[1:], b"") + mark
        elif mark not in (b" ", b"\\"):
            inside = line.startswith(b"file " + file + b" ") or (inside and mark == b"a")
    return found
