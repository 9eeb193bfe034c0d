"""When the next end date in the folder is over, and what is done then.

The files are searched for notes when they have become others, not at every look; a note is found
without its entry, so that something may seem to be over that isn't: the verb decides.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from typing import NamedTuple

from mailroster.app.passwords.hashing import hash_clear
from mailroster.base.findings import WARNING, Finding, Location
from mailroster.base.layout import Layout
from mailroster.edits.expiry import ends_in, expire
from mailroster.publish.reconcile import Tables
from mailroster.roster.documents.notes import WORD
from mailroster.roster.roster import ENDING, Roster
from mailroster.store.config_folder import Edited, Store
from mailroster.store.history.log import HISTORY
from mailroster.system.clock import Clock
from mailroster.system.files import ABSENT, Identity, identity, identity_of, opened

#: A file is searched again after so many times as long as the search took.
LOOK_SHARE = 100
#: Two writes so close together may leave a file with the same times.
_TICK_S = 0.02
_CHUNK_BYTES = 1 << 22
#: A longer line is no note.
_LINE_BYTES = 1 << 12


def now() -> str:
    """The local time, as mailroster.base.end_date writes moments."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time()))


def clock_of(store: Store, layout: Layout) -> Clock:
    """The clock of an instance; without a note of it the files of the folder tell the time."""
    files = [document.format.file for _, document in Roster().documents()]
    return Clock(layout.clock, map(store.path, (*files, HISTORY)))


def waiting(store: Store, layout: Layout) -> tuple[Finding, ...]:
    """What waits since the clock is not believed: a finding for each file with an end date that
    would be over."""
    if not (doubt := clock_of(store, layout).doubt()):
        return ()
    message, _, hint = doubt.partition("; ")
    files = Deadlines(store.path, opened=store.opened).over(now())
    return tuple(
        Finding(Location(file), WARNING, "clock-ahead", f"end dates wait: {message}", hint)
        for file in files
    )


def put_over(store: Store, tables: Tables, moment: str) -> Edited:
    """Puts all that is over into effect in the files, as one transaction. Raises as that does."""

    def verb(roster: Roster) -> Roster:
        return expire(roster, moment, hash_clear)

    return store.transact(verb, announce=tables.announce)


class _File(NamedTuple):
    """What is known of one file."""

    seen: Identity = ABSENT
    next_look: float = 0.0  # on the monotonic clock
    ends: tuple[str, ...] = ()  # that nobody has seen to


class Deadlines:
    """The end dates of the files of a folder."""

    def __init__(
        self,
        path: Callable[[str], str],
        monotonic: Callable[[], float] = time.monotonic,
        opened: Callable[[str], FileIO] = opened,
    ) -> None:
        """`path` gives where a file of the folder lies, `opened` opens it there."""
        empty = Roster()
        self._files = {path(getattr(empty, field).format.file): _File() for field in ENDING}
        self._monotonic, self._opened = monotonic, opened

    def due(self, moment: str) -> bool:
        """Whether something is over that nobody has seen to."""
        return bool(self.over(moment))

    def over(self, moment: str) -> list[str]:
        """The names of the files with an end date that is over and was not put into effect yet."""
        for path, known in self._files.items():
            found = identity(path)
            if found != known.seen and self._monotonic() >= known.next_look:
                self._files[path] = self._looked(path)
        return [
            os.path.basename(path)
            for path, known in self._files.items()
            if any(end <= moment for end in known.ends)
        ]

    def done(self, moment: str) -> None:
        """What is over at a moment has been seen to."""
        for path, known in self._files.items():
            ends = tuple(end for end in known.ends if end > moment)
            self._files[path] = known._replace(ends=ends)

    def _looked(self, path: str) -> _File:
        began = self._monotonic()
        try:
            with self._opened(path) as file:
                found = identity_of(file.fileno())
                pieces = iter(lambda: file.read(_CHUNK_BYTES) or b"", b"")
                ends = tuple(sorted(set(ends_among(pieces))))
        except OSError:
            found, ends = identity(path), ()
        if found != ABSENT and abs(time.time() - found.ctime_ns / 1e9) < _TICK_S:
            found = ABSENT  # it may be written again, and look the same
        ended = self._monotonic()
        return _File(found, ended + LOOK_SHARE * (ended - began), ends)


def ends_among(pieces: Iterable[bytes]) -> Iterator[str]:
    """When something ends, as the notes in a file say, which comes in pieces."""
    word, rest = WORD.encode(), b""
    for piece in pieces:
        text = rest + piece
        upto = text.rfind(b"\n") + 1
        for line in _lines_with(word, text[:upto]):
            yield from filter(None, [ends_in(line)])
        rest = text[upto:]
        if len(rest) > _LINE_BYTES:
            rest = rest[:_LINE_BYTES]
    yield from filter(None, [ends_in(rest.decode("utf-8", "surrogateescape"))])


def _lines_with(word: bytes, text: bytes) -> Iterator[str]:
    place = text.find(word)
    while place >= 0:
        start, end = text.rfind(b"\n", 0, place) + 1, text.find(b"\n", place)
        yield text[start:end].decode("utf-8", "surrogateescape")
        place = text.find(word, end)
