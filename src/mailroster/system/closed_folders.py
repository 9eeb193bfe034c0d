"""Folders of the state folder, with their owners and modes."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from mailroster.system.files import make_folder


class Folder(NamedTuple):
    """A folder with its owner and mode."""

    path: str
    mode: int
    uid: int = 0
    gid: int = 0


def make_closed(folders: Iterable[Folder]) -> None:
    """Creates folders of the state folder, or corrects their owners and modes. Raises OSError, also
    for a link in the place of a folder."""
    for path, mode, uid, gid in folders:
        if not os.path.isdir(path):
            make_folder(path)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(fd, uid, gid)
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
