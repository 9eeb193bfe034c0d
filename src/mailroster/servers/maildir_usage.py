"""Reads the size of Maildirs without Dovecot, and without changing anything.

Dovecot 2.3 (quota backend `maildir`) stores it in a file of the mailbox, which Maildir++ defines:

    10000000S,500C      the limits when the file was created
    3628 1              bytes and messages: the initial sum, then each change
    -3628 -1

Without that file, and with Dovecot 2.4 (quota backend `count`), it is the sum of the messages,
which have their size in their name: `S=` is the size of the file, `W=` the size with CRLF line
ends.

`mail_user` runs `usage` as the owner of the mail, who can create anything here: no link is
followed, no FIFO blocks it, and every read has a limit.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mailroster.servers.mail_tree import Alive
from mailroster.system import beneath

#: Methods: only the file; the file, or else `S=`; `W=`.
FILE, SIZES, LINES = "file", "sizes", "lines"
#: Instead of a number: only Dovecot can count it; a broken mailbox, on which Dovecot might hang.
UNKNOWN, BROKEN = "?", "!"
_FILE = "maildirsize"
#: Dovecot rewrites the file when it exceeds 5120 bytes.
_FILE_MAX_BYTES = 1 << 16
_LIMITS = re.compile(rb"\d+[SC](?:,\d+[SC])*")
_CHANGE = re.compile(rb" *(-?\d{1,19}) +-?\d{1,19} *")
#: A mailbox with more messages is left to Dovecot.
_MESSAGES_MAX = 200_000
#: A sign of life is sent after so many names.
_ALIVE_EACH = 1000
_SIZE = {
    SIZES: re.compile(r",S=(\d{1,18})(?=[,:]|$)"),
    LINES: re.compile(r",W=(\d{1,18})(?=[,:]|$)"),
}


class _Unknown(Exception):
    """Only Dovecot can count the mailbox."""


class _Broken(Exception):
    """Something in a mailbox is not a regular file, as a FIFO; only its owner can create that."""


def usage(root: int, words: Sequence[str], alive: Alive) -> str:
    """The sizes of Maildirs: METHOD PATH…, relative to the open folder `root`. One line for each:
    its bytes, UNKNOWN or BROKEN. A missing mailbox has 0 bytes."""
    method, *paths = words
    lines = []
    for path in paths:
        alive()
        try:
            lines.append(str(_usage(root, path, method, alive)))
        except _Broken:
            lines.append(BROKEN)
        except (_Unknown, OSError):
            lines.append(UNKNOWN)
    return "\n".join(lines)


def _usage(root: int, path: str, method: str, alive: Alive) -> int:
    try:
        with _opened(path, root) as mailbox:
            stored = _stored_size(mailbox) if method != LINES else None
            if stored is not None:
                return stored
            if method == FILE:
                raise _Unknown
            return _count(mailbox, method, alive)
    except FileNotFoundError:
        return 0


@contextmanager
def _opened(path: str, root: int) -> Iterator[int]:
    """Opens a folder some levels below another. Raises NotADirectoryError for a link on the way."""
    fd = os.dup(root)
    try:
        for name in path.split("/"):
            if name in ("", ".", ".."):
                raise _Unknown
            inner = beneath.open_folder(name, fd)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _stored_size(mailbox: int) -> int | None:
    """The size by the file; None without a file. Raises _Unknown for a file that Dovecot would
    discard."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(_FILE, flags, dir_fd=mailbox)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise _Broken from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _Broken
        raw = os.read(fd, _FILE_MAX_BYTES)
    finally:
        os.close(fd)
    limits, *changes = raw.split(b"\n")
    if (
        len(raw) == _FILE_MAX_BYTES
        or not _LIMITS.fullmatch(limits.strip())
        or changes[-1:] != [b""]
    ):
        raise _Unknown
    total = 0
    for line in changes[:-1]:
        change = _CHANGE.fullmatch(line)
        if change is None:
            raise _Unknown
        total += int(change[1])
    if total < 0 or not changes[:-1]:
        raise _Unknown
    return total


def _count(mailbox: int, method: str, alive: Alive) -> int:
    """The sum of all messages of the mailbox and its folders, which all lie in one folder."""
    folders = []
    with os.scandir(mailbox) as entries:
        for entry in entries:
            if entry.name[0] == "." and not entry.name.startswith(".."):
                if entry.is_symlink():
                    raise _Unknown
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
    total, left = _messages(mailbox, method, _MESSAGES_MAX, alive)
    for name in folders:
        try:
            folder = beneath.open_folder(name, mailbox)
        except FileNotFoundError:
            continue
        try:
            bytes_there, left = _messages(folder, method, left, alive)
        finally:
            os.close(folder)
        total += bytes_there
    return total


def _messages(folder: int, method: str, left: int, alive: Alive) -> tuple[int, int]:
    """The bytes of the messages of one folder, and how many more messages may be counted. A message
    that moves from `new` to `cur` counts once."""
    sizes: dict[str, int] = {}
    for part in ("new", "cur"):
        try:
            fd = beneath.open_folder(part, folder)
        except FileNotFoundError:
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.name[0] == ".":
                        continue
                    sizes[entry.name.partition(":")[0]] = _size(entry.name, fd, method)
                    if len(sizes) % _ALIVE_EACH == 0:
                        alive()
                    if len(sizes) > left:
                        raise _Unknown
        finally:
            os.close(fd)
    return sum(sizes.values()), left - len(sizes)


def _size(name: str, folder: int, method: str) -> int:
    named = _SIZE[method].search(name)
    if named:
        return int(named[1])
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        raise _Broken
    if method == LINES:
        raise _Unknown  # Dovecot would read the message
    return status.st_size
