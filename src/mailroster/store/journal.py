"""The journal of an edit. While it exists, the edit is committed, but may not be in place yet.

    journal = *( STAMP FILE LF ) checksum, or that of store/append.py
    checksum = CRC32 SP ".mailroster-journal" LF; the CRC32 of all content before it

A journal without its checksum was cut short, and no file has been renamed yet. It has names, not
paths, so that it is valid wherever the folder is mounted.
"""

import os
from collections.abc import Mapping

from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument
from mailroster.system.files import Disk, Identity

JOURNAL = ".mailroster-journal"
#: A larger journal is not ours: more bytes are not appended in place.
JOURNAL_MAX_BYTES = 1 << 24


class Journal:
    """The journal of one folder."""

    def __init__(self, folder: str, disk: Disk) -> None:
        self._folder, self._disk = folder, disk
        self.path = os.path.join(folder, JOURNAL)

    def exists(self) -> bool:
        return os.path.lexists(self.path)

    def write(self, content: bytes) -> None:
        """Writes and syncs it. Raises OSError, also if there is one already."""
        self._disk.create(self.path, content + ending(content), 0o600, None)
        self._disk.sync_folder(self._folder)

    def drop(self) -> None:
        """Removes the journal, if there is one."""
        if self.exists():
            self._disk.remove(self.path)
            self._disk.sync_folder(self._folder)


def ending(content: bytes) -> bytes:
    """The last line of a journal: the checksum of the content before it."""
    return f"{checksum(content)} {JOURNAL}\n".encode()


def lines_of(stamps: Mapping[str, str]) -> bytes:
    """The journal of an edit; `stamps`: file -> stamp of its old content."""
    return "".join(f"{stamp} {file}\n" for file, stamp in stamps.items()).encode()


def stamp_of(document: Document[object], identity: Identity) -> str:
    """The stamp of a version of a file: a checksum, or the identity of a large file."""
    return (
        identity_stamp(identity)
        if isinstance(document, LargeDocument)
        else checksum(bytes(document))
    )


def identity_stamp(identity: Identity) -> str:
    """The stamp of a large file. It contains `-`; a checksum does not."""
    return "-".join(map(str, identity))


def checksum(content: bytes) -> str:
    from zlib import crc32  # not for edits of one file

    return f"{crc32(content):08x}"
