"""Tables that are text files: Postfix's pcre tables, and Dovecot's passwd-files of exceptions."""

import os
import time
from collections.abc import Iterable

from mailroster.publish.tables.table import Changes, Row, Rows
from mailroster.publish.targets import FillResult
from mailroster.system.files import Disk, identity, is_own, owner_and_mode, read_own


class TextTable:
    """A text file, which has no form that could be damaged."""

    visible_at = 0.0  # at once

    def __init__(self, path: str, disk: Disk) -> None:
        self._path, self._disk = path, disk

    def is_there(self) -> bool:
        return is_own(self._path)

    def content(self) -> bytes:
        """The content of the file; empty if it belongs to another user. User dovecot may write to
        the folder of exceptions, and could make root read and copy another file."""
        return read_own(self._path)

    def text(self) -> str:
        return self.content().decode("utf-8", "surrogateescape")

    def damage(self) -> str:
        return "" if self.is_there() else "there is none"

    def mark(self) -> tuple[int, ...]:
        return identity(self._path)


class PcreTable(TextTable):
    """`pcre:PATH`, with one row under the key "": the file. Visible with the next generation."""

    def read(self) -> Rows:
        return {"": self.text()}

    def apply(self, changes: Changes) -> None:
        text = changes.get("", self.read()[""])
        assert isinstance(text, str | None)
        raw = (text or "").encode("utf-8", "surrogateescape")
        self._disk.replace(self._path, raw, mode=0o640)

    def fill(self, rows: Iterable[tuple[str, Row]], *, is_sorted: bool = False) -> FillResult:
        given: Rows = dict(rows) or {"": ""}
        is_new = not self.is_there()
        if not is_new and self.read() == given:
            return FillResult(0, [])
        self.apply({**given})
        return FillResult(1, [], replaced=is_new)


class PcreRules(TextTable):
    """`pcre:PATH`, a rule for each row, sorted. Only words that are not ASCII reach the rules. The
    key of a rule is the part of its result between `${1}` and `${2}`."""

    _HEAD, _TAIL = "if /[^ -~]/", "endif"

    def read(self) -> Rows:
        lines = self.text().split("\n")
        keys = (line.rpartition(" ${1}")[2].removesuffix("${2}") for line in lines)
        return {key: line for key, line in zip(keys, lines, strict=True) if line[:1] == "/"}

    def apply(self, changes: Changes) -> None:
        rows = {**self.read(), **changes}
        lines = [str(row) for _, row in sorted(rows.items()) if row is not None]
        text = "\n".join((self._HEAD, *lines, self._TAIL, "")) if lines else ""
        self._disk.replace(self._path, text.encode("utf-8", "surrogateescape"), mode=0o640)

    def fill(self, rows: Iterable[tuple[str, Row]], *, is_sorted: bool = False) -> FillResult:
        given, current, is_new = dict(rows), self.read(), not self.is_there()
        changed: Changes = {key: row for key, row in given.items() if current.get(key) != row}
        if changed or is_new:
            self.apply(changed)
        return FillResult(len(changed), sorted(current.keys() - given.keys()), replaced=is_new)


class PasswdFile(TextTable):
    """A Dovecot passwd-file, a line for each row, sorted.

    Dovecot looks at it once a second at most, and notices a change only by its mtime or size. So
    each change makes the mtime grow by a whole second.
    """

    def read(self) -> Rows:
        return {line.partition(":")[0]: line for line in self.text().split("\n") if line}

    def apply(self, changes: Changes) -> None:
        rows = {**self.read(), **changes}
        before = os.stat(self._path).st_mtime if self.is_there() else 0.0
        now = time.time()
        # The group is that of the folder, which Dovecot's auth process has.
        self._disk.replace(
            self._path,
            _lines({key: row for key, row in rows.items() if row is not None}),
            mode=0o640,
            group=owner_and_mode(os.path.dirname(self._path))[0][1],
            mtime_s=max(int(now), int(before) + 1),
        )
        if changes:
            self.visible_at = time.monotonic() + int(now) + 1.01 - now

    def fill(self, rows: Iterable[tuple[str, Row]], *, is_sorted: bool = False) -> FillResult:
        given, current, is_new = dict(rows), self.read(), not self.is_there()
        changed: Changes = {key: row for key, row in given.items() if current.get(key) != row}
        # Invalid lines, as a second line of a key, are removed by writing the current rows.
        if changed or is_new or self.content() != _lines(current):
            self.apply(changed or {**given})
        return FillResult(len(changed), sorted(current.keys() - given.keys()), replaced=is_new)


def _lines(rows: Rows) -> bytes:
    """The content of a file with some rows."""
    text = "".join(f"{row}\n" for _, row in sorted(rows.items()))
    return text.encode("utf-8", "surrogateescape")
