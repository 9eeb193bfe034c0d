"""Repairs mailboxes, and lists all functions that `mail_user` runs as the mail's user.

Such a function gets the open mail folder (`root`), its arguments as words, and `alive`, which it
calls while it works. It returns its result as text. It follows no link.
"""

import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress

from mailroster.servers.config.dovecot.common import ESCAPE
from mailroster.servers.mail_deletion import announce, purge, set_aside, unfinished, withdraw
from mailroster.servers.mail_renames import drop_link, move, move_back
from mailroster.servers.mail_tree import Alive
from mailroster.servers.maildir_usage import usage
from mailroster.system import beneath

#: The lock of a mailbox's list of messages. It contains its owner, PID:HOST.
UIDLIST_LOCK = "dovecot-uidlist.lock"
#: The folders of the messages themselves (maildir(5)).
_MESSAGES = {"cur", "new", "tmp"}
#: Folders below the mail folder that may contain a lock: DOMAIN/USER/FOLDER, and of other formats.
_LOCK_DEPTH = 12
#: Mailboxes below the mail folder: DOMAIN/USER.
_MAILBOX_DEPTH = 2
#: The folders of a Maildir to which its user has subscribed.
_SUBSCRIPTIONS, _SUBSCRIPTIONS_MAX_BYTES = "subscriptions", 1 << 24
#: `~` as Dovecot escapes it at the start of a name.
_TILDE = f"{ESCAPE}7e"


def unlock(root: int, words: Sequence[str], alive: Alive) -> str:
    """Removes the locks that a killed Dovecot left; returns their number. No Dovecot may run."""
    count = 0
    for fd, names in beneath.walk(root, _LOCK_DEPTH, _MESSAGES):
        alive()
        if UIDLIST_LOCK in names:
            count += beneath.remove(UIDLIST_LOCK, fd)
    return str(count)


def escape_tildes(root: int, words: Sequence[str], alive: Alive) -> str:
    """Renames folders whose name has a part that starts with `~` (`Lists/~x`), and their
    subscriptions: Dovecot looks for an escaped name since dots are escaped. Returns the number of
    folders. Safe to repeat."""
    count = 0
    for fd, names in beneath.walk(root, _MAILBOX_DEPTH, with_folders=True):
        alive()
        old = [name for name in names if name[:1] == "." and ".~" in name]
        for name in old:
            new = name.replace(".~", f".{_TILDE}")
            if beneath.is_folder(name, fd) and not beneath.is_there(new, fd):
                os.rename(name, new, src_dir_fd=fd, dst_dir_fd=fd)
                count += 1
        if old and _SUBSCRIPTIONS in names:
            _escape_subscriptions(fd)
    return str(count)


def _escape_subscriptions(folder: int) -> None:
    """Rewrites the list of subscriptions. Each line has one name, its parts separated by tabs, or
    by dots if Dovecot before 2.2.33 wrote the file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(_SUBSCRIPTIONS, flags, dir_fd=folder)
    with open(fd, "rb") as file:
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        before = file.read(_SUBSCRIPTIONS_MAX_BYTES)
    after = re.sub(rb"(?m)(^|[\t.])~", rb"\1" + _TILDE.encode(), before)
    temporary = f"{_SUBSCRIPTIONS}.mailroster"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(temporary, flags, mode, dir_fd=folder), "wb") as file:
        file.write(after)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, _SUBSCRIPTIONS, src_dir_fd=folder, dst_dir_fd=folder)


#: The functions by name.
WORK: dict[str, Callable[[int, Sequence[str], Alive], str]] = {
    function.__name__: function
    for function in (
        announce, set_aside, purge, withdraw, unfinished, move, move_back, drop_link, unlock,
        escape_tildes, usage,
    )
}  # fmt: skip
