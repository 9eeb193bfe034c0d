"""The few calls that change files, in one place, so that a test can stop before any of them."""

import errno
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
    """The identity of the file behind a path, links followed; ABSENT if there is none to see."""
    try:
        return _identity(os.stat(path))
    except OSError:
        return ABSENT


def look(path: str) -> tuple[bytes, Identity]:
    """All bytes of a file, and which file they are of; none and ABSENT if there is no such file.

    Raises OSError for what can't be read or is no regular file; never waits, as a FIFO would make
    it. A file that is written meanwhile has another identity afterwards.
    """
    try:
        with open(path, "rb", buffering=0, opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            return file.readall(), _identity(status)
    except (FileNotFoundError, NotADirectoryError):
        return b"", ABSENT


def read(path: str) -> bytes:
    """All bytes of a file, as `look` gives them."""
    return look(path)[0]


def _identity(status: os.stat_result) -> Identity:
    return Identity(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


class Disk:
    """Effects on files. Each method happens or raises OSError; `write` may stop half-way."""

    def create(self, path: str, content: bytes, mode: int, owner: tuple[int, int] | None) -> None:
        """A new file, whole and on the disk when this returns. Raises if it exists."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            made = os.fstat(fd)  # its group may be the folder's
            if owner is not None and owner != (made.st_uid, made.st_gid):
                os.fchown(fd, *owner)
            os.fchmod(fd, mode)
            self.write(fd, content)
            self.sync(fd)
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def overwrite(self, path: str, content: bytes) -> None:
        """In place, for a file that can't be renamed over (a mount point, another's file)."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            self.write(fd, content)
            os.ftruncate(fd, len(content))
            self.sync(fd)
        finally:
            os.close(fd)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def sync_folder(self, path: str) -> None:
        """Makes the new names, renames and removals in a folder last."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that does this by itself
                raise
        finally:
            os.close(fd)

    def make_folder(self, path: str, mode: int = 0o755) -> None:
        """With the folders above it; their names last when this returns."""
        missing, above = [], path
        while not os.path.isdir(above):
            missing.append(above)
            above = os.path.dirname(above) or "."
        os.makedirs(path, mode, exist_ok=True)
        for folder in missing:
            self.sync_folder(os.path.dirname(folder) or ".")

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
            self.write(fd, content)
            if mtime_s is not None:
                os.utime(fd, (mtime_s, mtime_s))
        finally:
            os.close(fd)
        self.rename(new, path)

    # -- the steps inside of the effects above, and of those on tables

    def step(self, path: str) -> None:
        """Called before each change of a table, before it is committed, and after it: nothing
        happens here, but a test may stop."""

    def write(self, fd: int, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]

    def sync(self, fd: int) -> None:
        os.fsync(fd)


def owner_and_mode(path: str) -> tuple[tuple[int, int], int]:
    """(uid, gid) and the permission bits of a file."""
    status = os.stat(path)
    return (status.st_uid, status.st_gid), stat.S_IMODE(status.st_mode)
