"""The pid file of a service, which keeps it locked while it runs.

The file has mode 0600 in a folder of mode 0700, so that no other user can open it: a user who can
open a file can lock it (flock(2)), and could prevent the start of the service.
"""

import errno
import fcntl
import os
import stat

from mailroster.system import file_lock

#: Another process that checks the lock has it for a moment.
_WAIT_S = 1.0


def claim(path: str) -> int:
    """Opens, locks and empties the pid file; its descriptor. The lock lasts until it is closed.

    Raises BlockingIOError if another process has the lock, and OSError if the file or its folder
    belongs to another user or is of another type.
    """
    _make_private(os.path.dirname(path))
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags, 0o600)
    try:
        _check(os.fstat(fd), stat.S_IFREG, path)
        os.fchmod(fd, 0o600)
        file_lock.lock(fd, path, how=fcntl.flock, wait_s=_WAIT_S, wait_for_root_s=_WAIT_S)
        os.ftruncate(fd, 0)  # the pid of the previous process is no longer valid
    except BaseException:
        os.close(fd)
        raise
    return fd


def write(fd: int) -> None:
    """Writes our own pid into a claimed pid file."""
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)


def _make_private(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        status = os.lstat(folder)
        _check(status, stat.S_IFDIR, folder)
        if stat.S_IMODE(status.st_mode) != 0o700:
            os.chmod(folder, 0o700)


def _check(status: os.stat_result, kind: int, path: str) -> None:
    if stat.S_IFMT(status.st_mode) != kind:
        raise OSError(errno.EINVAL, "is of another type of file; remove it", path)
    if status.st_uid != os.geteuid():
        raise OSError(errno.EPERM, f"belongs to uid {status.st_uid}; remove it", path)
