"""The record of what an overlay has from its source: `.mailroster-source` in the overlay.

    folder 1234-160-1764126600000000000-1764126600000000000
    3f2a… 3f2a… 1240-88-1764126600000000000-1764126600000000000 - postfix-accounts.cf

A line for the source's folder, and one for each file: the digest of what was brought, of what is
about to be, which file that was, which one is here if the source has another text, and the name.
A dash stands for what has to be looked at again, and for the digest of nothing. The record may be
lost: then what differs from the source counts as changed in both.
"""

from collections.abc import Mapping
from typing import NamedTuple

from mailroster.store.overlay.source import NOTHING, belongs
from mailroster.system.files import Identity

RECORD = ".mailroster-source"
_HEAD = "# What was brought from the source; see 'setup overlay list'.\n"


class Line(NamedTuple):
    """What is known of one file: the digest that was brought last, the one that is about to be, and
    the files that were looked at; None for those that have to be looked at again."""

    brought: str = NOTHING
    coming: str = NOTHING
    source: Identity | None = None
    own: Identity | None = None  # only where the source holds another text than was brought


_UNKNOWN = Line()


class OverlayState(NamedTuple):
    """What is known of the source: its folder, and its files."""

    folder: Identity | None
    lines: Mapping[str, Line]

    def of(self, file: str) -> Line:
        return self.lines.get(file, _UNKNOWN)

    def __bytes__(self) -> bytes:
        texts = [_HEAD, f"folder {_written(self.folder)}\n"]
        for file, line in sorted(self.lines.items()):
            source, own = _written(line.source), _written(line.own)
            texts.append(f"{line.brought} {line.coming} {source} {own} {file}\n")
        return "".join(texts).encode("utf-8", "surrogateescape")


def parse(raw: bytes) -> OverlayState:
    """A record as it was written; what can't be read of it is not known."""
    folder, lines = None, dict[str, Line]()
    for text in raw.decode("utf-8", "surrogateescape").split("\n"):
        words = text.split(" ", 4)
        if len(words) == 5 and words[0] != "#" and belongs(words[4]):
            brought, coming, source, own, file = words
            lines[file] = Line(brought, coming, _identity(source), _identity(own))
        elif len(words) == 2 and words[0] == "folder":
            folder = _identity(words[1])
    return OverlayState(folder, lines)


def _written(found: Identity | None) -> str:
    return "-" if found is None else "-".join(map(str, found))


def _identity(text: str) -> Identity | None:
    words = text.split("-")
    if len(words) != 4 or not all(word.isascii() and word.isdecimal() for word in words):
        return None
    return Identity(*map(int, words))
