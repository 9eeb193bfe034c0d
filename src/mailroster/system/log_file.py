"""Log files: for root and for the group that reads the logs of a Debian system, and no other."""

import errno
import grp
import os
import stat

#: "Group adm is used for system monitoring tasks" (Debian, base-passwd).
READERS = "adm"
_MODE = 0o640


def opened(path: str, owner: int = -1) -> int:
    """A descriptor to append to a log file, which is made if need be, with our group and mode.

    A link or a device that root has put in its place, as for standard output, is opened as it is.
    Raises OSError for any other thing but a regular file that has this one name only: through a
    second name the file may be another's.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
    if is_elsewhere(path):
        return os.open(path, flags)
    fd = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        if not _is_ours_alone(os.fstat(fd)):
            raise OSError(errno.EINVAL, "not a regular file with one name; remove it", path)
        os.fchown(fd, owner, readers())
        os.fchmod(fd, _MODE)
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_elsewhere(path: str) -> bool:
    """Whether root has put a link, a device or a pipe in the place of a log file."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid())


def tighten(folder: str, names: tuple[str, ...]) -> None:
    """Closes log files of an earlier version, and their rotated ones, to other users."""
    for name in os.listdir(folder):
        if name.startswith(names):
            _close(os.path.join(folder, name))


def readers() -> int:
    """The gid of the group that reads logs; root's where the system has none."""
    try:
        return grp.getgrnam(READERS).gr_gid
    except KeyError:
        return 0


def _close(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return  # a link, or gone
    try:
        status = os.fstat(fd)
        open_to_others = stat.S_IMODE(status.st_mode) & 0o027
        if open_to_others and _is_ours_alone(status):
            os.fchmod(fd, stat.S_IMODE(status.st_mode) & ~0o027)
    finally:
        os.close(fd)


def _is_ours_alone(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
