"""The calls that read and change files, in one place, so that a test can fail at each of them."""

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import FileIO
from typing import NamedTuple

from mailroster.base.content import Content, Range


class Identity(NamedTuple):
    """The attributes of a file that change whenever it is written."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


ABSENT = Identity(0, 0, 0, 0)
#: The limit of a file that is read whole: five million accounts. A sparse file costs nothing, and
#: would fill the memory.
WHOLE_MAX_BYTES = 1 << 30
#: The limit of a file with a setting, and of mailroster.toml.
SMALL_MAX_BYTES = 1 << 20

#: The errors of a user without the right to write.
NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
#: The errors if a file can't get an owner. The last: this user namespace has no such uid.
NOT_GIVEN = (errno.EPERM, errno.EACCES, errno.EINVAL)
#: A new file: fails if it exists, and follows no link.
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

#: The errors of file systems for which copy_file_range(2) does not work.
_NOT_COPIED = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


def reason(error: OSError) -> str:
    """The system's text for an error, and what to do if that is known."""
    return f"{error.strerror or error}{remedy(error)}"


def remedy(error: OSError) -> str:
    """What to do about an error of the system; "" if unknown."""
    if isinstance(error, PermissionError) and os.geteuid():
        return "; run it as root (sudo)"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "; make room on that file system"
    return ""


def identity(path: str) -> Identity:
    """The identity of the file at a path, links followed; ABSENT if it does not exist."""
    try:
        return _identity(os.stat(path))
    except OSError:
        return ABSENT


def look(path: str) -> tuple[bytes, Identity]:
    """The content of a file and its identity; b"" and ABSENT if there is no such file.

    Raises OSError for a file that can't be read, is not regular or is too large; does not wait for
    a FIFO. If the file is written at the same time, its identity is another one afterwards.
    """
    return _look(path, WHOLE_MAX_BYTES)


def _look(path: str, max_bytes: int) -> tuple[bytes, Identity]:
    try:
        with opened(path) as file:
            which = identity_of(file.fileno())
            if which.size > max_bytes:
                raise OSError(errno.EFBIG, f"larger than {max_bytes} bytes", path)
            return file.readall(), which
    except (FileNotFoundError, NotADirectoryError):
        return b"", ABSENT


def opened(path: str) -> FileIO:
    """Opens a regular file for reading. Raises OSError; does not wait for a FIFO."""
    file = FileIO(path, opener=_without_waiting)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", path)
    return file


def is_own(path: str) -> bool:
    """Whether a path is a regular file of root or of this process's user, with one name only. In a
    folder with the sticky bit, no other user can replace such a file."""
    try:
        return _is_own(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_own(path: str) -> bytes:
    """The content of a file that `is_own`; b"" if there is none."""
    try:
        with FileIO(path, opener=_without_a_link) as file:
            return file.readall() if _is_own(os.fstat(file.fileno())) else b""
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return b""
        raise


def _is_own(status: os.stat_result) -> bool:
    is_owner = status.st_uid in (0, os.geteuid())
    return stat.S_ISREG(status.st_mode) and is_owner and status.st_nlink == 1


def identity_of(fd: int) -> Identity:
    """The identity of an open file."""
    return _identity(os.fstat(fd))


def read(path: str) -> bytes:
    """The content of a file, as in `look`."""
    return look(path)[0]


def read_small(path: str) -> bytes:
    """The same, with the limit SMALL_MAX_BYTES."""
    return _look(path, SMALL_MAX_BYTES)[0]


def _identity(status: os.stat_result) -> Identity:
    return Identity(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _without_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


class Disk:
    """Changes of files. Each method succeeds or raises OSError; `write` may write a part only."""

    def create(self, path: str, content: Content, mode: int, owner: tuple[int, int] | None) -> None:
        """Creates a file and syncs it. Raises OSError if it exists."""
        fd = os.open(path, _NEW_FILE, 0o600)
        try:
            status = os.fstat(fd)  # its group may be that of the folder
            if owner is not None and owner != (status.st_uid, status.st_gid):
                os.fchown(fd, *owner)
            os.fchmod(fd, mode)
            self._fill(fd, content)
            self.sync(fd)
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def overwrite(self, path: str, content: bytes) -> None:
        """Writes a file in place, if it can't be replaced by a rename (a mount point, a file of
        another user). Follows no link."""
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
        """Syncs a folder: the new, changed and removed names in it."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that syncs by itself
                raise
        finally:
            os.close(fd)

    def make_folder(self, path: str, mode: int = 0o755) -> None:
        """Creates a folder and its parents, and syncs their names."""
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
        """Replaces a file of ours atomically: writes PATH.new and renames it.

        Does not sync: the file can be made again from the config folder. An existing PATH.new, of a
        crash or of another user, is removed first.
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
        """Appends to a file that is open for appending, and syncs it."""
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
        """Changes a file in place: moves parts of it (from, to, bytes) in that order, writes parts
        at offsets, and truncates it. Not atomic. Follows no link."""
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

    # -- the parts of these changes, and of changes of tables

    def step(self, path: str) -> None:
        """Called before each change of a table, before its commit, and after it. Does nothing; a
        test can fail here."""

    def _fill(self, fd: int, content: Content) -> None:
        for piece in (content,) if isinstance(content, bytes) else content:
            if isinstance(piece, bytes):
                self.write(fd, piece)
            else:
                self.copy(fd, piece)

    def copy(self, fd: int, part: Range) -> None:
        """Appends a part of another file, inside the kernel if possible."""
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
    """The permission bits of a file that every user can read; None if its mode or that of a parent
    folder forbids it, or if it does not exist."""
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
    """Creates a folder and its parents with mode 0755, whatever the umask is. Existing folders stay
    unchanged."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path) or "."
    for folder in reversed(missing):
        os.mkdir(folder)
        os.chmod(folder, 0o755)


def owner_and_mode(path: str) -> tuple[tuple[int, int], int]:
    """The (uid, gid) and the permission bits of a file or a link, without set-ID bits."""
    status = os.lstat(path)
    return (status.st_uid, status.st_gid), status.st_mode & 0o777


def owner_of(*paths: str) -> int:
    """The owner of the first file that exists. Raises OSError if none does."""
    for path in paths[:-1]:
        try:
            return os.stat(path).st_uid
        except FileNotFoundError:
            continue
    return os.stat(paths[-1]).st_uid
