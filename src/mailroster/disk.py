"""The few calls that change files, in one place, so that a test can stop before any of them."""

import os
import stat
from typing import NamedTuple


class Identity(NamedTuple):
    """What changes whenever somebody writes a file: which file it is, how large, how old."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


ABSENT = Identity(0, 0, 0, 0)


def identity(path: str) -> Identity:
    """The identity of the file behind a path, links followed; ABSENT if there is none."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    return Identity(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def read(path: str) -> bytes:
    """All bytes of a file; none if there is no such file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return b""


class Disk:
    """Effects on files, each of them one call that either happens or raises OSError."""

    def create(self, path: str, content: bytes, mode: int, owner: tuple[int, int] | None) -> None:
        """A new file, whole and on the disk when this returns. Raises if it exists."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if owner is not None and owner != (os.geteuid(), os.getegid()):
                os.fchown(fd, *owner)
            os.fchmod(fd, mode)
            _write_all(fd, content)
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def overwrite(self, path: str, content: bytes) -> None:
        """In place, for a file that can't be renamed over (a mount point, another's file)."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            _write_all(fd, content)
            os.ftruncate(fd, len(content))
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def sync_folder(self, path: str) -> None:
        """Makes the renames and removals in a folder last."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def make_folder(self, path: str, mode: int = 0o755) -> None:
        os.makedirs(path, mode, exist_ok=True)

    def replace(
        self,
        path: str,
        content: bytes,
        mode: int = 0o644,
        *,
        group: int = -1,
        mtime_s: int | None = None,
    ) -> None:
        """A file of ours, whole or not at all: written beside its place and renamed over it.

        Not synced: it can be made anew from the config folder.
        """
        new = f"{path}.new"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.fchown(fd, -1, group)
            os.fchmod(fd, mode)
            _write_all(fd, content)
            if mtime_s is not None:
                os.utime(fd, (mtime_s, mtime_s))
        finally:
            os.close(fd)
        self.rename(new, path)


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def owner_and_mode(path: str) -> tuple[tuple[int, int], int]:
    """(uid, gid) and the permission bits of a file."""
    status = os.stat(path)
    return (status.st_uid, status.st_gid), stat.S_IMODE(status.st_mode)
