"""A lock on a folder: flock(2) on the file `.mailroster.lock` in it.

Every user who can open a file can lock it, and block all others. So only users with write access to
the folder can open the lock file: it has the owner and the group of the folder, and mode 0600, or
0660 if the group has write access. The file is permanent; the lock ends with the process.

A process that can't create files in the folder can change nothing there, and needs no lock.
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
#: The errors of file systems that need a file open for writing (NFS), or have no flock(2).
_NO_FLOCK = (errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOLCK)
#: Read-only if possible: to close a file that is open for writing wakes watchers (inotify).
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_STEP_S = 0.002
_STEP_MAX_S = 0.05
#: How long a new lock file may have the wrong owner: until its creator has changed it.
_FRESH_S = 1.0


class FolderLock:
    """An exclusive lock for a `with` block. Raises TryAgain after `wait_s` seconds, and OSError if
    the folder does not exist or its lock file can't be opened.

    `make`: whether to create the lock file if there is none. Otherwise there is no lock then: no
    edit was ever made.
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
                    f"{self._folder} is locked by another command"
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
        """Whether the block has a lock; otherwise it needed none."""
        return self._fd >= 0

    def is_absent(self) -> bool:
        """Whether no edit was ever made in the folder."""
        return not os.path.lexists(self._path)

    def _try(self) -> bool:
        """Whether the block may start: with the lock, or because it needs none."""
        try:
            fd = self._open()
        except FileNotFoundError:
            if not self._make or not self._create():
                return True
            fd = self._open()
        except PermissionError:
            return self._is_not_needed()
        try:
            self._check(fd)
            # The folder may have been replaced while we waited for the old one.
            if self._locks(fd) and os.path.samestat(os.fstat(fd), os.lstat(self._path)):
                self._fd = fd
        except FileNotFoundError:
            pass  # it was removed since it was opened
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
            return False  # another process has it: one of both errors (fcntl(2))
        except OSError as error:
            if self._posix or error.errno not in _NO_FLOCK:
                raise
            self._posix = True  # at the next try, which opens the file for writing
            return False
        return True

    def _create(self) -> bool:
        """Creates the lock file, unless another process does; False if the folder is read-only."""
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
        """Whether no lock is needed, since we can't open the lock file. Raises PermissionError."""
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

    def _check(self, fd: int) -> None:
        """Raises OSError if it is no regular file. Corrects its owner and mode: its creator may be
        another user, or was killed."""
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
                    continue  # not permitted
        if stat.S_IMODE(status.st_mode) != mode:
            try:
                os.fchmod(fd, mode)
            except OSError:
                pass  # not permitted

    def _no_lock_file(self, what: str) -> OSError:
        return OSError(errno.EEXIST, f"is {what}, and should be a lock; remove it", self._path)


def _mode(folder_mode: int) -> int:
    """The mode of a lock file: for users with write access to the folder."""
    group, others = folder_mode & 0o020, folder_mode & 0o002
    return 0o600 | (0o060 if group else 0) | (0o006 if others else 0)


def _holder(path: str) -> str:
    """The process that has a lock, from /proc/locks (proc(5)); "" if unknown."""
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
    """The name of a user for messages."""
    import pwd

    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"
