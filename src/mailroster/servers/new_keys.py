"""Writes new DKIM keys to the config folder, and removes old ones.

No link is followed on the way, since another user may write the config folder: each folder is
opened by its name in the one above it (openat(2)). A key gets its name only when it is complete,
and never replaces another one.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from mailroster.base.findings import Refused
from mailroster.servers.config import dkim
from mailroster.servers.dkim_keys import ROTATION
from mailroster.system import beneath
from mailroster.system.files import Disk, reason

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_MODE, _KEY_MODE, _PUBLIC_MODE = 0o700, 0o600, 0o644


def write_key(config: str, domain: str, selector: str, pem: bytes, zone_line: str) -> bool:
    """Writes a key, and its record beside it; returns False if the selector has a key already.
    Raises Refused."""
    with _folder(config, domain) as folder:
        if not _create(folder, f"{selector}{dkim.PRIVATE}", pem):
            return False
        _replace(folder, f"{selector}{dkim.RECORD}", f"{zone_line}\n".encode(), _PUBLIC_MODE)
        return True


def begin_rotation(config: str, domain: str, rotation: dkim.Rotation) -> bool:
    """Writes the file of a new rotation; returns False if there is one. Raises Refused."""
    with _folder(config, domain) as folder:
        return _create(folder, ROTATION, dkim.rotation_text(rotation).encode(), _PUBLIC_MODE)


def write_rotation(config: str, domain: str, rotation: dkim.Rotation) -> None:
    """Writes the file of a rotation. Raises Refused."""
    with _folder(config, domain) as folder:
        _replace(folder, ROTATION, dkim.rotation_text(rotation).encode(), _PUBLIC_MODE)


def remove_keys(config: str, files: Iterable[str]) -> None:
    """Removes keys (`files`, relative to the config folder), and the records beside them. Raises
    Refused."""
    for file in files:
        with _opened(config, os.path.dirname(file), make=False) as folder:
            name = os.path.basename(file)
            beneath.remove(name, folder)
            beneath.remove(f"{name.removesuffix(dkim.PRIVATE)}{dkim.RECORD}", folder)
            os.fsync(folder)


def remove_rotation(config: str, domain: str) -> None:
    """Removes the file of a rotation. Raises Refused."""
    with _folder(config, domain) as folder:
        beneath.remove(ROTATION, folder)
        os.fsync(folder)


def _folder(config: str, domain: str) -> AbstractContextManager[int]:
    return _opened(config, f"{dkim.OPENDKIM_KEYS}/{domain}", make=True)


@contextmanager
def _opened(config: str, path: str, *, make: bool) -> Iterator[int]:
    """The descriptor of a folder below the config folder. Raises Refused for any error of the
    system inside of the block too."""
    fd = -1
    place = os.path.join(config, path)
    try:
        os.makedirs(config, exist_ok=True)
        fd = os.open(config, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in path.split("/"):
            if make and not beneath.is_there(name, fd):
                try:
                    os.mkdir(name, _FOLDER_MODE, dir_fd=fd)
                except FileExistsError:
                    pass  # another command was faster
            below = beneath.open_folder(name, fd)
            os.close(fd)
            fd = below
        yield fd
    except NotADirectoryError:
        raise Refused(
            f"{place} is a link or not a folder; keys are written only to real folders of the "
            "config folder"
        ) from None
    except OSError as error:
        raise Refused(f"{place}: {reason(error)}") from None
    finally:
        if fd >= 0:
            os.close(fd)


def _create(folder: int, name: str, content: bytes, mode: int = _KEY_MODE) -> bool:
    """Creates a file with its whole content, or returns False if the name exists."""
    new = _write(folder, name, content, mode)
    try:
        os.link(new, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    finally:
        beneath.remove(new, folder)
    os.fsync(folder)
    return True


def _replace(folder: int, name: str, content: bytes, mode: int) -> None:
    new = _write(folder, name, content, mode)
    try:
        os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        beneath.remove(new, folder)
        raise
    os.fsync(folder)


def _write(folder: int, name: str, content: bytes, mode: int) -> str:
    """Writes a file under a name of its own; the name."""
    new = f".{name}.{os.urandom(6).hex()}"
    fd = os.open(new, _NEW, 0o600, dir_fd=folder)
    try:
        os.fchmod(fd, mode)
        Disk().write(fd, content)
        os.fsync(fd)
    except OSError:
        beneath.remove(new, folder)
        raise
    finally:
        os.close(fd)
    return new
