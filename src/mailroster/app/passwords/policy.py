"""Which passwords are accepted: the settings `password_min_length` and `password_refused`.

    refused = *( password line-feed )

The file holds one refused password a line, in any case; an empty line is none, and a byte order
mark is skipped. It is read in parts, since such lists have millions of lines.
"""

import errno
import os
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator
from io import FileIO
from typing import NamedTuple

from mailroster.base.findings import Refused
from mailroster.base.settings import Settings
from mailroster.store.links import ConfigFolder
from mailroster.system.files import WHOLE_MAX_BYTES, identity_of, opened

_PART_BYTES = 1 << 22


def policy_of(settings: Settings) -> "Policy":
    """The policy of a home."""
    folder = ConfigFolder(settings.config, settings.linked())
    return Policy(settings.password_min_length, settings.password_refused, folder)


class Policy(NamedTuple):
    """What a password has to be. `refused` is the path of a file, "" for none; one that is not a
    whole path lies in `folder`."""

    min_length: int = 1  # characters
    refused: str = ""
    folder: ConfigFolder = ConfigFolder("")

    def check(self, password: str) -> None:
        """Raises Refused for a password that is not taken, and where the file can't be read."""
        for why in self.faults((password,)).values():
            raise Refused(why)

    def faults(self, passwords: Collection[str]) -> dict[str, str]:
        """Why some of many passwords are not taken; reads the file once. The words hold none of
        them. Raises Refused where the file can't be read."""
        short = f"the password is shorter than {self.min_length} characters (password_min_length)"
        found = {word: short for word in passwords if len(word) < self.min_length}
        listed = self._listed({word.casefold() for word in passwords})
        why = "the password is on the list of those that are refused (password_refused)"
        found |= {
            word: why for word in passwords if word not in found and word.casefold() in listed
        }
        return found

    def _listed(self, folded: Collection[str]) -> set[str]:
        """Those of some passwords, in folded case, that the file holds."""
        listed: set[str] = set()
        if self.refused and folded:
            for lines in self._parts():
                listed |= set(folded).intersection(lines)
        return listed

    def _parts(self) -> Iterator[list[str]]:
        """The lines of the file in folded case, some megabytes at a time."""
        try:
            with self._opened() as file:
                if identity_of(file.fileno()).size > WHOLE_MAX_BYTES:
                    raise OSError(errno.EFBIG, f"larger than {WHOLE_MAX_BYTES} bytes")
                rest, begins = b"", True
                while part := file.read(_PART_BYTES):
                    part, begins = part.removeprefix(BOM_UTF8) if begins else part, False
                    whole, feed, last = (rest + part).rpartition(b"\n")
                    rest = last
                    if feed:
                        yield _lines(whole)
                yield _lines(rest)
        except OSError as error:
            why = f"{self.folder.path_of(self.refused)}: {error.strerror}"
            raise Refused(f"the list of refused passwords can't be read ({why})") from None

    def _opened(self) -> FileIO:
        if os.path.isabs(self.refused):
            return opened(self.refused)
        return self.folder.opened(self.refused)


def _lines(raw: bytes) -> list[str]:
    text = raw.decode("utf-8", "surrogateescape").casefold()
    return text.replace("\r\n", "\n").removesuffix("\r").split("\n")
