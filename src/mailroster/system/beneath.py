"""Files in an open folder, without following links.

Another user may have write access to the folder, and could exchange a path between two calls, but
not an open folder. So each function takes the descriptor of a folder, and a name in it (openat(2)).
"""

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator
from itertools import islice

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_EXCHANGE = 2  # linux/fs.h: RENAME_EXCHANGE
_EMPTY_PATH = 0x1000  # linux/fcntl.h: AT_EMPTY_PATH
#: The names of a folder that are in memory at once.
_NAMES_MAX = 10_000


def open_folder(name: str, within: int) -> int:
    """Opens a folder in an open folder; its descriptor. Raises NotADirectoryError for a link."""
    try:
        return os.open(name, _FOLDER, dir_fd=within)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from None


def is_there(name: str, within: int) -> bool:
    """Whether a name exists in an open folder, even as a dangling link."""
    return _mode(name, within) != 0


def is_folder(name: str, within: int) -> bool:
    """Whether a name in an open folder is a folder, not a link."""
    return stat.S_ISDIR(_mode(name, within))


def is_socket(name: str, within: int) -> bool:
    """Whether a name in an open folder is a socket."""
    return stat.S_ISSOCK(_mode(name, within))


def _mode(name: str, within: int) -> int:
    """The type and the mode of a name; 0 if it does not exist."""
    try:
        return os.stat(name, dir_fd=within, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def link_target(name: str, within: int) -> str:
    """The target of a link in an open folder; "" if it is no link or does not exist."""
    try:
        return os.readlink(name, dir_fd=within)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return ""


def exchange(one: str, one_within: int, other: str, other_within: int) -> None:
    """Exchanges two names atomically (renameat2(2)). Raises OSError."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if library.renameat2(one_within, names[0], other_within, names[1], _EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), one)


def remove(name: str, within: int) -> bool:
    """Deletes a file or a link; whether it existed."""
    try:
        os.unlink(name, dir_fd=within)
    except FileNotFoundError:
        return False
    return True


def remove_tree(name: str, within: int, alive: Callable[[], object]) -> None:
    """Deletes a file, a link, or a folder with its content, of any depth and size.

    Two folders are open at a time: a deeper folder is moved up first, so that neither the depth nor
    the length of a path has a limit. `alive` is called regularly; it may raise to end the work. Not
    for root, since modes are changed by path.
    """
    try:
        top = _open_to_empty(name, within)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        remove(name, within)
        return
    try:
        while folders := _without_files(top, alive):
            for folder in folders:
                _move_up(folder, top, alive)
                _remove_empty(folder, top)
    finally:
        os.close(top)
    _remove_empty(name, within)


def _move_up(folder: str, top: int, alive: Callable[[], object]) -> None:
    """Empties a folder in `top`: deletes its files, and moves its folders to `top`."""
    try:
        fd = _open_to_empty(folder, top)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        while inner := _without_files(fd, alive):
            for name in inner:
                alive()
                free = f".{os.urandom(8).hex()}"
                try:
                    os.rename(name, free, src_dir_fd=fd, dst_dir_fd=top)
                except PermissionError:  # a rename also changes its ".."
                    os.chmod(name, 0o700, dir_fd=fd)
                    os.rename(name, free, src_dir_fd=fd, dst_dir_fd=top)
    finally:
        os.close(fd)


def _without_files(folder: int, alive: Callable[[], object]) -> list[str]:
    """Deletes all but the folders in an open folder; the names of some of these."""
    while True:
        files, folders = list[str](), list[str]()
        with os.scandir(folder) as entries:
            for entry in islice(entries, _NAMES_MAX):
                (folders if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
        for name in files:
            alive()
            remove(name, folder)
        if not files:
            return folders


def _open_to_empty(name: str, within: int) -> int:
    """Opens a folder, even if its owner has no rights in it."""
    try:
        fd = open_folder(name, within)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=within)
        fd = open_folder(name, within)
    try:
        if os.fstat(fd).st_mode & 0o700 != 0o700:
            os.fchmod(fd, 0o700)
    except OSError:
        os.close(fd)
        raise
    return fd


def _remove_empty(name: str, within: int) -> None:
    """Deletes a folder, unless another process has written to it."""
    try:
        os.rmdir(name, dir_fd=within)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise


def walk(
    top: int, depth: int, without: Collection[str] = (), *, with_folders: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Walks an open folder and those below, `depth` levels deep: the descriptor of each folder, and
    the names in it that are no folders. A descriptor is open until the next step.

    Skips folders that are named in `without`, and those that can't be opened. `with_folders`: the
    names include those of folders.
    """
    folders, names = list[str](), list[str]()
    with os.scandir(top) as entries:
        for entry in entries:
            (folders if entry.is_dir(follow_symlinks=False) else names).append(entry.name)
    yield top, [*names, *folders] if with_folders else names
    for folder in folders if depth else ():
        if folder in without:
            continue
        try:
            fd = open_folder(folder, top)
        except OSError:
            continue
        try:
            yield from walk(fd, depth - 1, without, with_folders=with_folders)
        finally:
            os.close(fd)


def give(name: str, within: int, uid: int, gid: int, of_uid: int | None = None) -> bool:
    """Changes the owner and the group of a name in an open folder (-1: unchanged); whether it did.

    It does not for a link, a file with a second name, or one of another user than `of_uid`: a user
    with write access to the folder could have put a foreign file there.
    """
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        status = os.fstat(fd)
        if stat.S_ISLNK(status.st_mode) or (of_uid is not None and status.st_uid != of_uid):
            return False
        if not stat.S_ISDIR(status.st_mode) and status.st_nlink != 1:
            return False
        _chown(fd, uid, gid)
        return True
    finally:
        os.close(fd)


def _chown(fd: int, uid: int, gid: int) -> None:
    """fchown(2) for a descriptor that is open only as a path (O_PATH), for example of a socket."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if library.fchownat(fd, b"", ctypes.c_uint32(uid & 0xFFFFFFFF),
                        ctypes.c_uint32(gid & 0xFFFFFFFF), _EMPTY_PATH):  # fmt: skip
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
