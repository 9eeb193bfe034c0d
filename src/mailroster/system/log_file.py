"""Log files: readable only for root and the log group of Debian."""

import errno
import grp
import os
import stat

#: "Group adm is used for system monitoring tasks" (Debian, base-passwd).
READERS = "adm"
_MODE = 0o640


def opened(path: str, owner: int = -1) -> int:
    """Opens a log file for appending; creates it if needed; sets its group and mode.

    A link or a device of root in its place, for example to standard output, is opened unchanged.
    Otherwise raises OSError unless it is a regular file with one name only: through a second name
    it may be a foreign file.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
    if is_elsewhere(path):
        return os.open(path, flags)
    fd = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        if not _has_one_name(os.fstat(fd)):
            raise OSError(errno.EINVAL, "not a regular file with one name; remove it", path)
        os.fchown(fd, owner, readers())
        os.fchmod(fd, _MODE)
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_elsewhere(path: str) -> bool:
    """Whether a log file is a link, a device or a pipe of root."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid())


def tighten(folder: str, names: tuple[str, ...]) -> None:
    """Removes other users' rights to log files of an earlier version, and to their rotated ones."""
    for name in os.listdir(folder):
        if name.startswith(names):
            _close(os.path.join(folder, name))


def readers() -> int:
    """The gid of the log group; that of root if the system has none."""
    try:
        return grp.getgrnam(READERS).gr_gid
    except KeyError:
        return 0


def _close(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return  # a link, or removed
    try:
        status = os.fstat(fd)
        open_to_others = stat.S_IMODE(status.st_mode) & 0o027
        if open_to_others and _has_one_name(status):
            os.fchmod(fd, stat.S_IMODE(status.st_mode) & ~0o027)
    finally:
        os.close(fd)


def _has_one_name(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
