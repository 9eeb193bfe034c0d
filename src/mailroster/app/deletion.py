"""Deletes accounts with their mail."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice

from mailroster.app import leftovers
from mailroster.app.home import Edit, EditResult, Home
from mailroster.base.address import Address
from mailroster.base.findings import Refused, TryAgain
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.roster import Roster
from mailroster.servers import former_owner, mailboxes
from mailroster.servers.deliveries import wait_until_unused
from mailroster.servers.mailboxes import MailFolder

#: How long the command waits for deliveries that began before the account was deleted.
_PATIENCE_S = 10.0
#: How many times it deletes what such deliveries write.
_ROUNDS = 20
_STEP_S = 0.05
#: The newest history entries in which the deletion is searched.
_CHANGES = 20


def existing_mailboxes(home: Home, addresses: Iterable[Address]) -> dict[str, Address]:
    """The folders of the mailboxes that exist, with their addresses."""
    folders = {mailboxes.folder(home.settings.mail, address): address for address in addresses}
    return {folder: address for folder, address in folders.items() if os.path.lexists(folder)}


def check_mailboxes(home: Home, folders: Iterable[str]) -> None:
    """Raises Refused for a folder that is outside of the mail folder."""
    for folder in folders:
        mailboxes.prove_below(home.settings.mail, folder)


def scripts_of(home: Home, addresses: Iterable[Address]) -> list[str]:
    """The paths of the Sieve scripts of some accounts in the config folder."""
    return [path for each in addresses for path in former_owner.scripts(home.settings, each)]


def edit_and_delete(
    home: Home,
    edit: Edit,
    addresses: Collection[Address],
    *,
    wait: bool,
    removals: bool,
    written: Callable[[EditResult], object],
) -> EditResult:
    """`Home.edit` for an edit that deletes accounts; then deletes their mail, including mail that
    arrives meanwhile."""
    mail, domains, served = home.mail_folder(), leftovers.domains_of(addresses), home.is_served()
    finish(home, domains)
    try:
        result = home.edit(
            edit,
            wait=wait,
            removals=removals,
            before=lambda: mail.announce_deletion(addresses, served=served),
            written=written,
        )
    except BaseException:
        _finish_after_failure(home, domains)
        raise
    live_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    drop_scripts(home, addresses)
    mail.set_aside(addresses)
    if not wait and served:
        mail.purge(domains)  # the process that puts the edit in force deletes the rest
        return result
    quiet = wait_until_unused(home.layout, addresses, live_s, _PATIENCE_S)
    _purge(mail, addresses, domains)
    if quiet:
        mail.withdraw(addresses)
    else:
        home.warn(
            "warning: a delivery that began before the account was deleted is still running; the "
            "next 'setup email del', or start, deletes its mail"
        )
    return result


def _purge(mail: MailFolder, addresses: Collection[Address], domains: Sequence[str]) -> None:
    """Deletes mailboxes that were set aside, and mail that arrives meanwhile. Raises TryAgain if
    deliveries don't end."""
    for _ in range(_ROUNDS):
        mail.purge(domains)
        if not mail.set_aside(addresses):
            return
        time.sleep(_STEP_S)
    raise TryAgain(f"mail still arrives for {', '.join(addresses)}; not all of it is deleted")


def drop_scripts(home: Home, addresses: Collection[Address]) -> None:
    """Removes the Sieve scripts of deleted accounts from the config folder and from the servers."""
    from mailroster.servers.sieve import SieveScripts

    settings = home.settings
    if any(former_owner.scripts(settings, address) for address in addresses):
        change = _change_of(home, addresses)
        for address in addresses:
            former_owner.set_scripts_aside(settings, address, change)
    if home.is_served():
        linked = settings.linked()
        scripts = SieveScripts(settings.config, home.layout, 0.0, linked=linked)
        scripts.drop(addresses)


def _change_of(home: Home, addresses: Collection[Address]) -> int:
    """The ID of the change that has just deleted accounts; 0 if it is not in the history."""
    from mailroster.store.history.undo import removed_keys

    for entry in islice(home.store().history(), _CHANGES):
        if set(addresses).issubset(removed_keys(ACCOUNTS, entry)):
            return entry.id
    return 0


def finish(home: Home, domains: Sequence[str]) -> None:
    """Completes deletions in some domains that a crash has interrupted."""
    live = home.copies.roster() if home.is_served() else Roster()
    leftovers.finish_deletions(home.settings, home.roster(), live, domains)


def _finish_after_failure(home: Home, domains: Sequence[str]) -> None:
    """After a failed edit: deletes only the mail of accounts that are deleted nevertheless."""
    try:
        finish(home, domains)
    except (TryAgain, Refused, OSError) as error:
        home.warn(
            f"the mail is not deleted: {error}; the next 'setup email del', or start, tries again"
        )
