"""The marks of unfinished work on the tables, and the stamp of finished work.

    file         written                  a crash leaves              completed by
    ----------   ----------------------   -------------------------   ------------------------
    unfinished   before a change: its     rows of these keys old or   the next change: writes
                 keys                     new, the copies old         all rows of these keys
    unfinished   "everything": before a   any rows, any copies        the next reconciliation:
                 rebuild, or before a                                 a rebuild, which
                 copy changes in place                                compares every row
    changing     before rows of several   the file: the policy        the last step of the
                 tables change            service refuses nothing     next change or rebuild,
                                          for a missing row           or a repair
    built        after a rebuild: the     the old stamp               the next reconciliation:
                 program, versions and                                a rebuild
                 boot that made it

A change ends when its copies are written and `unfinished` is removed. The tables are not synced:
the stamp has the boot id, so that a power cut makes the next reconciliation a rebuild.
"""

import os

from mailroster.base.layout import Layout
from mailroster.publish.intents import Keys, keys_from_bytes, keys_to_bytes, make_copies_folder
from mailroster.servers.config.dovecot.schema import SCHEMA_VERSION, SHAPES
from mailroster.system.boot import boot_id
from mailroster.system.files import Disk, read

#: Versions of the rules that make rows: a new one makes the next reconciliation a rebuild. The
#: first is the list of extra fields, the second the rules of Postfix's tables.
_RULES = "allowed-1 routes-2"
#: In `unfinished`: neither tables nor copies are known.
_EVERYTHING = b"everything\n"


class Marks:
    """The marks of one instance. The writer of tables holds the lock of the state folder."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self._layout, self._disk = layout, disk

    # -- the work as a whole

    def is_unfinished(self) -> bool:
        """Whether a change, or a rebuild, was cut short."""
        return os.path.exists(self._layout.unfinished)

    def is_everything_unfinished(self) -> bool:
        """Whether a rebuild was cut short, so that the copies may be neither old nor new."""
        return read(self._layout.unfinished) == _EVERYTHING

    def unfinished_keys(self) -> Keys:
        """The keys of a change that was cut short."""
        return keys_from_bytes(read(self._layout.unfinished))

    def begin_change(self, keys: Keys) -> None:
        """Marks the rows of some keys as unfinished."""
        self._disk.replace(self._layout.unfinished, keys_to_bytes(keys) or b"\n")

    def begin_everything(self) -> None:
        """Marks all rows and copies as unfinished."""
        make_copies_folder(self._layout, self._disk)
        self._disk.replace(self._layout.unfinished, _EVERYTHING)

    def finish(self) -> None:
        """Removes the marks: tables and copies agree."""
        self._disk.remove(self._layout.unfinished)
        if os.path.exists(self._layout.changing):
            self._disk.remove(self._layout.changing)

    # -- rows that depend on each other

    def begin_rows(self) -> None:
        """Tells the policy service that rows of several tables change."""
        self._disk.replace(self._layout.changing, b"", mode=0o644)

    def finish_rows(self) -> None:
        """Tells the policy service that the rows agree again."""
        self._disk.remove(self._layout.changing)

    # -- the stamp

    def is_built_for(self, version: str) -> bool:
        """Whether the last rebuild was for a version of Dovecot, by this program, since boot."""
        return read(self._layout.built) == _stamp(version)

    def stamp(self, version: str) -> None:
        """Writes the stamp after a rebuild."""
        self._disk.replace(self._layout.built, _stamp(version))


def _stamp(version: str) -> bytes:
    columns = ",".join(column for shape in SHAPES for column in shape.columns())
    return f"{SCHEMA_VERSION} {_RULES} {version} {columns} {boot_id()}\n".encode()
