"""Renames mailboxes while mail arrives: the old name becomes a link to the new one.

`mail_user` runs these functions as the mail's user.
"""

import errno
import os
from collections.abc import Sequence

from mailroster.servers import mail_tree
from mailroster.servers.mail_tree import Alive
from mailroster.system import beneath

_MAILBOX_MODE = 0o700
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def move(root: int, words: Sequence[str], alive: Alive) -> str:
    """Renames a mailbox; the old name becomes a link to the new one: OLD NEW MAKE STEPS.

    `MAKE` "yes": creates a missing mailbox. `STEPS` "yes": a file system that can't exchange two
    names may rename in steps.
    """
    (old_domain, old_user), (new_domain, new_user) = map(mail_tree.domain_and_user, words[:2])
    makes, may_step = (word == "yes" for word in words[2:])
    if makes:
        mail_tree.make_folder(old_domain, root, os.fstat(root).st_mode)
    try:
        with mail_tree.open_domain(root, old_domain) as old:
            if makes:
                mail_tree.make_folder(old_user, old, _MAILBOX_MODE)
            if not beneath.is_there(old_user, old):
                return ""
            if not beneath.is_folder(old_user, old):
                raise mail_tree.outside(words[0], "is a link or a file, which")
            mail_tree.make_folder(new_domain, root, os.fstat(old).st_mode)
            with mail_tree.open_domain(root, new_domain) as new:
                os.symlink(_target(words[1]), new_user, dir_fd=new)
                _exchange(old_user, old, new_user, new, may_step=may_step)
    except FileNotFoundError:
        if beneath.is_there(old_domain, root):
            raise
    return ""


def move_back(root: int, words: Sequence[str], alive: Alive) -> str:
    """Undoes a complete or partial `move`: OLD NEW STEPS. Safe to repeat."""
    (old_domain, old_user), (new_domain, new_user) = map(mail_tree.domain_and_user, words[:2])
    try:
        with (
            mail_tree.open_domain(root, old_domain) as old,
            mail_tree.open_domain(root, new_domain) as new,
        ):
            is_moved = beneath.is_folder(new_user, new)
            if is_moved and beneath.link_target(old_user, old) == _target(words[1]):
                _exchange(new_user, new, old_user, old, may_step=words[2] == "yes")
            elif is_moved and not beneath.is_there(old_user, old):
                # between the steps on a file system that can't exchange
                os.rename(new_user, old_user, src_dir_fd=new, dst_dir_fd=old)
            if beneath.link_target(new_user, new) == _target(words[1]):
                beneath.remove(new_user, new)
            mail_tree.sync(old, new)
    except FileNotFoundError:
        pass  # it was killed before both folders existed
    return ""


def drop_link(root: int, words: Sequence[str], alive: Alive) -> str:
    """Removes the old name of a moved mailbox if it is the link to the new one: OLD NEW."""
    for fd, user in mail_tree.open_domains(root, words[:1]):
        if beneath.link_target(user, fd) == _target(words[1]):
            beneath.remove(user, fd)
            mail_tree.sync(fd)
    return ""


def _exchange(name: str, within: int, link: str, link_within: int, *, may_step: bool) -> None:
    """Exchanges the names of a folder and a link. `may_step`: in steps, if the file system can't;
    meanwhile a delivery would miss one of them."""
    try:
        beneath.exchange(name, within, link, link_within)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE or not may_step:
            raise
        target = os.readlink(link, dir_fd=link_within)
        os.unlink(link, dir_fd=link_within)
        os.rename(name, link, src_dir_fd=within, dst_dir_fd=link_within)
        os.symlink(target, name, dir_fd=within)
    mail_tree.sync(within, link_within)


def _target(mailbox: str) -> str:
    """The content of a link to a mailbox, from the place of any other mailbox."""
    return f"../{mailbox}"
