"""The changes of the config folder, as they may be shown: no line has a secret in it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mailroster.app.home import Home
from mailroster.base.address import fold
from mailroster.base.findings import printable
from mailroster.roster.plan import shown
from mailroster.roster.roster import Roster
from mailroster.store.history.entry import Entry, FileChange, split

#: The characters of an address: next to one of them another address would go on.
_CHARS = b"abcdefghijklmnopqrstuvwxyz0123456789.-_+&'~"


class Place(NamedTuple):
    """Neighbouring lines that a change has removed and added."""

    line: int  # of the new file; 0: not counted
    offset: int  # in the new file, in octets
    removed: list[str]
    added: list[str]


class ChangedFile(NamedTuple):
    """What a change did to one file: how many lines it removed and added, and which, on
    request."""

    file: str
    removed: int
    added: int
    can_be_undone: bool
    places: list[Place]


class Change(NamedTuple):
    """One change: who, when, by which command, and what it did."""

    id: int
    time: str  # UTC, 2026-12-31T23:59:59Z
    uid: int
    user: str
    sudo: str  # "1000:jane", or ""
    who: str  # for people
    command: str
    by_hand: bool
    files: list[ChangedFile]

    def __str__(self) -> str:
        return f"{self.id} {self.time} {self.who}: {printable(self.command)}"


def changes(
    home: Home, address: str | None = None, *, with_lines: bool = False
) -> Iterator[Change]:
    """The newest first; those alone that name an address, if one is given. Raises Refused."""
    entries = home.store().history()
    words = set() if address is None else {address.lower(), fold(address)} - {""}
    wanted = [word.encode("utf-8", "surrogateescape") for word in words]
    return (
        change_of(entry, with_lines=with_lines)
        for entry in entries
        if address is None or any(_names(entry, word) for word in wanted)
    )


def change_of(entry: Entry, *, with_lines: bool = False) -> Change:
    return Change(
        entry.id, entry.time, entry.uid, entry.user, entry.sudo, entry.who(), entry.command,
        entry.by_hand, [_changed_file(change, with_lines) for change in entry.files],
    )  # fmt: skip


def _changed_file(change: FileChange, with_lines: bool) -> ChangedFile:
    hidden = _hiding(change.file)
    places = [
        Place(hunk.line, hunk.offset, _texts(hunk.removed, hidden), _texts(hunk.added, hidden))
        for hunk in (change.hunks if with_lines else ())
    ]
    return ChangedFile(change.file, change.removed, change.added, not change.short, places)


def _texts(raw: bytes, hidden: Callable[[str], str]) -> list[str]:
    return [shown(hidden(line.decode("utf-8", "backslashreplace"))) for line in split(raw)]


def _hiding(file: str) -> Callable[[str], str]:
    """Hides the secrets in the lines of a file; of one that is unknown here all of it."""
    known = {document.format.file: document.format.hidden for document in Roster()}
    return known.get(file, lambda line: "…")


def _names(entry: Entry, word: bytes) -> bool:
    """Whether the command of an entry, or a line, has a word that is no part of a longer
    address."""
    return any(_has_word(text.encode(), word) for text in _all_texts(entry))


def _all_texts(entry: Entry) -> Iterator[str]:
    """Its command and its lines, as they may be shown."""
    yield entry.command
    for change in entry.files:
        hidden = _hiding(change.file)
        for hunk in change.hunks:
            yield from _texts(hunk.removed, hidden)
            yield from _texts(hunk.added, hidden)


def _has_word(raw: bytes, word: bytes) -> bool:
    raw = raw.lower()
    place = raw.find(word)
    while place >= 0:
        end = place + len(word)
        before = b"" if word.startswith(b"@") else raw[max(0, place - 1) : place]
        if not any(char in _CHARS for char in before + raw[end : end + 1]):
            return True
        place = raw.find(word, place + 1)
    return False
