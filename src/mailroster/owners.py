"""Whose the queue and the database are, once the servers' users have other numbers: on another
Debian, in another image, after a restore. Effects.

Each is walked through only if the folder that is its mark belongs to another number, and the mark
comes last, so that what was cut short is gone through again.
"""

import grp
import os
import pwd
from collections.abc import Iterator

from mailroster.instance.layout import Layout

#: The folders of a queue that are Postfix's, the mark first; and those that are postdrop's too.
_QUEUES = (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop",
    "private", "public", "saved", "trace",
)  # fmt: skip
_POSTDROP = ("maildrop", "public")


def hand_over_queue(layout: Layout) -> None:
    """Makes Postfix's user the owner of the queue, and of Postfix's data."""
    mark = os.path.join(layout.spool, _QUEUES[0])
    ours, its = pwd.getpwnam("postfix").pw_uid, _owner(mark)
    if its is None or its == ours:
        return
    group = grp.getgrnam("postdrop").gr_gid
    for path in _below(layout.postfix_data):
        _give(path, its, ours)
    for name in reversed(_QUEUES):
        # A message in maildrop belongs to who has sent it.
        for path in _below(os.path.join(layout.spool, name), files=name != "maildrop"):
            _give(path, its, ours, group if name in _POSTDROP else -1)


def hand_over_database(layout: Layout) -> None:
    """Makes the files of Dovecot's database those of its group. The folder is the mark; who calls
    gives it away."""
    ours = grp.getgrnam("dovecot").gr_gid
    if os.path.isdir(layout.sql) and os.lstat(layout.sql).st_gid != ours:
        for path in _below(layout.sql):
            if path != layout.sql:
                os.lchown(path, -1, ours)


def _owner(path: str) -> int | None:
    try:
        return os.lstat(path).st_uid
    except FileNotFoundError:
        return None


def _below(folder: str, *, files: bool = True) -> Iterator[str]:
    """A folder after all that is in it."""
    for place, _, names in os.walk(folder, topdown=False):
        if files:
            yield from (os.path.join(place, name) for name in names)
        yield place


def _give(path: str, its: int, ours: int, group: int = -1) -> None:
    if _owner(path) == its:
        os.lchown(path, ours, group)
