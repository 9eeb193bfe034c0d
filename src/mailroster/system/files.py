"""The few calls that change files, in one place, so that a test can stop before any of them."""

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import FileIO
from typing import NamedTuple

from mailroster.base.content import Content, Range


class Identity(NamedTuple):
    """What changes whenever somebody writes a file: which file it is, how large, how old."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


ABSENT = Identity(0, 0, 0, 0)
#: A file that is read whole has no more than this: five million accounts. A sparse file of any size
#: costs its writer nothing.
WHOLE_MAX_BYTES = 1 << 30
#: Nor a file with one setting or with the settings of mailroster.toml more than this.
SMALL_MAX_BYTES = 1 << 20

#: What a user without the right to write gets.
NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
#: If a file can't get an owner. The last: this user namespace has no number for the owner.
NOT_GIVEN = (errno.EPERM, errno.EACCES, errno.EINVAL)
#: How a file is made: never one that is there already, nor what a link leads to.
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

#: File systems between which, or on which, the kernel does not copy by itself.
_NOT_COPIED = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


def reason(error: OSError) -> str:
    """The system's words for an error, and what to do where that is known."""
    return f"{error.strerror or error}{remedy(error)}"


def remedy(error: OSError) -> str:
    """What to do about an error of the system, where that is known; else ""."""
    if isinstance(error, PermissionError) and os.geteuid():
        return "; run it as root (sudo)"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "; make room on that file system"
    return ""


def identity(path: str) -> Identity:
    """The identity of the file behind a path, links followed; ABSENT if there is none to see."""
    try:
        return _identity(os.stat(path))
    except OSError:
        return ABSENT


def look(path: str) -> tuple[bytes, Identity]:
    """All bytes of a file, and which file they are of; none and ABSENT if there is no such file.

    Raises OSError for what can't be read, is no regular file or is too large; never waits, as a
    FIFO would make it. A file that is written meanwhile has another identity afterwards.
    """
    return _look(path, WHOLE_MAX_BYTES)


def _look(path: str, most: int) -> tuple[bytes, Identity]:
    try:
        with opened(path) as file:
            found = identity_of(file.fileno())
            if found.size > most:
                raise OSError(errno.EFBIG, f"larger than {most} bytes", path)
            return file.readall(), found
    except (FileNotFoundError, NotADirectoryError):
        return b"", ABSENT


def opened(path: str) -> FileIO:
    """A regular file to be read. Raises OSError, and never waits, as a FIFO would make it."""
    file = FileIO(path, opener=_without_waiting)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", path)
    return file


def is_own(path: str) -> bool:
    """Whether there is a regular file that root or this process has made: no link, of no other
    owner, and without another name. In a folder with the sticky bit another user can't replace such
    a file by one of his."""
    try:
        return _is_own(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_own(path: str) -> bytes:
    """All bytes of a file that `is_own`; none if there is no such file."""
    try:
        with FileIO(path, opener=_without_a_link) as file:
            return file.readall() if _is_own(os.fstat(file.fileno())) else b""
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return b""
        raise


def _is_own(status: os.stat_result) -> bool:
    mine = status.st_uid in (0, os.geteuid())
    return stat.S_ISREG(status.st_mode) and mine and status.st_nlink == 1


def identity_of(fd: int) -> Identity:
    """The identity of an open file."""
    return _identity(os.fstat(fd))


def read(path: str) -> bytes:
    """All bytes of a file, as `look` gives them."""
    return look(path)[0]


def read_small(path: str) -> bytes:
    """The same of a file that is never large. Raises OSError for one that is."""
    return _look(path, SMALL_MAX_BYTES)[0]


def _identity(status: os.stat_result) -> Identity:
    return Identity(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _without_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


class Disk:
    """Effects on files. Each method happens or raises OSError; `write` may stop half-way."""

    def create(self, path: str, content: Content, mode: int, owner: tuple[int, int] | None) -> None:
        """A new file, whole and on the disk when this returns. Raises if it exists."""
        fd = os.open(path, _NEW_FILE, 0o600)
        try:
            made = os.fstat(fd)  # its group may be the folder's
            if owner is not None and owner != (made.st_uid, made.st_gid):
                os.fchown(fd, *owner)
            os.fchmod(fd, mode)
            self._fill(fd, content)
            self.sync(fd)
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def overwrite(self, path: str, content: bytes) -> None:
        """In place, for a file that can't be renamed over (a mount point, another's file). Follows
        no link."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
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
        content: Content,
        mode: int = 0o600,
        *,
        group: int = -1,
        mtime_s: int | None = None,
    ) -> None:
        """A file of ours, whole or not at all: written beside its place and renamed over it.

        Not synced: it can be made anew from the config folder. What a crash, or another user of the
        folder, has left beside its place is removed, and never written to.
        """
        new = f"{path}.new"
        with suppress(FileNotFoundError):
            os.unlink(new)
        fd = os.open(new, _NEW_FILE, 0o600)
        try:
            os.fchown(fd, -1, group)
            os.fchmod(fd, mode)
            self._fill(fd, content)
            if mtime_s is not None:
                os.utime(fd, (mtime_s, mtime_s))
        except OSError as error:
            error.filename = error.filename or path
            raise
        finally:
            os.close(fd)
        self.rename(new, path)

    def append(self, fd: int, content: bytes) -> None:
        """To a file that is open for appending; on the disk when this returns."""
        self.write(fd, content)
        self.sync(fd)

    def patch(
        self,
        path: str,
        moves: Sequence[tuple[int, int, int]],
        writes: Iterable[tuple[int, bytes]],
        size: int,
        *,
        sync: bool = False,
    ) -> None:
        """Changes a file in place: moves parts of it (from, to, how many bytes), in their order,
        writes others, and cuts it. Half done if it is stopped. Follows no link."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if moves:
                import mmap

                os.ftruncate(fd, max(size, os.fstat(fd).st_size))
                with mmap.mmap(fd, 0) as memory:
                    for start, to, count in moves:
                        memory.move(to, start, count)
            self.step(path)
            for offset, raw in writes:
                os.pwrite(fd, raw, offset)
            os.ftruncate(fd, size)
            if sync:
                self.sync(fd)
        finally:
            os.close(fd)

    # -- the steps inside of the effects above, and of those on tables

    def step(self, path: str) -> None:
        """Called before each change of a table, before it is committed, and after it: nothing
        happens here, but a test may stop."""

    def _fill(self, fd: int, content: Content) -> None:
        for piece in (content,) if isinstance(content, bytes) else content:
            if isinstance(piece, bytes):
                self.write(fd, piece)
            else:
                self.copy(fd, piece)

    def copy(self, fd: int, part: Range) -> None:
        """Appends a part of another file, inside of the kernel where it can."""
        start = part.start
        while start < part.end:
            try:
                copied = os.copy_file_range(part.fd, fd, part.end - start, start)
            except OSError as error:
                if error.errno not in _NOT_COPIED:
                    raise
                copied = os.write(fd, os.pread(part.fd, min(part.end - start, 1 << 20), start))
            if not copied:
                raise OSError(errno.EIO, "the file has become shorter while it was read")
            start += copied

    def write(self, fd: int, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]

    def sync(self, fd: int) -> None:
        os.fsync(fd)


def mode_for_all(path: str) -> int | None:
    """The permission bits of a file that every user of the machine can read; None if they can't,
    since its mode or that of a folder above it keeps them out, or if it isn't there."""
    path = os.path.realpath(path)
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        while (above := os.path.dirname(path)) != path:
            path = above
            if not os.stat(path).st_mode & stat.S_IXOTH:
                return None
    except OSError:
        return None
    return mode if mode & stat.S_IROTH else None


def make_folder(path: str) -> None:
    """A folder with those above it, each of mode 0755 whatever the umask is. What is there stays
    as it is."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path) or "."
    for folder in reversed(missing):
        os.mkdir(folder)
        os.chmod(folder, 0o755)


def owner_and_mode(path: str) -> tuple[tuple[int, int], int]:
    """(uid, gid) and the permission bits of a file or of a link, without those that run a program
    as its owner."""
    status = os.lstat(path)
    return (status.st_uid, status.st_gid), status.st_mode & 0o777


def owner_of(*paths: str) -> int:
    """The uid of the first of some files that is there. Raises OSError if none is."""
    for path in paths[:-1]:
        try:
            return os.stat(path).st_uid
        except FileNotFoundError:
            continue
    return os.stat(paths[-1]).st_uid
