"""Whose the queue and the database are, once the servers' users have other numbers: on another
Debian, in another image, after a restore. Effects.

Each is walked through only if the folder that is its mark belongs to another number, and the mark
comes last, so that what was cut short is gone through again.
"""

import grp
import os
import pwd
from collections.abc import Callable

from mailroster.base.layout import Layout
from mailroster.system import beneath

#: The folders of a queue that are Postfix's, the mark first; and those that are postdrop's too.
_QUEUES = (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop",
    "private", "public", "saved", "trace",
)  # fmt: skip
_POSTDROP = ("maildrop", "public")
#: Postfix hashes a queue into folders of folders (postconf(5), hash_queue_depth).
_DEPTH = 16


def hand_over_queue(layout: Layout) -> None:
    """Makes Postfix's user the owner of the queue, and of Postfix's data.

    Files with another name elsewhere, and links, stay as they are: both users could have put those
    there (beneath.give).
    """
    ours, its = pwd.getpwnam("postfix").pw_uid, _owner(os.path.join(layout.spool, _QUEUES[0]))
    if its is None or its == ours:
        return
    postdrop = grp.getgrnam("postdrop").gr_gid

    def give(name: str, folder: int) -> None:
        beneath.give(name, folder, ours, -1, of_uid=its)

    def give_to_postdrop(name: str, folder: int) -> None:
        beneath.give(name, folder, ours, postdrop, of_uid=its)

    _hand_over(layout.postfix_data, give)
    for name in reversed(_QUEUES):
        # A message in maildrop belongs to who has sent it.
        path = os.path.join(layout.spool, name)
        _hand_over(path, give_to_postdrop if name in _POSTDROP else give, files=name != "maildrop")


def hand_over_database(layout: Layout) -> None:
    """Makes the files of Dovecot's database those of its group. The folder is the mark; who calls
    gives it away."""
    ours = grp.getgrnam("dovecot").gr_gid
    if os.path.isdir(layout.sql) and os.lstat(layout.sql).st_gid != ours:
        fd = os.open(layout.sql, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in os.listdir(fd):
                beneath.give(name, fd, -1, ours)
        finally:
            os.close(fd)


def _owner(path: str) -> int | None:
    try:
        return os.lstat(path).st_uid
    except FileNotFoundError:
        return None


def _hand_over(path: str, give: Callable[[str, int], None], *, files: bool = True) -> None:
    """Gives away what is in a folder, and then the folder itself."""
    above, name = os.path.split(path)
    if not os.path.isdir(above):
        return
    parent = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not beneath.is_folder(name, parent):
            return
        top = beneath.open_folder(name, parent)
        try:
            for folder, names in beneath.walk(top, _DEPTH, with_folders=True):
                for inner in names:
                    if files or beneath.is_folder(inner, folder):
                        give(inner, folder)
        finally:
            os.close(top)
        give(name, parent)
    finally:
        os.close(parent)
