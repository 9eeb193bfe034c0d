"""Finds, renames and deletes mailboxes in the mail folder.

Root only reads here. Every change runs as the mail's user (`mail_user`), below a descriptor of the
mail folder.
"""

import os
from collections.abc import Callable, Collection, Iterable, Sequence

from mailroster.base.address import Address, account, split
from mailroster.base.findings import ParseError, Refused, TryAgain
from mailroster.base.layout import maildir
from mailroster.base.settings import Settings
from mailroster.servers.mail_deletion import DELETING
from mailroster.servers.mail_user import MailUser, work
from mailroster.servers.maildir_usage import UNKNOWN


def folder(mail: str, address: Address) -> str:
    """The folder of one mailbox: MAIL/DOMAIN/USER."""
    return os.path.join(mail, maildir(address))


def prove_below(mail: str, folder: str) -> None:
    """Raises Refused unless a folder is two levels below the mail folder, with links resolved."""
    root = os.path.realpath(mail)
    if os.path.islink(folder) or os.path.dirname(os.path.dirname(os.path.realpath(folder))) != root:
        raise Refused(f"{folder} leads out of the mail folder {mail}; its mail is not touched")


class MailFolder:
    """A mail folder and its user. Every method can also raise TryAgain, if its work was
    interrupted."""

    def __init__(self, path: str, user: MailUser) -> None:
        self.path, self._user = path, user

    def folder(self, address: Address) -> str:
        return folder(self.path, address)

    def announce_deletion(self, addresses: Collection[Address], *, served: bool = False) -> None:
        """Records that mailboxes are about to be deleted; on disk when this returns. Raises Refused
        if they can't be: then nothing else may be changed. `served`: mail may arrive, also for a
        mailbox that does not exist yet."""
        try:
            self._work("announce", [_yes(served), *map(maildir, addresses)])
        except OSError as error:
            raise Refused(f"{error.filename}: {error.strerror}; nothing was changed") from error

    def is_announced(self, address: Address) -> bool:
        """Whether the mailbox of an address is about to be deleted."""
        user, domain = split(address)
        return os.path.lexists(os.path.join(self.path, domain, DELETING + user))

    def set_aside(self, addresses: Collection[Address]) -> int:
        """Renames announced mailboxes, so that no mail arrives; returns how many existed."""
        return int(self._work("set_aside", map(maildir, addresses)) or 0)

    def purge(self, domains: Iterable[str]) -> None:
        """Deletes what was set aside. Raises TryAgain if something can't be deleted."""
        try:
            self._work("purge", domains)
        except OSError as error:
            words = f"{error.filename}: {error.strerror}; not all of the mail is deleted"
            raise TryAgain(f"{words}; the next 'setup email del', or start, continues") from error

    def withdraw(self, addresses: Collection[Address]) -> None:
        """Removes the announcements of mailboxes."""
        self._work("withdraw", map(maildir, addresses))

    def finish_deletions(
        self,
        is_account: Callable[[str], bool],
        is_served: Callable[[str], bool],
        domains: Sequence[str] = (),
    ) -> int:
        """Finishes deletions that a crash interrupted, in the given domains, or in all by default;
        returns the number of mailboxes. The mailbox of a new account stays. An announcement stays
        while its address is still served, as mail may arrive."""
        lines = self._work("unfinished", domains).split("\n")
        announced = [address for line in lines if (address := _address(line))]
        removed = [address for address in announced if not is_account(address)]
        count = self.set_aside(removed) if removed else 0
        done = [address for address in announced if is_account(address) or not is_served(address)]
        if done:
            self.withdraw(done)
        left = [line[1:] for line in lines if line.startswith("/")]
        domains = sorted({*left, *(split(address)[1] for address in removed)})
        if domains:
            self.purge(domains)
        return count + len(left)

    def move(self, old: Address, new: Address, *, make: bool, may_step: bool) -> None:
        """Renames a mailbox; the old name becomes a link to the new one. `make`: creates a missing
        mailbox. `may_step`: a file system that can't exchange two names may rename in steps."""
        self._work("move", [maildir(old), maildir(new), _yes(make), _yes(may_step)])

    def move_back(self, old: Address, new: Address, *, may_step: bool) -> None:
        """Undoes a complete or partial `move`. Safe to repeat."""
        self._work("move_back", [maildir(old), maildir(new), _yes(may_step)])

    def drop_link(self, old: Address, new: Address) -> None:
        """Removes the link that `move` left at the old name. Safe to repeat."""
        self._work("drop_link", [maildir(old), maildir(new)])

    def unlock(self) -> int:
        """Removes the locks that a killed Dovecot left; returns their number. No Dovecot may run.

        Dovecot waits until the process with the pid in a lock ends. If another process has that
        pid, as in a restarted container, clients never see new mail.
        """
        return int(self._work("unlock", ()) or 0)

    def escape_tildes(self) -> int:
        """Renames folders that Dovecot does not find under their old names; returns the number."""
        return int(self._work("escape_tildes", ()) or 0)

    def usage(self, method: str, paths: Sequence[str]) -> list[str]:
        """The size of each Maildir in bytes, as digits, or UNKNOWN or BROKEN. `paths` are relative
        to the mail folder; for `method` see maildir_usage. Raises OSError."""
        if not os.path.isdir(self.path):
            return [UNKNOWN] * len(paths)
        return self._work("usage", [method, *paths]).split("\n")

    def _work(self, name: str, words: Iterable[str]) -> str:
        """Runs a function of `mail_work`; nothing if there is no mail folder."""
        words = list(words)
        return work(self.path, self._user, name, words) if os.path.isdir(self.path) else ""


def mail_folder(settings: Settings) -> MailFolder:
    """The mail folder that the settings name."""
    return MailFolder(settings.mail, MailUser(settings.vmail_uid, settings.vmail_gid))


def _address(line: str) -> Address | None:
    """The address of a mailbox `DOMAIN/USER`; None for any other line."""
    domain, _, user = line.partition("/")
    try:
        address = account(f"{user}@{domain}")
    except ParseError:
        return None
    return address if maildir(address) == line else None


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
