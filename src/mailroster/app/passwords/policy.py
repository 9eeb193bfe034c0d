"""The policy for passwords: the settings `password_min_length` and `password_refused`.

    refused = *( password line-feed )

The file has one refused password in each line, in upper or lower case; empty lines and a byte
order mark are ignored. It is read in parts, since such lists have millions of lines.
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
    """The requirements for a password. `refused` is the path of a file, "" for none; it is relative
    to `folder`."""

    min_length: int = 1  # characters
    refused: str = ""
    folder: ConfigFolder = ConfigFolder("")

    def check(self, password: str) -> None:
        """Raises Refused if the password is not accepted, or the file can't be read."""
        for reason in self.faults((password,)).values():
            raise Refused(reason)

    def faults(self, passwords: Collection[str]) -> dict[str, str]:
        """The reasons why some passwords are not accepted; they contain no password. Reads the file
        once. Raises Refused if it can't be read."""
        short = f"the password is shorter than {self.min_length} characters (password_min_length)"
        faults = {word: short for word in passwords if len(word) < self.min_length}
        listed = self._listed({word.casefold() for word in passwords})
        refused = "the password is on the list of refused passwords (password_refused)"
        for word in passwords:
            if word.casefold() in listed:
                faults.setdefault(word, refused)
        return faults

    def _listed(self, folded: Collection[str]) -> set[str]:
        """The passwords, in folded case, that are in the file."""
        listed: set[str] = set()
        if self.refused and folded:
            for lines in self._parts():
                listed |= set(folded).intersection(lines)
        return listed

    def _parts(self) -> Iterator[list[str]]:
        """Yields the lines of the file in folded case, some megabytes at a time."""
        try:
            with self._opened() as file:
                if identity_of(file.fileno()).size > WHOLE_MAX_BYTES:
                    raise OSError(errno.EFBIG, f"larger than {WHOLE_MAX_BYTES} bytes")
                rest = file.read(_PART_BYTES).removeprefix(BOM_UTF8)
                while part := file.read(_PART_BYTES):
                    lines, _, rest = (rest + part).rpartition(b"\n")
                    yield _lines(lines)
                yield _lines(rest)
        except OSError as error:
            reason = f"{self.folder.path_of(self.refused)}: {error.strerror}"
            raise Refused(f"the list of refused passwords can't be read ({reason})") from None

    def _opened(self) -> FileIO:
        if os.path.isabs(self.refused):
            return opened(self.refused)
        return self.folder.opened(self.refused)


def _lines(raw: bytes) -> list[str]:
    text = raw.decode("utf-8", "surrogateescape").casefold()
    return text.replace("\r\n", "\n").removesuffix("\r").split("\n")
