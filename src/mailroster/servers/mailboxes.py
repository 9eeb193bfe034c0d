"""The mail folder: where a mailbox lies, and how it is made, renamed and deleted.

Root only looks here. Whatever changes something runs as the mail's user (`mail_user`), below a
descriptor of the mail folder.
"""

import os
from collections.abc import Callable, Collection, Iterable, Sequence

from mailroster.base.address import Address, account, split
from mailroster.base.findings import ParseError, Refused, TryAgain
from mailroster.base.layout import maildir
from mailroster.base.settings import Settings
from mailroster.servers.mail_user import MailUser, work
from mailroster.servers.mail_work import DELETED, DELETING, UIDLIST_LOCK
from mailroster.servers.maildir_usage import UNKNOWN

__all__ = ["DELETED", "UIDLIST_LOCK", "MailFolder", "folder", "mail_folder", "prove_below"]


def folder(mail: str, address: Address) -> str:
    """The folder of one mailbox: MAIL/DOMAIN/USER."""
    return os.path.join(mail, maildir(address))


def prove_below(mail: str, folder: str) -> None:
    """Raises Refused unless a folder is really two levels below the mail folder, links and all."""
    root = os.path.realpath(mail)
    if os.path.islink(folder) or os.path.dirname(os.path.dirname(os.path.realpath(folder))) != root:
        raise Refused(f"{folder} leads out of the mail folder {mail}; its mail is not touched")


class MailFolder:
    """A mail folder and its user. Raises TryAgain, besides what each method says, where the work
    was stopped half-way."""

    def __init__(self, path: str, user: MailUser) -> None:
        self.path, self._user = path, user

    def folder(self, address: Address) -> str:
        return folder(self.path, address)

    # -- deletion

    def announce_deletion(self, addresses: Collection[Address], *, served: bool = False) -> None:
        """Notes that mailboxes are about to be deleted, on the disk when this returns. Raises
        Refused where they can't be: then nothing else may be changed. `served`: mail may arrive
        even where there is none yet."""
        try:
            self._work("announce", [_yes(served), *map(maildir, addresses)])
        except OSError as error:
            raise Refused(f"{error.filename}: {error.strerror}; nothing was changed") from error

    def is_announced(self, address: Address) -> bool:
        """Whether the mailbox of an address is about to be deleted."""
        user, domain = split(address)
        return os.path.lexists(os.path.join(self.path, domain, DELETING + user))

    def set_aside(self, addresses: Collection[Address]) -> int:
        """Renames mailboxes that are about to be deleted, so that no mail arrives in them; how many
        of them were there."""
        return int(self._work("set_aside", map(maildir, addresses)) or 0)

    def purge(self, domains: Iterable[str]) -> None:
        """Deletes what was set aside. Raises TryAgain if something of it stays."""
        try:
            self._work("purge", domains)
        except OSError as error:
            words = f"{error.filename}: {error.strerror}; not all of the mail is deleted"
            raise TryAgain(f"{words}; the next 'setup email del', or start, goes on") from error

    def withdraw(self, addresses: Collection[Address]) -> None:
        """Notes that the deletion of mailboxes is over."""
        self._work("withdraw", map(maildir, addresses))

    def finish_deletions(
        self,
        is_account: Callable[[str], bool],
        is_served: Callable[[str], bool],
        domains: Sequence[str] = (),
    ) -> int:
        """Finishes what a crash has left of deletions, in some domains or all of them; how many
        mailboxes that were. What is an account again stays; so does the note of what is still
        served, since mail may arrive there."""
        lines = self._work("unfinished", domains).split("\n")
        announced = [address for line in lines if (address := _address(line))]
        removed = [address for address in announced if not is_account(address)]
        count = self.set_aside(removed) if removed else 0
        over = [address for address in announced if is_account(address) or not is_served(address)]
        if over:
            self.withdraw(over)
        left = [line[1:] for line in lines if line.startswith("/")]
        domains = sorted({*left, *(split(address)[1] for address in removed)})
        if domains:
            self.purge(domains)
        return count + len(left)

    # -- another name

    def move(self, old: Address, new: Address, *, make: bool, may_step: bool) -> None:
        """Gives a mailbox another name, to which the old one leads (mail_work.move). `make`: one
        that isn't there is made. `may_step`: not in one step, where the file system can't."""
        self._work("move", [maildir(old), maildir(new), _yes(make), _yes(may_step)])

    def move_back(self, old: Address, new: Address, *, may_step: bool) -> None:
        """Undoes `move`, as far as it got. Safe to repeat."""
        self._work("move_back", [maildir(old), maildir(new), _yes(may_step)])

    def drop_link(self, old: Address, new: Address) -> None:
        """Takes away the link that `move` has left at the old name. Safe to repeat."""
        self._work("drop_link", [maildir(old), maildir(new)])

    # -- locks

    def unlock(self) -> int:
        """Removes the locks that a killed Dovecot has left, of which none may run; how many.

        Dovecot waits for the process with the number in a lock, whoever has that number by now: as
        soon as that is another one, as it is in a container that was started again, nobody sees new
        mail.
        """
        return int(self._work("unlock", ()) or 0)

    # -- names of folders

    def escape_tildes(self) -> int:
        """Renames the folders that Dovecot would not find any more under their names; how many."""
        return int(self._work("escape_tildes", ()) or 0)

    # -- usage

    def usage(self, method: str, paths: Sequence[str]) -> list[str]:
        """The bytes that each of some Maildirs holds, which lie below the mail folder, as digits;
        or UNKNOWN or BROKEN. `method` and these are of maildir_usage. Raises OSError."""
        if not os.path.isdir(self.path):
            return [UNKNOWN] * len(paths)
        return self._work("usage", [method, *paths]).split("\n")

    def _work(self, name: str, words: Iterable[str]) -> str:
        """Without a mail folder there is nothing to do."""
        words = list(words)
        return work(self.path, self._user, name, words) if os.path.isdir(self.path) else ""


def mail_folder(settings: Settings) -> MailFolder:
    """The mail folder of some settings, with the user of the mail."""
    return MailFolder(settings.mail, MailUser(settings.vmail_uid, settings.vmail_gid))


def _address(line: str) -> Address | None:
    """The address of a mailbox `DOMAIN/USER`; None for what is none."""
    domain, _, user = line.partition("/")
    try:
        address = account(f"{user}@{domain}")
    except ParseError:
        return None
    return address if maildir(address) == line else None


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
