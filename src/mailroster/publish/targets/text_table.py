"""Tables that are plain files: Postfix's pcre tables, and Dovecot's passwd-file of exceptions."""

import os
import time
from collections.abc import Iterable

from mailroster.publish.tables.table import Changes, Row, Rows
from mailroster.publish.targets import Filled
from mailroster.system.files import Disk, identity, is_own, owner_and_mode, read_own


class TextTable:
    """What the tables here have in common: nothing can be wrong with a text but its words."""

    def __init__(self, path: str, disk: Disk) -> None:
        self._path, self._disk = path, disk

    def is_there(self) -> bool:
        return is_own(self._path)

    def content(self) -> bytes:
        """What the file holds. Nothing, where another user has put one in its place: user dovecot
        may write to the folder of exceptions, and could have a file of root's read and copied."""
        return read_own(self._path)

    def damage(self) -> str:
        return "" if self.is_there() else "there is none"

    def mark(self) -> tuple[int, ...]:
        return identity(self._path)


class PcreTable(TextTable):
    """`pcre:PATH`, one row under the key "": the file. Readers see it after the generation."""

    def read(self) -> Rows:
        return {"": self.content().decode("utf-8", "surrogateescape")}

    def apply(self, changes: Changes) -> None:
        text = changes.get("", self.read()[""])
        assert isinstance(text, str | None)
        raw = (text or "").encode("utf-8", "surrogateescape")
        self._disk.replace(self._path, raw, mode=0o640)

    def fill(self, rows: Iterable[tuple[str, Row]], *, is_sorted: bool = False) -> Filled:
        given: Rows = dict(rows) or {"": ""}
        fresh = not self.is_there()
        if not fresh and self.read() == given:
            return Filled(0, [])
        self.apply({**given})
        return Filled(1, [], replaced=fresh)


class PcreRules(TextTable):
    """`pcre:PATH`, a rule a row, sorted, asked only of what is not ASCII. The key of a rule is what
    its result has between `${1}` and `${2}`."""

    _HEAD, _TAIL = "if /[^ -~]/", "endif"

    def read(self) -> Rows:
        lines = self.content().decode("utf-8", "surrogateescape").split("\n")
        keys = (line.rpartition(" ${1}")[2].removesuffix("${2}") for line in lines)
        return {key: line for key, line in zip(keys, lines, strict=True) if line[:1] == "/"}

    def apply(self, changes: Changes) -> None:
        rows = {**self.read(), **changes}
        lines = [str(row) for _, row in sorted(rows.items()) if row is not None]
        text = "\n".join((self._HEAD, *lines, self._TAIL, "")) if lines else ""
        self._disk.replace(self._path, text.encode("utf-8", "surrogateescape"), mode=0o640)

    def fill(self, rows: Iterable[tuple[str, Row]], *, is_sorted: bool = False) -> Filled:
        given, standing, fresh = dict(rows), self.read(), not self.is_there()
        changed: Changes = {k: row for k, row in given.items() if standing.get(k) != row}
        if changed or fresh:
            self.apply(changed)
        return Filled(len(changed), sorted(standing.keys() - given.keys()), replaced=fresh)


class PasswdFile(TextTable):
    """A Dovecot passwd-file, a line a row, sorted.

    Dovecot looks at it once a second at most, and sees a change only in its mtime or size: so the
    mtime always grows by a whole second, and `seen_at` says from when on, by the monotonic clock,
    every lookup is right.
    """

    def __init__(self, path: str, disk: Disk) -> None:
        super().__init__(path, disk)
        self.seen_at = 0.0

    def read(self) -> Rows:
        lines = self.content().decode("utf-8", "surrogateescape").split("\n")
        return {line.partition(":")[0]: line for line in lines if line}

    def apply(self, changes: Changes) -> None:
        rows = {**self.read(), **changes}
        before = os.stat(self._path).st_mtime if self.is_there() else 0.0
        now = time.time()
        # The group is that of the folder, as which Dovecot's auth process reads.
        self._disk.replace(
            self._path,
            _lines({key: row for key, row in rows.items() if row is not None}),
            mode=0o640,
            group=owner_and_mode(os.path.dirname(self._path))[0][1],
            mtime_s=max(int(now), int(before) + 1),
        )
        if changes:
            self.seen_at = time.monotonic() + int(now) + 1.01 - now

    def fill(self, rows: Iterable[tuple[str, Row]], *, is_sorted: bool = False) -> Filled:
        given, standing, fresh = dict(rows), self.read(), not self.is_there()
        changed: Changes = {k: row for k, row in given.items() if standing.get(k) != row}
        # Lines that have no place there, as a key twice, go with the rows that stay.
        if changed or fresh or self.content() != _lines(standing):
            self.apply(changed or {**given})
        return Filled(len(changed), sorted(standing.keys() - given.keys()), replaced=fresh)


def _lines(rows: Rows) -> bytes:
    """The rows as a file, sorted."""
    text = "".join(f"{row}\n" for _, row in sorted(rows.items()))
    return text.encode("utf-8", "surrogateescape")
