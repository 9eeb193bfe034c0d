"""The files of a config folder, and which links in it are followed.

Users other than root may write a config folder, and a link there may lead to any file that root can
read. So a link is followed only to a file inside the folder (like Kubernetes' `..data`), or inside
a folder that the administrator has named in `linked_folders`.

A file is opened first, then checked by the path that the kernel reports for the open file
(/proc/self/fd/N, proc(5)): so the file that is read is the file that was checked. Before that,
nothing of a file is read, and no device is opened.
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
        """Opens a regular file of the folder for reading; `file` may be in a subfolder.

        Raises OSError for anything else and for a link that is not followed. Never blocks, not even
        on a FIFO.
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
                self._check_hard_link(fd, status.st_uid, file)
        except OSError:
            os.close(fd)
            raise
        return FileIO(fd)

    def look(self, file: str, max_bytes: int = WHOLE_MAX_BYTES) -> tuple[bytes, Identity]:
        """The content of a file and its identity; no content and ABSENT if there is no such file.
        Raises OSError as `opened` does, and for a file of more than `max_bytes`."""
        try:
            with self.opened(file) as opened:
                source = identity_of(opened.fileno())
                if source.size > max_bytes:
                    raise OSError(errno.EFBIG, f"larger than {max_bytes} bytes", self.path_of(file))
                return opened.readall(), source
        except (FileNotFoundError, NotADirectoryError):
            return b"", ABSENT

    def read(self, file: str) -> bytes:
        """The content of a file, as `look` gives it."""
        return self.look(file)[0]

    def _open_itself(self, file: str) -> int:
        """Opens a file of the folder itself; raises ELOOP if it may be a link."""
        if "/" in file:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), file)
        return os.open(self.path_of(file), _OPEN | os.O_NOFOLLOW)

    def _open_linked(self, file: str) -> int:
        folder = os.open(self.path, _HANDLE | os.O_DIRECTORY)
        try:
            target = self._open_target(file, folder)
            try:
                if not stat.S_ISREG(os.fstat(target).st_mode):
                    raise OSError(errno.EINVAL, "not a regular file", self.path_of(file))
                return os.open(handle_path(target), _OPEN)
            finally:
                os.close(target)
        finally:
            os.close(folder)

    def _open_target(self, file: str, folder: int) -> int:
        """A handle of the file to which a link leads. Raises OSError if it is not followed."""
        try:
            target = os.open(file, _HANDLE, dir_fd=folder)
        except FileNotFoundError:
            self.check_target(os.path.realpath(self.path_of(file)), path_of_fd(folder), file)
            raise
        try:
            self.check_target(path_of_fd(target), path_of_fd(folder), file)
        except OSError:
            os.close(target)
            raise
        return target

    def check_target(self, target: str, folder: str, file: str) -> None:
        """Raises OSError if the link `file` may not lead to a path; `folder` and `target` are paths
        without links."""
        if not (is_below(target, folder) or self._is_linked(target)):
            why = (
                f"leads to {printable(target)}, outside of the config folder; put the file itself "
                "there, or name the folder of its target in linked_folders "
                "(MAILROSTER_LINKED_FOLDERS)"
            )
            raise OSError(errno.ELOOP, why, self.path_of(file))

    def _is_linked(self, path: str) -> bool:
        return any(is_below(path, os.path.realpath(folder)) for folder in self.linked)

    def _check_hard_link(self, fd: int, owner: int, file: str) -> None:
        """Raises OSError for a hard link to a file of another user.

        If fs.protected_hardlinks is off, every user can make one to a file that only root can read.
        """
        if owner != os.stat(self.path).st_uid and not self._is_linked(path_of_fd(fd)):
            why = "a hard link to a file of another user; put a copy there"
            raise OSError(errno.EPERM, why, self.path_of(file))


class Target:
    """The path at which a file of a config folder is written, for a `with` block: its own path, or
    the target of its link.

    The path of a target begins with an open folder (/proc/self/fd/N), so that it leads to the same
    folder until the end of the block. Raises OSError for a link that is not followed.
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
            target = os.path.join(path_of_fd(self._fd), name)
            self._config.check_target(target, os.path.realpath(self._config.path), self._file)
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
    """A path that opens an open file or folder again, even after a rename (proc(5))."""
    return f"/proc/self/fd/{fd}"


def path_of_fd(fd: int) -> str:
    """The path of an open file or folder, without links. Raises OSError."""
    try:
        return os.readlink(handle_path(fd))
    except FileNotFoundError:
        raise OSError(errno.EPERM, "no link can be followed without /proc") from None


def is_below(path: str, folder: str) -> bool:
    """Whether a path without links is inside a folder."""
    return path.startswith(f"{folder.rstrip('/')}/")
