"""Deletes mailboxes, in steps: a crash at any step leaves nothing that a new account with the same
address could read.

1. `announce` creates the file `.deleting:USER` in the folder of the domain. Then the account is
   removed from the config files.
2. `set_aside` renames the mailbox to `.deleted:USER:…`. Mail that arrives finds no mailbox.
3. `purge` deletes what was set aside.
4. `withdraw` removes `.deleting:USER`.

No address has a colon or begins with a dot, so none of these names is a mailbox. `mail_user` runs
these functions as the mail's user.
"""

import errno
import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress

from mailroster.base.findings import Refused
from mailroster.servers import mail_tree
from mailroster.servers.mail_tree import Alive
from mailroster.system import beneath

#: Start of the name of a mailbox that is being deleted, and of the file that announces it.
DELETED, DELETING = ".deleted:", ".deleting:"
#: A tree is deleted so often while other processes write to it, with pauses.
_TRIES, _STEP_S = 200, 0.01


def announce(root: int, words: Sequence[str], alive: Alive) -> str:
    """Records that mailboxes are about to be deleted: MAKE MAILBOX…. Raises Refused for a link, or
    for a mailbox of another user, OSError if it can't be recorded. Then nothing may be deleted.

    `MAKE` "yes": creates missing folders of domains, as mail may arrive before the account is
    removed.
    """
    make, *mailboxes = words
    for mailbox in mailboxes:
        _prove_deletable(root, mailbox)
        if make == "yes":
            domain, _ = mail_tree.domain_and_user(mailbox)
            mail_tree.make_folder(domain, root, os.fstat(root).st_mode)
    for fd, user in mail_tree.open_domains(root, mailboxes):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with suppress(FileExistsError):  # of any kind: only the name counts
            os.close(os.open(DELETING + user, flags, 0o600, dir_fd=fd))
        mail_tree.sync(fd)
    return ""


def _prove_deletable(root: int, mailbox: str) -> None:
    for fd, user in mail_tree.open_domains(root, [mailbox]):
        try:
            status = os.stat(user, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(status.st_mode):
            raise mail_tree.outside(mailbox, "is a link, which")
        uid = os.geteuid()
        is_writable = os.access(user, os.W_OK, dir_fd=fd, effective_ids=True)
        if status.st_uid != uid and not is_writable:
            message = f"{mailbox} belongs to uid {status.st_uid}, but mail is deleted as uid {uid}"
            raise Refused(f"{message}; give it to that user: chown -R {uid}")


def set_aside(root: int, mailboxes: Sequence[str], alive: Alive) -> str:
    """Renames those mailboxes that exist and are still announced; returns their number."""
    count = 0
    for fd, user in mail_tree.open_domains(root, mailboxes):
        if not beneath.is_there(DELETING + user, fd):
            continue  # there is a new account with this address
        try:
            free = f"{DELETED}{user}:{os.urandom(6).hex()}"
            os.rename(user, free, src_dir_fd=fd, dst_dir_fd=fd)
            count += 1
        except FileNotFoundError:
            continue
        mail_tree.sync(fd)
    return str(count)


def purge(root: int, domains: Sequence[str], alive: Alive) -> str:
    """Deletes everything that was set aside in the folders of the given domains."""
    for domain in domains:
        try:
            with mail_tree.open_domain(root, domain) as fd:
                for name in [name for name in os.listdir(fd) if name.startswith(DELETED)]:
                    _purge(name, fd, alive)
        except FileNotFoundError:
            continue
    return ""


def _purge(name: str, within: int, alive: Alive) -> None:
    """Deletes one tree. A delivery that began earlier may still write to it."""
    for _ in range(_TRIES):
        alive()
        beneath.remove_tree(name, within, alive)
        if not beneath.is_there(name, within):
            return
        time.sleep(_STEP_S)
    raise OSError(errno.ENOTEMPTY, "another process keeps writing to it", name)


def withdraw(root: int, mailboxes: Sequence[str], alive: Alive) -> str:
    """Removes the announcements of mailboxes, whether or not they were deleted."""
    for fd, user in mail_tree.open_domains(root, mailboxes):
        beneath.remove_tree(DELETING + user, fd, alive)
        mail_tree.sync(fd)
    return ""


def unfinished(root: int, domains: Sequence[str], alive: Alive) -> str:
    """Lists deletions that a crash interrupted, in the folders of the given domains, or of all if
    none is given: a line `DOMAIN/USER` for each announced mailbox, `/DOMAIN` if a mailbox is set
    aside there."""
    lines = list[str]()
    for domain in filter(str.isprintable, domains or sorted(os.listdir(root))):
        alive()
        try:
            fd = beneath.open_folder(domain, root)
        except OSError:
            continue  # not a domain
        try:
            names = sorted(os.listdir(fd))
        finally:
            os.close(fd)
        announced = [name for name in names if name.startswith(DELETING) and name.isprintable()]
        lines += [f"{domain}/{name.removeprefix(DELETING)}" for name in announced]
        if any(name.startswith(DELETED) for name in names):
            lines.append(f"/{domain}")
    return "\n".join(lines)
