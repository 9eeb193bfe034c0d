"""Tables that are plain files: Postfix's pcre table, and Dovecot's passwd-file of exceptions."""

import os
import time

from mailroster.disk import Disk, owner_and_mode, read
from mailroster.tables import Changes, Rows


class PcreTable:
    """`pcre:PATH`, one row under the key "": the file. Readers see it after the generation."""

    def __init__(self, path: str, disk: Disk) -> None:
        self._path, self._disk = path, disk

    def is_there(self) -> bool:
        return os.path.exists(self._path)

    def read(self) -> Rows:
        return {"": read(self._path).decode("utf-8", "surrogateescape")}

    def apply(self, changes: Changes) -> None:
        text = changes.get("")
        assert isinstance(text, str | None)
        self._disk.replace(self._path, (text or "").encode("utf-8", "surrogateescape"))


class PasswdFile:
    """A Dovecot passwd-file, a line a row, sorted.

    Dovecot looks at it once a second at most, and sees a change only in its mtime or size: so the
    mtime always grows by a whole second, and `seen_at` says from when on every lookup is right.
    """

    def __init__(self, path: str, disk: Disk) -> None:
        self._path, self._disk = path, disk
        self.seen_at = 0.0

    def is_there(self) -> bool:
        return os.path.exists(self._path)

    def read(self) -> Rows:
        lines = read(self._path).decode("utf-8", "surrogateescape").splitlines()
        return {line.partition(":")[0]: line for line in lines}

    def apply(self, changes: Changes) -> None:
        rows = {**self.read(), **changes}
        text = "".join(f"{row}\n" for _, row in sorted(rows.items()) if row is not None)
        before = os.stat(self._path).st_mtime if self.is_there() else 0.0
        now = time.time()
        # The group is that of the folder, as which Dovecot's auth process reads.
        self._disk.replace(
            self._path,
            text.encode("utf-8", "surrogateescape"),
            mode=0o640,
            group=owner_and_mode(os.path.dirname(self._path))[0][1],
            mtime_s=max(int(now), int(before) + 1),
        )
        if changes:
            self.seen_at = int(now) + 1.01
