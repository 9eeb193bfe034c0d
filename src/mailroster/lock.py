"""A lock on a folder: flock(2) on the folder itself, so it leaves no file and dies with its holder.

File systems that refuse this (NFS wants a file opened for writing) get a lock file in the folder;
where they are read-only as well, there is no lock.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from types import TracebackType

from mailroster.finding import Busy

LOCK_FILE = ".mailroster.lock"
_NO_FLOCK = (errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOLCK)
_STEP_S = 0.002
_STEP_MAX_S = 0.05


class FolderLock:
    """Exclusive, for a `with` block. Raises Busy if it can't be had within `wait_s` seconds, and
    OSError if the folder can't be opened."""

    def __init__(self, folder: str, wait_s: float = 60.0) -> None:
        self._folder, self._wait_s = folder, wait_s
        self._fd = -1

    def __enter__(self) -> "FolderLock":
        deadline = time.monotonic() + self._wait_s
        step = _STEP_S
        while not self._try():
            if time.monotonic() > deadline:
                raise Busy(f"{self._folder} has been locked by another command all along")
            time.sleep(step)
            step = min(step * 1.5, _STEP_MAX_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)
        self._fd = -1

    def _try(self) -> bool:
        try:
            return self._try_on(self._folder, os.O_RDONLY | os.O_DIRECTORY, fcntl.flock)
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise
        path = os.path.join(self._folder, LOCK_FILE)
        try:
            return self._try_on(path, os.O_RDWR | os.O_CREAT, fcntl.lockf)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
        # Nobody can write here, and so there is nobody to keep out.
        return self._try_on(self._folder, os.O_RDONLY | os.O_DIRECTORY, _no_lock)

    def _try_on(self, path: str, flags: int, lock: Callable[[int, int], None]) -> bool:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The folder may have been replaced while we waited for the old one.
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                self._fd = fd
        except (BlockingIOError, PermissionError, FileNotFoundError):
            pass  # held (either of the first two, says fcntl(2)), or gone since it was opened
        finally:
            if self._fd != fd:
                os.close(fd)
        return self._fd == fd


def _no_lock(fd: int, operation: int) -> None:
    """There is nothing to lock against."""
