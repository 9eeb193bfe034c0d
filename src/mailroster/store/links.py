"""A config folder, and which links in it are followed.

Others than root may write a config folder, and a link there may lead to any file that root can
read. So a link is followed only to a file that lies inside of the folder (as Kubernetes' `..data`
has it), or inside of a folder that the administrator has named in `linked_folders`.

A file is opened first and judged then, by where the kernel says that the open file lies
(/proc/self/fd/N, proc(5)): so it is not another one by the time that it is read. Nothing of a file
is read, and no device is opened, before that.
"""

import errno
import os
import stat
from io import FileIO
from types import TracebackType
from typing import NamedTuple

from mailroster.base.findings import printable
from mailroster.system.files import ABSENT, WHOLE_MAX_BYTES, Identity, identity_of

_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_HANDLE = os.O_PATH | os.O_CLOEXEC


class ConfigFolder(NamedTuple):
    """A config folder, and the other folders to which links in it may lead."""

    path: str
    linked: tuple[str, ...] = ()

    def path_of(self, file: str) -> str:
        return os.path.join(self.path, file)

    def opened(self, file: str) -> FileIO:
        """A regular file of the folder to be read; `file` may lie in a folder below.

        Raises OSError for anything else and for a link that is not followed; never waits, as a
        FIFO would make it.
        """
        try:
            fd = self._open_itself(file)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            fd = self._open_linked(file)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", self.path_of(file))
            if status.st_nlink > 1:
                self._judge_hard_link(fd, status.st_uid, file)
        except OSError:
            os.close(fd)
            raise
        return FileIO(fd)

    def look(self, file: str, most: int = WHOLE_MAX_BYTES) -> tuple[bytes, Identity]:
        """All bytes of a file, and which file they are of; none and ABSENT if there is no such
        file. Raises as `opened` does, and OSError for a file of more than `most` bytes."""
        try:
            with self.opened(file) as opened:
                which = identity_of(opened.fileno())
                if which.size > most:
                    raise OSError(errno.EFBIG, f"larger than {most} bytes", self.path_of(file))
                return opened.readall(), which
        except (FileNotFoundError, NotADirectoryError):
            return b"", ABSENT

    def read(self, file: str) -> bytes:
        """All bytes of a file, as `look` gives them."""
        return self.look(file)[0]

    def _open_itself(self, file: str) -> int:
        """Raises ELOOP for what may be a link."""
        if "/" in file:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), file)
        return os.open(self.path_of(file), _OPEN | os.O_NOFOLLOW)

    def _open_linked(self, file: str) -> int:
        folder = os.open(self.path, _HANDLE | os.O_DIRECTORY)
        try:
            target = self._find(file, folder)
            try:
                if not stat.S_ISREG(os.fstat(target).st_mode):
                    raise OSError(errno.EINVAL, "not a regular file", self.path_of(file))
                return os.open(handle_path(target), _OPEN)
            finally:
                os.close(target)
        finally:
            os.close(folder)

    def _find(self, file: str, folder: int) -> int:
        """A handle of the file to which a link leads, that has been judged."""
        try:
            target = os.open(file, _HANDLE, dir_fd=folder)
        except FileNotFoundError:
            self._judge(os.path.realpath(self.path_of(file)), place_of(folder), file)
            raise
        try:
            self._judge(place_of(target), place_of(folder), file)
        except OSError:
            os.close(target)
            raise
        return target

    def _judge(self, place: str, folder: str, file: str) -> None:
        """Raises OSError if a file may not lie at a place."""
        if not (is_below(place, folder) or self._is_linked(place)):
            target = printable(place)
            why = (
                f"leads to {target}, outside of the config folder; put the file itself there, or "
                "name the folder of its target in linked_folders (MAILROSTER_LINKED_FOLDERS)"
            )
            raise OSError(errno.ELOOP, why, self.path_of(file))

    def _is_linked(self, place: str) -> bool:
        return any(is_below(place, os.path.realpath(folder)) for folder in self.linked)

    def _judge_hard_link(self, fd: int, owner: int, file: str) -> None:
        """Raises OSError for a second name of a file of another user, who did not put it there.

        Where fs.protected_hardlinks is off, anybody can make one of a file that only root can read.
        """
        if owner != os.stat(self.path).st_uid and not self._is_linked(place_of(fd)):
            why = "a hard link to a file of another user; put a copy there"
            raise OSError(errno.EPERM, why, self.path_of(file))


class Target:
    """Where a file of a config folder is written, for a `with` block: at its own path, or where its
    link leads.

    The path of a link's target begins with an open folder (/proc/self/fd/N), so that it leads
    nowhere else by the time that it is used. Raises OSError for a link that is not followed.
    """

    def __init__(self, config: ConfigFolder, file: str) -> None:
        self._config, self._file, self._fd, self._real = config, file, -1, ""

    def __enter__(self) -> str:
        path = self._config.path_of(self._file)
        if not os.path.islink(path):
            return path
        self._real, name = os.path.split(os.path.realpath(path))
        self._fd = os.open(self._real, _HANDLE | os.O_DIRECTORY)
        try:
            place = os.path.join(place_of(self._fd), name)
            self._config._judge(place, os.path.realpath(self._config.path), self._file)
            if os.path.islink(os.path.join(handle_path(self._fd), name)):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)  # a loop
        except OSError:
            os.close(self._fd)
            raise
        return os.path.join(handle_path(self._fd), name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._fd < 0:
            return
        if isinstance(error, OSError) and isinstance(error.filename, str):
            error.filename = error.filename.replace(handle_path(self._fd), self._real, 1)
        os.close(self._fd)
        self._fd = -1


def handle_path(fd: int) -> str:
    """The path of an open file or folder, whatever its name is by now (proc(5))."""
    return f"/proc/self/fd/{fd}"


def place_of(fd: int) -> str:
    """Where an open file or folder lies, as a path without links. Raises OSError."""
    try:
        return os.readlink(handle_path(fd))
    except FileNotFoundError:
        raise OSError(errno.EPERM, "no link can be followed without /proc") from None


def is_below(place: str, folder: str) -> bool:
    """Whether a path without links is one of something in a folder."""
    return place.startswith(f"{folder.rstrip('/')}/")
