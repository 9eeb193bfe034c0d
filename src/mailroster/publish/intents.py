"""The intents of commands: keys that a command has changed, recorded until the change is live.

The removal guard does not hold back what a command intended. A command records its intents before
it writes the config folder, without the lock of the state folder; the reconciliation that makes
them live clears them.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from mailroster.base.layout import Layout
from mailroster.roster.plan import Plan
from mailroster.roster.roster import Roster
from mailroster.system import file_lock
from mailroster.system.files import Disk, read

#: Field of the Roster -> keys of its entries.
Keys = Mapping[str, frozenset[str]]


class Intents:
    """The file of the intents of one instance."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self._layout, self._disk = layout, disk

    def record(self, keys: Keys) -> None:
        """Adds the keys that a command is about to change. Raises OSError."""
        make_copies_folder(self._layout, self._disk)
        with self._locked() as file:
            file.write(keys_to_bytes(keys))

    def announce(self, plan: Plan) -> None:
        """Records the keys of a plan, for the next command if this one is killed."""
        try:
            self.record(plan.keys)
        except OSError:
            pass  # no right to write the state: then a removal waits like a manual one

    def read(self) -> bytes:
        """The content of the file, for `keys_from_bytes` and `clear`."""
        return read(self._layout.intents)

    def keys(self) -> Keys:
        """The keys that are recorded."""
        return keys_from_bytes(self.read())

    def clear(self, content: bytes) -> None:
        """Clears the file, unless a command has added to the content that `read` returned."""
        if content:
            with self._locked() as file:
                if self.read() == content:
                    file.truncate(0)

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        path = self._layout.intents
        with open(path, "ab", opener=_open_private) as file:
            file_lock.lock(file.fileno(), path, how=fcntl.flock)
            yield file


def make_copies_folder(layout: Layout, disk: Disk) -> None:
    """Makes the folder of the published files, the marks and the intents, if it is missing."""
    if not os.path.isdir(layout.served):
        disk.make_folder(layout.served, 0o700)


def keys_to_bytes(keys: Keys) -> bytes:
    """Keys as lines, "field TAB key"."""
    lines = [f"{field}\t{key}\n" for field, some in keys.items() for key in sorted(some)]
    return "".join(lines).encode("utf-8", "surrogateescape")


def keys_from_bytes(raw: bytes) -> dict[str, frozenset[str]]:
    """The keys of lines that `keys_to_bytes` wrote. Skips what it can't read."""
    keys: dict[str, set[str]] = {}
    for line in raw.decode("utf-8", "surrogateescape").split("\n"):
        field, tab, key = line.partition("\t")
        if tab and field in Roster._fields:
            keys.setdefault(field, set()).add(key)
    return {field: frozenset(some) for field, some in keys.items()}


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
