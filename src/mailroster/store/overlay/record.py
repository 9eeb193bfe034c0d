"""The record of what was copied from the source of an overlay: its file `.mailroster-source`.

    folder 1234-160-1764126600000000000-1764126600000000000
    3f2a… 3f2a… 1240-88-1764126600000000000-1764126600000000000 - postfix-accounts.cf

A line for the folder of the source, and one for each file: the digest of the copied version, the
digest of the planned version, the identity of the file in the source, that of the file in the
overlay if the source has another version, and the name. A dash is the digest of no content, or an
identity that is unknown: then the file is read again. If the record is lost, each file that differs
from the source counts as changed in both.
"""

from collections.abc import Mapping
from typing import NamedTuple

from mailroster.store.overlay.source import NOTHING, belongs
from mailroster.system.files import Identity

RECORD = ".mailroster-source"
_HEAD = "# What was copied from the source; see 'setup overlay list'.\n"


class FileRecord(NamedTuple):
    """The record of one file: the digest of the version that was copied last, the digest that an
    update is about to copy, and identities; None for a file that has to be read again."""

    copied: str = NOTHING
    planned: str = NOTHING
    source: Identity | None = None
    own: Identity | None = None  # only if the source has another version than the copied one


_UNKNOWN = FileRecord()


class OverlayState(NamedTuple):
    """The record of the source's folder, and of each file."""

    folder: Identity | None
    files: Mapping[str, FileRecord]

    def of(self, file: str) -> FileRecord:
        return self.files.get(file, _UNKNOWN)

    def __bytes__(self) -> bytes:
        texts = [_HEAD, f"folder {_rendered(self.folder)}\n"]
        for file, known in sorted(self.files.items()):
            source, own = _rendered(known.source), _rendered(known.own)
            texts.append(f"{known.copied} {known.planned} {source} {own} {file}\n")
        return "".join(texts).encode("utf-8", "surrogateescape")


def parse(raw: bytes) -> OverlayState:
    """Parses a record; a line that can't be read is ignored."""
    folder, files = None, dict[str, FileRecord]()
    for text in raw.decode("utf-8", "surrogateescape").split("\n"):
        words = text.split(" ", 4)
        if len(words) == 5 and words[0] != "#" and belongs(words[4]):
            copied, planned, source, own, file = words
            files[file] = FileRecord(copied, planned, _identity(source), _identity(own))
        elif len(words) == 2 and words[0] == "folder":
            folder = _identity(words[1])
    return OverlayState(folder, files)


def _rendered(identity: Identity | None) -> str:
    return "-" if identity is None else "-".join(map(str, identity))


def _identity(text: str) -> Identity | None:
    words = text.split("-")
    if len(words) != 4 or not all(word.isascii() and word.isdecimal() for word in words):
        return None
    return Identity(*map(int, words))
