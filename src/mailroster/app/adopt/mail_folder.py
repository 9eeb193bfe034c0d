"""The mail folder as docker-mailserver leaves it: whose mailboxes are there, in which form, and who
owns them. Folders are listed, mailboxes are not: of each of them one or two names are asked for.
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
    """`DOMAIN/USER` of every folder two levels below the mail folder, as they are spelled."""

    folders: frozenset[str]
    remarks: list[Remark]


def listed(mail: str) -> Mailboxes:
    """The mailboxes of a mail folder. Links are followed; what can't be read is told."""
    folders, found = set[str](), list[Remark]()
    for domain in _names(mail, found):
        if domain[0] == "." or domain in NO_DOMAINS:
            continue
        folders.update(f"{domain}/{user}" for user in _names(f"{mail}/{domain}", found))
    return Mailboxes(frozenset(folders), found)


def _names(path: str, found: list[Remark]) -> list[str]:
    """The folders in a folder, sorted."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if _is_folder(entry))
    except OSError as error:
        message = f"the folder can't be read ({error.strerror})"
        found.append(Remark(FIX, printable(path), message, "fix its owner or its mode"))
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def is_maildir(mail: str) -> bool:
    """Whether the folder is a mailbox itself, and none that holds some."""
    return all(os.path.isdir(os.path.join(mail, name)) for name in ("cur", "new", "tmp"))


def compared(
    mail: str, folders: Collection[str], accounts: Iterable[str], elsewhere: Collection[str]
) -> tuple[int, list[str], list[Remark]]:
    """How many accounts have mail, which have no folder yet, and what is to be said of the folders.
    `elsewhere` are accounts whose mail lies where they say."""
    wanted = {"{1}/{0}".format(*split(account)): account for account in accounts}
    there = wanted.keys() & folders
    missing = [name for name in wanted if name not in folders and wanted[name] not in elsewhere]
    strangers = sorted(folders - wanted.keys())
    remarks = list(_of_other_case(mail, missing, strangers))
    cased = {remark.subject for remark in remarks}
    if strangers := [name for name in strangers if printable(f"{mail}/{name}") not in cased]:
        message = "mailboxes of no account, which are kept and not served"
        remarks.append(
            Remark(NOTE, f"{len(strangers)} in {mail}", f"{message}: {_shown(strangers)}")
        )
    remarks += _of_form(mail, [name for name in sorted(there) if wanted[name] not in elsewhere])
    return len(there), [wanted[name] for name in missing], remarks


def _shown(names: Iterable[str]) -> str:
    return named(map(printable, names))


def _of_other_case(mail: str, missing: Iterable[str], strangers: Iterable[str]) -> Iterator[Remark]:
    """Mailboxes that are there in another spelling: here every address is lower case."""
    spelled = {name.lower(): name for name in strangers}
    for name in missing:
        if (other := spelled.get(name)) is not None:
            message = "the mailbox is in another case than its account, whose mail it would not be"
            old, new = f"{mail}/{other}", f"{mail}/{name}"
            move = f"mv -T {quote(old)} {quote(new)}"
            if not os.path.isdir(folder := os.path.dirname(new)):
                move = f"mkdir {quote(folder)}, chown it as the mail, {move}"
            yield Remark(FIX, printable(old), message, printable(move))


def _of_form(mail: str, names: Iterable[str]) -> Iterator[Remark]:
    """What is to be said of mailboxes that are no Maildirs, and of scripts in the places of old."""
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
        message = f"mailboxes in dbox format, not Maildirs: {_shown(boxes)}"
        hint = (
            "give each account the extra field userdb_mail=FORMAT:MAIL/%d/%n "
            "(docs/guide/migrate.md)"
        )
        yield Remark(FIX, f"{len(boxes)} in {mail}", message, hint)
    if deeper:
        message = f"the mail lies in Maildir/ below the mailbox: {_shown(deeper)}"
        hint = "give each account the extra field userdb_mail=maildir:MAIL/%d/%n/Maildir"
        yield Remark(FIX, f"{len(deeper)} in {mail}", message, hint)
    if scripts:
        message = f"Sieve scripts beside the mail, as before version 13: {_shown(scripts)}"
        hint = "move .dovecot.sieve and sieve/ of each into home/ below it"
        yield Remark(DIFFERS, f"{len(scripts)} in {mail}", message, hint)
