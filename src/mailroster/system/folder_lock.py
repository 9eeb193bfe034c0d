"""A lock on a folder: flock(2) on the file `.mailroster.lock` in it.

Whoever can open a file can lock it, and keep everybody else waiting. So the lock file can be opened
only by users who may write the folder: it has the folder's owner and group, and mode 0600, or 0660
where the folder's group may write. It stays there; the lock itself ends with the process.

Who can't make files in the folder can change nothing there, and needs no lock.
"""

import errno
import fcntl
import os
import stat
import time
from types import TracebackType

from mailroster.base.findings import TryAgain
from mailroster.system.files import NO_RIGHT

LOCK_FILE = ".mailroster.lock"
#: File systems that want a file opened for writing (NFS), or have no flock(2).
_NO_FLOCK = (errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOLCK)
#: Read-only where that will do: to close a file that was opened for writing wakes who watches it.
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_STEP_S = 0.002
_STEP_MAX_S = 0.05
#: How long a lock file may have another user's rights: until its maker has given it the folder's.
_FRESH_S = 1.0


class FolderLock:
    """Exclusive, for a `with` block. Raises TryAgain if it can't be had within `wait_s` seconds,
    and OSError if the folder is not there, or its lock file can't be opened.

    `make`: the lock file is made if there is none; else there is then nobody to keep out.
    """

    def __init__(self, folder: str, wait_s: float = 60.0, *, make: bool = True) -> None:
        self._folder, self._wait_s, self._make = folder, wait_s, make
        self._path = os.path.join(folder, LOCK_FILE)
        self._fd, self._posix = -1, False

    def __enter__(self) -> "FolderLock":
        deadline = time.monotonic() + self._wait_s
        step = _STEP_S
        while not (self._try() or (self._posix and self._try())):
            if time.monotonic() > deadline:
                raise TryAgain(
                    f"{self._folder} has been locked by another command all along"
                    f"{_holder(self._path)}; try again when it has ended"
                )
            time.sleep(step)
            step = min(step * 1.5, _STEP_MAX_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def is_held(self) -> bool:
        """Inside of the block: whether there is a lock, or else none was needed."""
        return self._fd >= 0

    def is_absent(self) -> bool:
        """Whether no edit was ever made here."""
        return not os.path.lexists(self._path)

    def _try(self) -> bool:
        """Whether the lock is had, or none is needed."""
        try:
            fd = self._open()
        except FileNotFoundError:
            if not self._make or not self._made():
                return True
            fd = self._open()
        except PermissionError:
            return self._is_not_needed()
        try:
            self._judge(fd)
            # The folder may have been replaced while we waited for the old one.
            if self._locks(fd) and os.path.samestat(os.fstat(fd), os.lstat(self._path)):
                self._fd = fd
        except FileNotFoundError:
            pass  # it is gone since it was opened
        finally:
            if self._fd != fd:
                os.close(fd)
        return self._fd == fd

    def _open(self) -> int:
        try:
            return os.open(self._path, _OPEN | (os.O_RDWR if self._posix else os.O_RDONLY))
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise self._no_lock_file("a link") from None

    def _locks(self, fd: int) -> bool:
        lock = fcntl.lockf if self._posix else fcntl.flock
        try:
            lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False  # another has it: either of the two, says fcntl(2)
        except OSError as error:
            if self._posix or error.errno not in _NO_FLOCK:
                raise
            self._posix = True  # at the next try, which opens the file for writing
            return False
        return True

    def _made(self) -> bool:
        """Makes the lock file, if nobody else does; False if nobody can."""
        try:
            fd = os.open(self._path, _OPEN | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return True
        except OSError as error:
            if error.errno not in NO_RIGHT:
                raise
            return False
        try:
            self._give(fd, os.fstat(fd))
        finally:
            os.close(fd)
        return True

    def _is_not_needed(self) -> bool:
        """What a lock file means that we may not open."""
        if not os.access(self._folder, os.W_OK):
            return True
        try:
            status = os.lstat(self._path)
        except FileNotFoundError:
            return False
        if time.time() - status.st_ctime < _FRESH_S:
            return False
        owner = user(status.st_uid)
        why = f"belongs to {owner}; give it the owner and the group of its folder, or remove it"
        raise PermissionError(errno.EACCES, why, self._path)

    def _judge(self, fd: int) -> None:
        """Raises OSError for what is no file; gives one the owner and the mode that it should
        have, as it may be another's, or its maker was killed."""
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise self._no_lock_file("not a regular file with one name")
        self._give(fd, status)

    def _give(self, fd: int, status: os.stat_result) -> None:
        folder = os.stat(self._folder)
        mode = _mode(folder.st_mode)
        if (status.st_uid, status.st_gid) != (folder.st_uid, folder.st_gid):
            for owner in (folder.st_uid, -1):
                try:
                    os.fchown(fd, owner, folder.st_gid)
                    break
                except OSError:
                    continue  # not ours to give
        if stat.S_IMODE(status.st_mode) != mode:
            try:
                os.fchmod(fd, mode)
            except OSError:
                pass  # nor ours to close

    def _no_lock_file(self, what: str) -> OSError:
        return OSError(errno.EEXIST, f"is {what}, and should be a lock; remove it", self._path)


def _mode(folder_mode: int) -> int:
    """Open to those who may write the folder."""
    group, others = folder_mode & 0o020, folder_mode & 0o002
    return 0o600 | (0o060 if group else 0) | (0o006 if others else 0)


def _holder(path: str) -> str:
    """Who has a lock, as the kernel lists it (proc(5), /proc/locks); "" if that can't be told."""
    try:
        inode = os.lstat(path).st_ino
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file]
        for words in lines:
            if "WRITE" in words and words[5].endswith(f":{inode}") and words[1] != "->":
                pid = int(words[4])
                return f" (process {pid} of {user(os.stat(f'/proc/{pid}').st_uid)})"
    except (OSError, ValueError, IndexError):
        pass
    return ""


def user(uid: int) -> str:
    """A user as messages name one."""
    import pwd

    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"
