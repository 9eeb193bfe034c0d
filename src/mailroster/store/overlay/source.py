"""A read-only config folder, read as one consistent snapshot.

Kubernetes keeps the files of a volume in a folder of their own, to which the link `..data` leads,
and replaces all of them by renaming another link over it; git-sync does so with the folder itself.
So the link is resolved once, the files are read from its target, and they are used if the link
still leads there afterwards.

    FOLDER/..data -> ..2026_11_26_03_10_00.123     the link that is replaced
    FOLDER/postfix-accounts.cf -> ..data/postfix-accounts.cf

The files are all on the top level, except folders, names that begin with a dot, and our own
leftovers.
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
#: How often the files are read again when they were replaced meanwhile.
TRIES = 10
#: Two writes within one tick of the kernel's clock have the same times; HZ is at least 100.
_TICK_S = 0.02
#: Part of the names of our own files.
_OWN = ".mailroster-"
#: The digest of no content: a missing file is the same as an empty one.
NOTHING = "-"


class FileVersion(NamedTuple):
    """One file, as it was read."""

    digest: str
    identity: Identity
    content: bytes
    mode: int = 0


class SourceFiles(NamedTuple):
    """All files of a source at one moment."""

    folder: Identity
    versions: Mapping[str, FileVersion]
    unreadable: Mapping[str, OSError] = {}

    def version(self, file: str) -> FileVersion:
        return self.versions.get(file, _MISSING)


_MISSING = FileVersion(NOTHING, ABSENT, b"")


def digest(content: bytes) -> str:
    """A checksum that no other content has."""
    if not content:
        return NOTHING
    from hashlib import blake2b  # only if something is new

    return blake2b(content, digest_size=16).hexdigest()


def current_path(folder: str) -> str:
    """The folder in which the files of a source are at the moment, as a path without links."""
    data = os.path.join(folder, DATA)
    return os.path.realpath(data if os.path.islink(data) else folder)


def is_lasting(identity: Identity) -> bool:
    """Whether each later write gives the file another identity. It may not within one tick, on a
    file system that stores whole seconds, or with a clock that differs from ours."""
    if identity == ABSENT:
        return True
    age_s = time.time() - identity.ctime_ns / 1e9
    return age_s > _TICK_S and identity.ctime_ns % 10**9 != 0


def names(folder: str) -> list[str]:
    """The names of a folder's files, and of subfolders with such names. Raises OSError."""
    return sorted(filter(belongs, os.listdir(folder)))


def read_source(folder: str, linked: Sequence[str] = ()) -> SourceFiles | None:
    """All files of a source at one moment; None if they were replaced during each try. `linked`:
    other folders to which links in it may lead.

    Raises OSError if the folder is missing or can't be read.
    """
    for _ in range(TRIES):
        path, root = current_path(folder), os.path.realpath(folder)
        if not any(is_below(f"{path}/", each) for each in (root, *linked)):
            why = f"leads to {path}, outside of the source; add that folder to linked_folders"
            raise OSError(errno.ELOOP, why, os.path.join(folder, DATA))
        before = identity(path)
        try:
            files = _read(ConfigFolder(root, tuple(linked)), path, before)
        except FileNotFoundError:
            if current_path(folder) == path:
                raise
            continue
        if current_path(folder) == path and identity(path) == before:
            return files
    return None


def _read(folder: ConfigFolder, path: str, path_identity: Identity) -> SourceFiles:
    """The files in `path`: the source itself, or the folder to which its link leads."""
    versions, unreadable, subfolder = {}, {}, os.path.relpath(path, folder.path)
    for name in names(path):
        try:
            file_path = os.path.join(path, name)
            if os.path.isdir(file_path):
                continue
            relative = name if subfolder == os.curdir else os.path.join(subfolder, name)
            with folder.opened(relative) as file:
                file_identity, content = identity_of(file.fileno()), file.readall()
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            versions[name] = FileVersion(digest(content), file_identity, content, mode)
        except FileNotFoundError:
            if not os.path.islink(file_path):
                raise  # all files may have been replaced
        except OSError as error:
            unreadable[name] = error
    return SourceFiles(path_identity, versions, unreadable)


def belongs(name: str) -> bool:
    """Whether a name is one of a config file."""
    return "/" not in name and not name.startswith(".") and _OWN not in name and name.isprintable()
