"""A lock on a folder: flock(2) on the folder itself, so it leaves no file and dies with its holder.

File systems that refuse this (NFS wants a file opened for writing) get a lock file in the folder.
"""

import errno
import fcntl
import os
import time
from types import TracebackType

from mailroster.finding import Busy

LOCK_FILE = ".mailroster.lock"
_STEP_S = 0.002
_STEP_MAX_S = 0.05


class FolderLock:
    """Exclusive, for a `with` block. Raises Busy if it can't be had within `wait_s` seconds."""

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

    def _try(self) -> bool:
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError as error:
            os.close(fd)
            if error.errno not in (errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOLCK):
                raise
            return self._try_file()
        # The folder may have been replaced while we waited for the old one.
        if not os.path.samestat(os.fstat(fd), os.stat(self._folder)):
            os.close(fd)
            return False
        self._fd = fd
        return True

    def _try_file(self) -> bool:
        path = os.path.join(self._folder, LOCK_FILE)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        self._fd = fd
        return True
