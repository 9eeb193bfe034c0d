"""A config folder that is only read, and what its files were when all of them stood together.

Kubernetes keeps the files of a volume in a folder of their own, to which the link `..data` leads,
and changes all of them by renaming another link over it; git-sync does so with the folder itself.
So the folder is found once, its files are read there, and they count if it still is the one.

    FOLDER/..data -> ..2026_11_26_03_10_00.123     the link that is swapped
    FOLDER/postfix-accounts.cf -> ..data/postfix-accounts.cf

The files are those on its top level, whatever they are called: not other folders, nothing whose
name begins with a dot, and no leftovers of our own.
"""

import errno
import os
import stat
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mailroster.store.links import ConfigFolder, is_below
from mailroster.system.files import ABSENT, Identity, identity, identity_of

DATA = "..data"
#: How often the files are read anew when they were swapped meanwhile.
TRIES = 10
#: Two writes within one tick of the kernel's clock have the same times; HZ is 100 at the least.
_TICK_S = 0.02
#: In names of files of our own.
_OURS = ".mailroster-"
#: The digest of what has no text: a file that is not there says as much as an empty one.
NOTHING = "-"


class Seen(NamedTuple):
    """One file as it was read."""

    digest: str
    identity: Identity
    content: bytes
    mode: int = 0


class Files(NamedTuple):
    """All files of a folder at one moment."""

    folder: Identity
    seen: Mapping[str, Seen]
    unreadable: Mapping[str, OSError] = {}

    def of(self, file: str) -> Seen:
        return self.seen.get(file, _GONE)


_GONE = Seen(NOTHING, ABSENT, b"")


def digest(content: bytes) -> str:
    """What tells one text from every other."""
    if not content:
        return NOTHING
    from hashlib import blake2b  # only where something is new

    return blake2b(content, digest_size=16).hexdigest()


def place(folder: str) -> str:
    """Where the files of a folder are at the moment, as a path without links."""
    data = os.path.join(folder, DATA)
    return os.path.realpath(data if os.path.islink(data) else folder)


def is_lasting(found: Identity) -> bool:
    """Whether whoever writes a file from now on gives it another identity: not so within a tick, on
    a file system of whole seconds, and where the clock is another one."""
    if found == ABSENT:
        return True
    age_s = time.time() - found.ctime_ns / 1e9
    return age_s > _TICK_S and found.ctime_ns % 10**9 != 0


def names(folder: str) -> list[str]:
    """The names of a folder's files, and of what may be other folders. Raises OSError."""
    return sorted(filter(belongs, os.listdir(folder)))


def files(folder: str, linked: Sequence[str] = ()) -> Files | None:
    """All files of a folder, as they stood together; None if they were swapped all along. `linked`:
    other folders to which links in it may lead.

    Raises OSError if the folder is not there or can't be read.
    """
    for _ in range(TRIES):
        here, around = place(folder), os.path.realpath(folder)
        if not any(is_below(f"{here}/", each) for each in (around, *linked)):
            why = f"leads to {here}, outside of the source; name that in linked_folders"
            raise OSError(errno.ELOOP, why, os.path.join(folder, DATA))
        which = identity(here)
        try:
            found = _read(ConfigFolder(around, tuple(linked)), here, which)
        except FileNotFoundError:
            if place(folder) == here:
                raise
            continue
        if place(folder) == here and identity(here) == which:
            return found
    return None


def _read(folder: ConfigFolder, here: str, which: Identity) -> Files:
    """The files of a folder at a place in it, or to which a link in it leads."""
    seen, unreadable, below = {}, {}, os.path.relpath(here, folder.path)
    for name in names(here):
        try:
            path = os.path.join(here, name)
            if os.path.isdir(path):
                continue
            with folder.opened(name if below == os.curdir else os.path.join(below, name)) as file:
                found, content = identity_of(file.fileno()), file.readall()
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            seen[name] = Seen(digest(content), found, content, mode)
        except FileNotFoundError:
            if not os.path.islink(path):
                raise  # all of them may have been swapped
        except OSError as error:
            unreadable[name] = error
    return Files(which, seen, unreadable)


def belongs(name: str) -> bool:
    """Whether a file of that name is one of a config folder."""
    return "/" not in name and not name.startswith(".") and _OURS not in name and name.isprintable()
