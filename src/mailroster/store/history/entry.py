"""A change of the folder as the history keeps it. The text is read here, `store/history/writer.py`
writes it:

    change ID TIME UID:USER SUDO COMMAND
    file NAME OLD-BYTES NEW-BYTES
    at OFFSET LINE
     the line before
    -a line that went
    +a line that came
     the line behind
    end ID
    done ID

Lines of a file have a mark in front, so that whatever stands in them is taken for nothing else.
"""

from collections.abc import Iterator
from typing import NamedTuple

START = b"change "
#: What stands in the place of a command for an edit by hand.
BY_HAND = "by hand"


class Hunk(NamedTuple):
    """A place where lines differ (noting.Place). Lines have their line feeds."""

    offset: int  # in the new file, in octets
    line: int  # its number in the new file; 0: not counted
    before: bytes  # the line before, if it is short; so `behind`
    removed: bytes
    added: bytes
    behind: bytes


class FileChange(NamedTuple):
    """What a change did to one file."""

    file: str
    old_size: int
    new_size: int
    removed: int  # how many lines
    added: int
    hunks: tuple[Hunk, ...]
    short: bool  # only counted, since it was too much


class Entry(NamedTuple):
    """One change: who, when, by which command, and what it did."""

    id: int
    time: str  # UTC, 2026-12-31T23:59:59Z
    uid: int
    user: str
    sudo: str  # "1000:jane", or ""
    command: str
    files: tuple[FileChange, ...]
    whole: bool  # its text has an end
    done: bool  # and the change has been made

    @property
    def by_hand(self) -> bool:
        return self.command == BY_HAND

    def who(self) -> str:
        """For people. Of an edit by hand the owner of the file is known, and no more."""
        name = self.user or f"uid {self.uid}"
        if self.by_hand:
            return f"{name}, whose file it is"
        return f"{name} (sudo: {self.sudo.partition(':')[2] or self.sudo})" if self.sudo else name


def parse(raw: bytes) -> Entry | None:
    """The entry that begins with the first line. None if it can't be read."""
    first, _, rest = raw.partition(b"\n")
    words = first.decode("utf-8", "replace").split(" ", 5)
    try:
        word, number, time, author, sudo, command = words
        uid, _, user = author.partition(":")
        entry = Entry(int(number), time, int(uid), user, sudo.strip("-"), command, (), False, False)
        if word != "change":
            return None
        marks = {f"{mark} {number}".encode() for mark in ("end", "done")} & set(rest.split(b"\n"))
        files = tuple(_files(rest))
    except (ValueError, IndexError):
        return None
    whole = f"end {number}".encode() in marks
    return entry._replace(files=files, whole=whole, done=whole and len(marks) == 2)


def _files(raw: bytes) -> Iterator[FileChange]:
    """Raises ValueError or IndexError for what can't be read."""
    change: FileChange | None = None
    hunks: list[list[bytes]] = []
    for line in _lines(raw):
        mark = line[:1]
        if mark in b" -+\\":
            _add(hunks[-1], mark, line[1:])
            continue
        words = line.split()
        if words[0] in (b"file", b"end") and change is not None:
            yield _with(change, hunks)
            change, hunks = None, []
        if words[0] == b"file":
            file, old, new = line[5:].decode("utf-8", "surrogateescape").rstrip("\n").rsplit(" ", 2)
            change = FileChange(file, int(old), int(new), 0, 0, (), False)
        elif words[0] == b"at":
            hunks.append([words[1], words[2], b"", b"", b"", b""])
        elif words[0] == b"short" and change is not None:
            removed, added = map(int, words[1:])
            change = change._replace(removed=removed, added=added, short=True)


def _lines(raw: bytes) -> Iterator[bytes]:
    """With their line feeds, and without the empty one at the end."""
    start = 0
    while (end := raw.find(b"\n", start)) >= 0:
        yield raw[start : end + 1]
        start = end + 1


def _add(hunk: list[bytes], mark: bytes, line: bytes) -> None:
    if mark == b"\\":
        last = max(n for n in range(2, 6) if hunk[n])
        hunk[last] = hunk[last][:-1]
        return
    behind = hunk[3] or hunk[4]
    number = {b"-": 3, b"+": 4}.get(mark, 5 if behind else 2)
    hunk[number] += line


def _with(change: FileChange, found: list[list[bytes]]) -> FileChange:
    hunks = tuple(Hunk(int(h[0]), int(h[1]), h[2], h[3], h[4], h[5]) for h in found)
    if change.short:
        return change
    removed = sum(len(split(hunk.removed)) for hunk in hunks)
    added = sum(len(split(hunk.added)) for hunk in hunks)
    return change._replace(removed=removed, added=added, hunks=hunks)


def split(raw: bytes) -> list[bytes]:
    """Lines without their line feeds."""
    return raw.removesuffix(b"\n").split(b"\n") if raw else []
