"""Corrects the owners of the queue and the database when the uids of the servers' users have
changed: on another Debian, in another image, after a restore.

The folder that is changed last serves as a mark. Only if its owner is wrong are the files walked
through, so that an interrupted walk is repeated.
"""

import grp
import os
import pwd
from collections.abc import Callable

from mailroster.base.layout import Layout
from mailroster.system import beneath

#: The folders of the queue, the mark first; and those with the group postdrop.
QUEUES = (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop",
    "private", "public", "saved", "trace",
)  # fmt: skip
_POSTDROP = ("maildrop", "public")
#: Postfix hashes a queue into folders of folders (postconf(5), hash_queue_depth).
_DEPTH = 16


def hand_over_queue(layout: Layout) -> None:
    """Makes Postfix's user the owner of the queue, and of Postfix's data.

    Hard links and symbolic links keep their owner: the old or the new user could have created them
    (beneath.give).
    """
    uid, old_uid = pwd.getpwnam("postfix").pw_uid, _owner(os.path.join(layout.spool, QUEUES[0]))
    if old_uid is None or old_uid == uid:
        return
    postdrop = grp.getgrnam("postdrop").gr_gid

    def give(name: str, folder: int) -> None:
        beneath.give(name, folder, uid, -1, of_uid=old_uid)

    def give_to_postdrop(name: str, folder: int) -> None:
        beneath.give(name, folder, uid, postdrop, of_uid=old_uid)

    _hand_over(layout.postfix_data, give)
    for name in reversed(QUEUES):
        # A message in maildrop belongs to its sender.
        path = os.path.join(layout.spool, name)
        _hand_over(path, give_to_postdrop if name in _POSTDROP else give, files=name != "maildrop")


def hand_over_database(layout: Layout) -> None:
    """Gives the files of Dovecot's database to its group. The folder is the mark; the caller
    changes it afterwards."""
    gid = grp.getgrnam("dovecot").gr_gid
    if os.path.isdir(layout.sql) and os.lstat(layout.sql).st_gid != gid:
        fd = os.open(layout.sql, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in os.listdir(fd):
                beneath.give(name, fd, -1, gid)
        finally:
            os.close(fd)


def _owner(path: str) -> int | None:
    try:
        return os.lstat(path).st_uid
    except FileNotFoundError:
        return None


def _hand_over(path: str, give: Callable[[str, int], None], *, files: bool = True) -> None:
    """Calls `give` for everything in a folder, and then for the folder itself."""
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
