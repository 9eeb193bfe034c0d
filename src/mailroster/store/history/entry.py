"""An entry of the history: a change of the folder. This module parses its text, which
`store/history/writer.py` renders:

    change ID TIME UID:USER SUDO COMMAND
    file NAME OLD-BYTES NEW-BYTES
    at OFFSET LINE
     the line before
    -a removed line
    +an added line
     the line after
    end ID
    done ID

Each line of a file has a mark in front of it, so that its content is never read as a keyword.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

#: The command of a manual edit.
BY_HAND = "by hand"


class Hunk(NamedTuple):
    """A place where lines differ. Lines have their line feeds."""

    offset: int  # in the new file, in octets
    line: int  # its number in the new file; 0 if unknown
    before: bytes  # the line before, if it is short; `behind`: the line after, if it is short
    removed: bytes
    added: bytes
    behind: bytes


class FileChange(NamedTuple):
    """The change of one file."""

    file: str
    old_size: int
    new_size: int
    removed: int  # number of lines
    added: int
    hunks: tuple[Hunk, ...]
    short: bool  # whether the lines were only counted, as they were too many


class HistoryEntry(NamedTuple):
    """One change: by whom, when, by which command, and its files."""

    id: int
    time: str  # UTC, 2026-12-31T23:59:59Z
    uid: int
    user: str
    sudo: str  # "1000:jane", or ""
    command: str
    files: tuple[FileChange, ...]
    whole: bool  # whether its text is complete
    done: bool  # whether it is marked as made

    @property
    def by_hand(self) -> bool:
        return self.command == BY_HAND

    def who(self) -> str:
        """The author, for people. Of a manual edit only the owner of the file is known."""
        name = self.user or f"uid {self.uid}"
        if self.by_hand:
            return f"{name}, whose file it is"
        return f"{name} (sudo: {self.sudo.partition(':')[2] or self.sudo})" if self.sudo else name


def parse(raw: bytes) -> HistoryEntry | None:
    """Parses an entry; None if it can't be read."""
    first, _, rest = raw.partition(b"\n")
    words = first.decode("utf-8", "replace").split(" ", 5)
    try:
        word, number, time, author, sudo, command = words
        uid, _, user = author.partition(":")
        entry = HistoryEntry(
            int(number), time, int(uid), user, sudo.strip("-"), command, (), False, False
        )
        if word != "change":
            return None
        marks = {f"{mark} {number}".encode() for mark in ("end", "done")} & set(rest.split(b"\n"))
        files = tuple(_files(rest))
    except (ValueError, IndexError):
        return None
    whole = f"end {number}".encode() in marks
    return entry._replace(files=files, whole=whole, done=whole and len(marks) == 2)


def _files(raw: bytes) -> Iterator[FileChange]:
    """Parses the file parts of an entry. Raises ValueError or IndexError for any other text."""
    change: FileChange | None = None
    hunks: list[Hunk] = []
    for line in _lines(raw):
        mark = line[:1]
        if mark in b" -+\\":
            hunks[-1] = _with_line(hunks[-1], mark, line[1:])
            continue
        words = line.split()
        if words[0] in (b"file", b"end") and change is not None:
            yield _with_hunks(change, hunks)
            change, hunks = None, []
        if words[0] == b"file":
            file, old, new = line[5:].decode("utf-8", "surrogateescape").rstrip("\n").rsplit(" ", 2)
            change = FileChange(file, int(old), int(new), 0, 0, (), False)
        elif words[0] == b"at":
            hunks.append(Hunk(int(words[1]), int(words[2]), b"", b"", b"", b""))
        elif words[0] == b"short" and change is not None:
            removed, added = map(int, words[1:])
            change = change._replace(removed=removed, added=added, short=True)


def _lines(raw: bytes) -> Iterator[bytes]:
    """The lines of a text, with their line feeds."""
    start = 0
    while (end := raw.find(b"\n", start)) >= 0:
        yield raw[start : end + 1]
        start = end + 1


def _with_line(hunk: Hunk, mark: bytes, line: bytes) -> Hunk:
    """A hunk with one more line; the mark `\\` removes the line feed of the last one instead."""
    part: Any = "behind" if hunk.removed or hunk.added else "before"
    if mark == b"-":
        part = "removed"
    elif mark == b"+":
        part = "added"
    elif mark == b"\\":
        part = [name for name in Hunk._fields[2:] if getattr(hunk, name)][-1]
        return hunk._replace(**{part: getattr(hunk, part)[:-1]})
    return hunk._replace(**{part: getattr(hunk, part) + line})


def _with_hunks(change: FileChange, hunks: list[Hunk]) -> FileChange:
    if change.short:
        return change
    removed = sum(len(split(hunk.removed)) for hunk in hunks)
    added = sum(len(split(hunk.added)) for hunk in hunks)
    return change._replace(removed=removed, added=added, hunks=tuple(hunks))


def split(raw: bytes) -> list[bytes]:
    """Lines without their line feeds."""
    return raw.removesuffix(b"\n").split(b"\n") if raw else []
