"""What Maildirs hold, read without Dovecot and without changing anything.

Dovecot 2.3 (quota backend `maildir`) keeps it in a file of the mailbox, as Maildir++ defines it:

    10000000S,500C      the limits when the file was made
    3628 1              bytes and messages: what was there, then each change
    -3628 -1

Without that file, and in Dovecot 2.4 (quota backend `count`), it is the sum of the messages, which
have their size in their name: `S=` is that of the file, `W=` that with CRLF for each line end.

`mail_user` runs `usage` as the owner of the mail, who may put anything here: no link is followed, a
FIFO is not waited for, and what is read has a limit.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mailroster.system import beneath

#: How to count: only by the file; by the file, or else the size of the files; by lines with CRLF.
FILE, SIZES, LINES = "file", "sizes", "lines"
#: In place of a number: Dovecot has to be asked; nobody can tell, and Dovecot might wait for ever.
UNKNOWN, BROKEN = "?", "!"
_FILE = "maildirsize"
#: Dovecot makes a file of more than 5120 bytes anew.
_FILE_MAX_BYTES = 1 << 16
_LIMITS = re.compile(rb"\d+[SC](?:,\d+[SC])*")
_CHANGE = re.compile(rb" *(-?\d{1,19}) +-?\d{1,19} *")
#: A mailbox with more messages than that is not counted here.
_MESSAGES_MAX = 200_000
#: After so many names a sign of life.
_ALIVE_EACH = 1000
_SIZE = {
    SIZES: re.compile(r",S=(\d{1,18})(?=[,:]|$)"),
    LINES: re.compile(r",W=(\d{1,18})(?=[,:]|$)"),
}

Alive = Callable[[], object]


class _Unknown(Exception):
    """Only Dovecot can tell what a mailbox holds."""


class _Broken(Exception):
    """Something in a mailbox is no plain file, as a FIFO that only its owner can have put there."""


def usage(root: int, words: Sequence[str], alive: Alive) -> str:
    """What Maildirs hold: METHOD PATH…, each below the open folder `root`. A line for each, with
    its bytes, UNKNOWN or BROKEN; a mailbox that isn't there holds nothing."""
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
            noted = _noted(mailbox) if method != LINES else None
            if noted is not None:
                return noted
            if method == FILE:
                raise _Unknown
            return _counted(mailbox, method, alive)
    except FileNotFoundError:
        return 0


@contextmanager
def _opened(path: str, root: int) -> Iterator[int]:
    """An open folder some levels below another. Raises NotADirectoryError for a link on its way."""
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


def _noted(mailbox: int) -> int | None:
    """The bytes by the file; None if there is none. Raises _Unknown for one that Dovecot would not
    believe."""
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


def _counted(mailbox: int, method: str, alive: Alive) -> int:
    """The sum of all messages of the mailbox and of its folders, which are beside each other."""
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
    """Bytes of the messages of one folder, each once though it moves from `new` to `cur`; and how
    many more may be counted."""
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
        raise _Unknown  # Dovecot has to read the message
    return status.st_size
