"""The file that names the process of a service, which keeps it locked as long as it runs.

The file has mode 0600 in a folder of mode 0700, so that no other user can open it: whoever can open
a file can lock it (flock(2)), and could so keep the service from its start.
"""

import errno
import fcntl
import os
import stat
import time

#: Another process may look at the lock at this moment, for which it takes the lock too.
_WAIT_S = 1.0
_STEP_S = 0.01


def claim(path: str) -> int:
    """The descriptor of the pid file, locked and emptied. The lock lasts until it is closed.

    Raises BlockingIOError if another process has the lock, and OSError if the file or its folder
    is not ours alone.
    """
    _make_closed(os.path.dirname(path))
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags, 0o600)
    try:
        _check(os.fstat(fd), stat.S_IFREG, path)
        os.fchmod(fd, 0o600)
        _lock(fd)
        os.ftruncate(fd, 0)  # the number of the one before is no longer true
    except BaseException:
        os.close(fd)
        raise
    return fd


def write(fd: int) -> None:
    """Writes our own number into a pid file that we have claimed."""
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)


def _lock(fd: int) -> None:
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_STEP_S)


def _make_closed(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        status = os.lstat(folder)
        _check(status, stat.S_IFDIR, folder)
        if stat.S_IMODE(status.st_mode) != 0o700:
            os.chmod(folder, 0o700)


def _check(status: os.stat_result, kind: int, path: str) -> None:
    if stat.S_IFMT(status.st_mode) != kind:
        raise OSError(errno.EINVAL, "not of the kind that we make; remove it", path)
    if status.st_uid != os.geteuid():
        raise OSError(errno.EPERM, f"belongs to uid {status.st_uid}; remove it", path)
