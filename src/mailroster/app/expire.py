"""End dates of entries: finds those that have expired, and expires the entries.

A file is searched only when it has changed. The search reads annotations without their entries, and
lines of app passwords without the rest of the file, so that it may report an end date that has no
effect; the edit decides.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from typing import NamedTuple

from mailroster.app.passwords.hashing import hash_clear
from mailroster.base.findings import WARNING, Finding, Location
from mailroster.base.layout import Layout
from mailroster.edits.expiry import end_date_in, end_date_of_app_password, expire
from mailroster.publish.live_tables import LiveTables
from mailroster.roster.documents.notes import WORD
from mailroster.roster.roster import ENDING, Roster
from mailroster.store.config_folder import Store, TransactionResult
from mailroster.store.history.log import HISTORY
from mailroster.system.clock import Clock
from mailroster.system.files import ABSENT, Identity, identity, identity_of, opened

#: A file is searched again after this many times the duration of the last search.
SEARCH_PAUSE = 100
#: Two writes within this time may leave a file with the same timestamps.
_TICK_S = 0.02
_CHUNK_BYTES = 1 << 22
#: A longer line is no annotation.
_LINE_BYTES = 1 << 12


def now() -> str:
    """The local time in the form of mailroster.base.end_date."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time()))


def clock_of(store: Store, layout: Layout) -> Clock:
    """The clock of an instance. If it has no record of the time, it uses the times of the files."""
    files = [document.format.file for _, document in Roster().documents()]
    return Clock(layout.clock, map(store.path, (*files, HISTORY)))


def waiting(store: Store, layout: Layout) -> tuple[Finding, ...]:
    """Findings for files with expired end dates that wait, since the clock can't be trusted."""
    if not (doubt := clock_of(store, layout).doubt()):
        return ()
    message, _, hint = doubt.partition("; ")
    files = Deadlines(store.path, opened=store.opened).expired_files(now())
    return tuple(
        Finding(Location(file), WARNING, "clock-ahead", f"end dates wait: {message}", hint)
        for file in files
    )


def expire_entries(store: Store, tables: LiveTables, moment: str) -> TransactionResult:
    """Expires the entries whose end date is past, in one transaction. Raises as that does."""

    def edit(roster: Roster) -> Roster:
        return expire(roster, moment, hash_clear)

    return store.transact(edit, announce=tables.intents.announce)


class _Kind(NamedTuple):
    """How a file has its end dates: in lines with a word, from which `end_in` reads one."""

    word: bytes
    end_in: Callable[[str], str]


NOTES = _Kind(WORD.encode(), end_date_in)
APP_PASSWORDS = _Kind(b"until=", end_date_of_app_password)


class _SearchedFile(NamedTuple):
    """The result of the last search of a file."""

    identity: Identity = ABSENT
    kind: _Kind = NOTES
    next_search: float = 0.0  # on the monotonic clock
    ends: tuple[str, ...] = ()  # end dates that are not handled yet


class Deadlines:
    """The end dates in the files of a folder."""

    def __init__(
        self,
        path: Callable[[str], str],
        monotonic: Callable[[], float] = time.monotonic,
        opened: Callable[[str], FileIO] = opened,
    ) -> None:
        """`path` gives the path of a file in the folder, `opened` opens the file."""
        empty = Roster()
        self._files = {path(getattr(empty, field).format.file): _SearchedFile() for field in ENDING}
        file = empty.app_passwords.format.file
        self._files[path(file)] = _SearchedFile(kind=APP_PASSWORDS)
        self._monotonic, self._opened = monotonic, opened

    def due(self, moment: str) -> bool:
        """Whether an end date has expired that is not handled yet."""
        return bool(self.expired_files(moment))

    def expired_files(self, moment: str) -> list[str]:
        """The names of the files with an expired end date that is not handled yet."""
        for path, last in self._files.items():
            if identity(path) != last.identity and self._monotonic() >= last.next_search:
                self._files[path] = self._search(path, last.kind)
        return [
            os.path.basename(path)
            for path, last in self._files.items()
            if any(end <= moment for end in last.ends)
        ]

    def mark_handled(self, moment: str) -> None:
        """Marks the end dates up to a moment as handled."""
        for path, last in self._files.items():
            ends = tuple(end for end in last.ends if end > moment)
            self._files[path] = last._replace(ends=ends)

    def _search(self, path: str, kind: _Kind) -> _SearchedFile:
        began = self._monotonic()
        try:
            with self._opened(path) as file:
                version = identity_of(file.fileno())
                pieces = iter(lambda: file.read(_CHUNK_BYTES) or b"", b"")
                ends = tuple(sorted(set(ends_among(pieces, kind))))
        except OSError:
            version, ends = identity(path), ()
        if version != ABSENT and abs(time.time() - version.ctime_ns / 1e9) < _TICK_S:
            version = ABSENT  # a later write may leave the same identity
        ended = self._monotonic()
        return _SearchedFile(version, kind, ended + SEARCH_PAUSE * (ended - began), ends)


def ends_among(pieces: Iterable[bytes], kind: _Kind = NOTES) -> Iterator[str]:
    """The end dates in a file, which is read in pieces."""
    (word, end_in), rest = kind, b""
    for piece in pieces:
        text = rest + piece
        end = text.rfind(b"\n") + 1
        for line in _lines_with(word, text[:end]):
            yield from filter(None, [end_in(line)])
        rest = text[end:]
        if len(rest) > _LINE_BYTES:
            rest = rest[:_LINE_BYTES]
    yield from filter(None, [end_in(rest.decode("utf-8", "surrogateescape"))])


def _lines_with(word: bytes, text: bytes) -> Iterator[str]:
    position = text.find(word)
    while position >= 0:
        start, end = text.rfind(b"\n", 0, position) + 1, text.find(b"\n", position)
        yield text[start:end].decode("utf-8", "surrogateescape")
        position = text.find(word, end)
