"""Accounts that go with their mail: `setup email del -y`, and what a crash has left of one."""

import time
from collections.abc import Callable, Collection, Sequence
from itertools import islice

from mailroster.base.address import Address, split
from mailroster.base.findings import Busy, Refused
from mailroster.cli.call import Call, warn
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.roster import Roster
from mailroster.servers import former_owner
from mailroster.servers.mailbox_moves import is_quiet

#: How long the command waits for deliveries that began before the account was gone.
_PATIENCE_S = 10.0
#: How often it deletes what such deliveries make anew.
_ROUNDS = 20
_STEP_S = 0.05
#: How many changes of others may have come since.
_CHANGES = 20


def edit_and_delete(
    call: Call, verb: Callable[[Roster], Roster], addresses: Collection[Address]
) -> int:
    """`Call.edit` for a verb that deletes accounts, and then their mail: all of it, what arrives
    meanwhile included. Returns the exit status."""
    mail, domains, served = call.mail_folder(), _domains(addresses), call.is_served()
    finish(call, domains)
    try:
        call.edit(verb, before=lambda: mail.announce_deletion(addresses, served=served))
    except BaseException:
        _delete_what_is_gone(call, domains)
        raise
    live_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    drop_scripts(call, addresses)
    mail.set_aside(addresses)
    if "--no-wait" in call.options and served:
        mail.purge(domains)  # what is still live is finished by who makes the change live
        return 0
    quiet = is_quiet(call.layout(), addresses, live_s, _PATIENCE_S)
    for _ in range(_ROUNDS):
        mail.purge(domains)
        if not mail.set_aside(addresses):
            break
        time.sleep(_STEP_S)
    else:
        raise Busy(f"mail goes on arriving for {', '.join(addresses)}; not all of it is deleted")
    if quiet:
        mail.withdraw(addresses)
    else:
        warn(
            "warning: a delivery that began before the account was deleted goes on; the next "
            "'setup email del', or start, deletes what it writes"
        )
    return 0


def drop_scripts(call: Call, addresses: Collection[Address]) -> None:
    """Takes the Sieve scripts of deleted accounts away, from the config folder and from what is in
    force."""
    from mailroster.servers.sieve import SieveScripts

    settings = call.settings
    if any(former_owner.scripts(settings, address) for address in addresses):
        change = _change_of(call, addresses)
        for address in addresses:
            former_owner.set_scripts_aside(settings, address, change)
    if call.is_served():
        linked = settings.linked()
        scripts = SieveScripts(settings.config, call.layout(), 0.0, linked=linked)
        scripts.drop(addresses)


def _change_of(call: Call, addresses: Collection[Address]) -> int:
    """The ID of the change that has just deleted accounts; 0 if the history lacks it."""
    from mailroster.store.history.undo import comes_back

    for entry in islice(call.store().history(), _CHANGES):
        if set(addresses).issubset(comes_back(ACCOUNTS, entry)):
            return entry.id
    return 0


def _delete_what_is_gone(call: Call, domains: Sequence[str]) -> None:
    """Once an edit has failed: mail goes only of accounts that are gone all the same."""
    try:
        finish(call, domains)
    except (Busy, Refused, OSError) as error:
        warn(f"the mail is not deleted: {error}; the next 'setup email del', or start, goes on")


def finish(call: Call, domains: Sequence[str]) -> None:
    """Finishes what a crash has left of deletions in some domains."""
    says, serves = call.roster(), call.copies.roster() if call.is_served() else Roster()
    call.mail_folder().finish_deletions(
        says.accounts.__contains__, serves.accounts.__contains__, domains
    )


def forget(call: Call, addresses: Sequence[Address]) -> None:
    """Deletes the mail that a crash has left of deleted accounts, before they are added again."""
    if not addresses:
        return
    mail = call.mail_folder()
    mail.set_aside(addresses)
    mail.withdraw(addresses)
    mail.purge(_domains(addresses))


def _domains(addresses: Collection[Address]) -> list[str]:
    return sorted({split(address)[1] for address in addresses})
