"""`setup email`: accounts."""

import os
import sys

from mailroster.base.address import Address
from mailroster.base.findings import NotUnderstood, Refused
from mailroster.cli.call import Call, account_address, warn
from mailroster.cli.password_input import gives_secret, secret_for
from mailroster.edits import accounts
from mailroster.roster.formats.accounts import Account
from mailroster.roster.roster import Roster
from mailroster.servers import former_owner


def add(call: Call) -> int:
    address = account_address(call.arguments[0])
    lenient = "--if-not-exists" in call.options
    if lenient and os.path.isdir(call.settings.config) and address in call.roster().accounts:
        return 0
    blank = Account(address, "")
    secret = secret_for(
        call, address, lambda: call.rehearse(lambda r: accounts.add_account(r, blank))
    )
    account = Account(address, secret.hash)

    def verb(roster: Roster) -> Roster:
        if lenient and address in roster.accounts:
            return roster
        return accounts.add_account(roster, account)

    left = former_owner.left(call.settings, address)
    status = call.edit(call.annotating(verb, "accounts", address), done=secret.show, judged=True)
    warn_of_left(address, left)
    return status


def warn_of_left(address: Address, left: list[str]) -> None:
    """Warns that a new account gets what a former owner of its address has left."""
    if left:
        warn(
            f"warning: {address!r} had an owner before: {', '.join(left)}. The new owner gets it. "
            f"To clear it: setup email del -y {address} && setup email add {address}"
        )


def update(call: Call) -> int:
    address = account_address(call.arguments[0])
    if not gives_secret(call):
        return call.edit(
            call.annotating(lambda roster: accounts.known(roster, address), "accounts", address)
        )
    secret = secret_for(
        call, address, lambda: call.rehearse(lambda r: accounts.set_password(r, address, ""))
    )

    def verb(roster: Roster) -> Roster:
        account = roster.accounts.get(address)
        after = accounts.set_password(roster, address, secret.hash)
        if account is not None and account.is_locked():
            warn(f"warning: {address!r} stays locked; 'setup email unlock {address}' lets it in")
        return after

    return call.edit(call.annotating(verb, "accounts", address), done=secret.show)


def delete(call: Call) -> int:
    from mailroster.servers import mailboxes

    addresses = list(dict.fromkeys(account_address(text) for text in call.arguments))
    if "-y" in call.options and "-n" in call.options:
        raise NotUnderstood("-y and -n exclude each other")
    call.settle_moves()
    roster = call.roster()
    for address in addresses:
        if address not in roster.accounts:
            raise Refused(f"there is no account {address!r}")
    folders = {mailboxes.folder(call.settings.mail, address): address for address in addresses}
    there = [folder for folder in folders if os.path.lexists(folder)]
    dry_run = "--dry-run" in call.options
    silent = "-n" in call.options or dry_run
    doomed = there if "-y" in call.options or (not silent and _asked(there)) else []
    for folder in doomed:
        mailboxes.prove_below(call.settings.mail, folder)

    def verb(roster: Roster) -> Roster:
        return accounts.delete_accounts(roster, addresses)

    mail = addresses if "-y" in call.options else [folders[folder] for folder in doomed]
    if dry_run:
        scripts = [path for each in mail for path in former_owner.scripts(call.settings, each)]
        return call.edit(verb, deletes=[*doomed, *scripts])
    if not mail:
        return call.edit(verb)
    from mailroster.cli.deletion import edit_and_delete

    return edit_and_delete(call, verb, mail)


def _asked(folders: list[str]) -> bool:
    """Whether the mail is to go too; no where nobody can be asked."""
    if not folders:
        return False
    if sys.stdin is None or not sys.stdin.isatty():
        warn(f"the mail in {', '.join(folders)} stays; delete it with -y")
        return False
    print(
        f"Delete the mail in {', '.join(folders)} as well? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")
