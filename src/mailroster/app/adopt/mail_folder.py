"""Examines the mail folder of a docker-mailserver: which mailboxes exist, and in which format. Of
each mailbox only one or two names are looked up, so that large ones take no time.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from shlex import quote
from typing import NamedTuple

from mailroster.app.adopt.remark import DIFFERS, FIX, NOTE, Remark, named
from mailroster.base.address import split
from mailroster.base.findings import printable
from mailroster.servers.mail_owner import NO_DOMAINS


class Mailboxes(NamedTuple):
    """The folders two levels below the mail folder, as `DOMAIN/USER` in their own spelling."""

    folders: frozenset[str]
    remarks: list[Remark]


class MailReport(NamedTuple):
    """The number of accounts with a mailbox, the accounts without one, and the remarks."""

    mailboxes: int
    missing: list[str]
    remarks: list[Remark]


def scan(mail: str) -> Mailboxes:
    """Lists the mailboxes in a mail folder. Follows links; reports folders that can't be read."""
    folders, remarks = set[str](), list[Remark]()
    for domain in _names(mail, remarks):
        if domain[0] == "." or domain in NO_DOMAINS:
            continue
        folders.update(f"{domain}/{user}" for user in _names(f"{mail}/{domain}", remarks))
    return Mailboxes(frozenset(folders), remarks)


def _names(path: str, remarks: list[Remark]) -> list[str]:
    """The sorted names of the folders in a folder. Adds a remark if it can't be read."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if _is_folder(entry))
    except OSError as error:
        message = f"the folder can't be read ({error.strerror})"
        remarks.append(Remark(FIX, printable(path), message, "correct its owner or its mode"))
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points to itself
        return False


def is_maildir(mail: str) -> bool:
    """Whether the folder is itself a mailbox, not a folder of mailboxes."""
    return all(os.path.isdir(os.path.join(mail, name)) for name in ("cur", "new", "tmp"))


def compare(
    mail: str, folders: Collection[str], accounts: Iterable[str], elsewhere: Collection[str]
) -> MailReport:
    """Compares the mailboxes with the accounts. `elsewhere` are accounts whose extra fields set
    another place."""
    wanted = {"{1}/{0}".format(*split(account)): account for account in accounts}
    existing = wanted.keys() & folders
    missing = [name for name in wanted if name not in folders and wanted[name] not in elsewhere]
    unused = sorted(folders - wanted.keys())
    remarks = list(_wrong_case(mail, missing, unused))
    in_wrong_case = {remark.subject for remark in remarks}
    if unused := [name for name in unused if printable(f"{mail}/{name}") not in in_wrong_case]:
        message = f"mailboxes without an account are kept, but not served: {_list(unused)}"
        remarks.append(Remark(NOTE, f"{len(unused)} in {mail}", message))
    used = [name for name in sorted(existing) if wanted[name] not in elsewhere]
    remarks += _format_remarks(mail, used)
    return MailReport(len(existing), [wanted[name] for name in missing], remarks)


def _list(names: Iterable[str]) -> str:
    return named(map(printable, names))


def _wrong_case(mail: str, missing: Iterable[str], unused: Iterable[str]) -> Iterator[Remark]:
    """Mailboxes that have capital letters: mailroster looks for the name in lower case."""
    spelled = {name.lower(): name for name in unused}
    for name in missing:
        if (other := spelled.get(name)) is not None:
            message = "the name has capital letters, so the account would not get this mailbox"
            old, new = f"{mail}/{other}", f"{mail}/{name}"
            move = f"mv -T {quote(old)} {quote(new)}"
            if not os.path.isdir(folder := os.path.dirname(new)):
                move = f"mkdir {quote(folder)}, give it the owner of the mail, {move}"
            yield Remark(FIX, printable(old), message, printable(move))


def _format_remarks(mail: str, names: Iterable[str]) -> Iterator[Remark]:
    """Reports mailboxes that are no Maildirs, and Sieve scripts in the place of version 12."""
    boxes, deeper, scripts = list[str](), list[str](), list[str]()
    for name in names:
        path = os.path.join(mail, name)
        if not os.path.isdir(f"{path}/cur"):
            if os.path.isdir(f"{path}/mailboxes") or os.path.isdir(f"{path}/storage"):
                boxes.append(name)
            elif os.path.isdir(f"{path}/Maildir"):
                deeper.append(name)
        if os.path.lexists(f"{path}/.dovecot.sieve") and not os.path.lexists(f"{path}/home"):
            scripts.append(name)
    if boxes:
        message = f"these mailboxes are in dbox format, not Maildir: {_list(boxes)}"
        hint = (
            "give each account the extra field userdb_mail=FORMAT:MAIL/%d/%n "
            "(docs/guide/migrate.md)"
        )
        yield Remark(FIX, f"{len(boxes)} in {mail}", message, hint)
    if deeper:
        message = f"the mail is in Maildir/ below the mailbox: {_list(deeper)}"
        hint = "give each account the extra field userdb_mail=maildir:MAIL/%d/%n/Maildir"
        yield Remark(FIX, f"{len(deeper)} in {mail}", message, hint)
    if scripts:
        message = f"the Sieve scripts are next to the mail, as before version 13: {_list(scripts)}"
        hint = "move .dovecot.sieve and sieve/ of each mailbox to its home/"
        yield Remark(DIFFERS, f"{len(scripts)} in {mail}", message, hint)
