"""The changes of the config folder for display: no line contains a secret."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mailroster.app.home import Home
from mailroster.base.address import fold
from mailroster.base.findings import printable
from mailroster.roster.plan import shown
from mailroster.roster.roster import Roster
from mailroster.store.history.entry import FileChange, HistoryEntry, split

#: The characters of an address: next to one of them, a match is part of a longer address.
_CHARS = b"abcdefghijklmnopqrstuvwxyz0123456789.-_+&'~"


class ShownHunk(NamedTuple):
    """A hunk: adjacent lines that a change has removed and added."""

    line: int  # of the new file; 0: not counted
    offset: int  # in the new file, in octets
    removed: list[str]
    added: list[str]


class ChangedFile(NamedTuple):
    """The numbers of lines that a change removed and added in one file; the hunks on request."""

    file: str
    removed: int
    added: int
    can_be_undone: bool
    hunks: list[ShownHunk]


class Change(NamedTuple):
    """A change: its time, its user, its command and its files."""

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
    """Yields the changes, the newest first; with an address, only those that name it. Raises
    Refused."""
    entries = home.store().history()
    words = set() if address is None else {address.lower(), fold(address)} - {""}
    wanted = [word.encode("utf-8", "surrogateescape") for word in words]
    return (
        change_of(entry, with_lines=with_lines)
        for entry in entries
        if address is None or any(_names(entry, word) for word in wanted)
    )


def change_of(entry: HistoryEntry, *, with_lines: bool = False) -> Change:
    return Change(
        entry.id, entry.time, entry.uid, entry.user, entry.sudo, entry.who(), entry.command,
        entry.by_hand, [_changed_file(change, with_lines) for change in entry.files],
    )  # fmt: skip


def _changed_file(change: FileChange, with_lines: bool) -> ChangedFile:
    hidden = _hiding(change.file)
    hunks = [
        ShownHunk(hunk.line, hunk.offset, _texts(hunk.removed, hidden), _texts(hunk.added, hidden))
        for hunk in (change.hunks if with_lines else ())
    ]
    return ChangedFile(change.file, change.removed, change.added, not change.short, hunks)


def _texts(raw: bytes, hidden: Callable[[str], str]) -> list[str]:
    return [shown(hidden(line.decode("utf-8", "backslashreplace"))) for line in split(raw)]


def _hiding(file: str) -> Callable[[str], str]:
    """The function that hides the secrets in a line of a file; of an unknown file it hides all."""
    known = {document.format.file: document.format.hidden for document in Roster()}
    return known.get(file, lambda line: "…")


def _names(entry: HistoryEntry, word: bytes) -> bool:
    """Whether the command of an entry, or a line, contains an address, and not as a part of a
    longer one."""
    return any(_has_word(text.encode(), word) for text in _all_texts(entry))


def _all_texts(entry: HistoryEntry) -> Iterator[str]:
    """The command and the lines of an entry, without secrets."""
    yield entry.command
    for change in entry.files:
        hidden = _hiding(change.file)
        for hunk in change.hunks:
            yield from _texts(hunk.removed, hidden)
            yield from _texts(hunk.added, hidden)


def _has_word(raw: bytes, word: bytes) -> bool:
    raw = raw.lower()
    position = raw.find(word)
    while position >= 0:
        end = position + len(word)
        before = b"" if word.startswith(b"@") else raw[max(0, position - 1) : position]
        if not any(char in _CHARS for char in before + raw[end : end + 1]):
            return True
        position = raw.find(word, position + 1)
    return False
