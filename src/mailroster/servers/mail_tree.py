"""The folders below the mail folder, opened without following links: the owner of the mail could
make a link point anywhere.

A mailbox is named `DOMAIN/USER`. Functions that take `root` get the open mail folder.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from mailroster.base.findings import Refused
from mailroster.system import beneath

#: A function that long work calls now and then. It may raise to end the work.
Alive = Callable[[], object]


def outside(name: str, reason: str = "") -> Refused:
    """The error for a name that leads out of the mail folder. `reason`: "is a link, which"."""
    words = f"{name} {reason} leads" if reason else f"{name!r} leads"
    return Refused(f"{words} out of the mail folder; its mail is not touched")


def domain_and_user(mailbox: str) -> tuple[str, str]:
    """Raises Refused if a mailbox is not two names."""
    domain, slash, user = mailbox.partition("/")
    if not slash or "/" in user or {domain, user} & {"", ".", ".."}:
        raise outside(mailbox)
    return domain, user


@contextmanager
def open_domain(root: int, domain: str) -> Iterator[int]:
    """The open folder of a domain. Raises Refused for a link, FileNotFoundError for none."""
    if "/" in domain or domain in ("", ".", ".."):
        raise outside(domain)
    try:
        fd = beneath.open_folder(domain, root)
    except NotADirectoryError:
        raise outside(domain, "is a link or a file, which") from None
    try:
        yield fd
    finally:
        os.close(fd)


def open_domains(root: int, mailboxes: Iterable[str]) -> Iterator[tuple[int, str]]:
    """For each mailbox whose domain has a folder: that folder, open, and the user."""
    for mailbox in mailboxes:
        domain, user = domain_and_user(mailbox)
        try:
            with open_domain(root, domain) as fd:
                yield fd, user
        except FileNotFoundError:
            continue


def make_folder(name: str, within: int, mode: int) -> None:
    """Creates a folder with this mode, unless Dovecot creates it at the same time."""
    try:
        os.mkdir(name, mode & 0o777, dir_fd=within)
    except FileExistsError:
        return
    sync(within)


def sync(*folders: int) -> None:
    """Makes new and removed names in the given folders durable (fsync(2))."""
    for folder in folders:
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that has nothing to sync
                raise
