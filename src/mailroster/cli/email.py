"""`setup email`: accounts."""

import os
import sys
from typing import Any

from mailroster.app import former_owner
from mailroster.app.home import Edit, EditResult
from mailroster.base.address import Address
from mailroster.base.findings import Refused, UsageError
from mailroster.cli.call import Call, account_address, warn
from mailroster.cli.edit import rehearse, run_edit
from mailroster.cli.password_input import gives_secret, secret_for
from mailroster.edits import accounts
from mailroster.roster.formats.accounts import Account
from mailroster.roster.roster import Roster


def add(call: Call) -> int:
    address = account_address(call.arguments[0])
    lenient = "--if-not-exists" in call.options
    if lenient and os.path.isdir(call.settings.config) and address in call.home.roster().accounts:
        return 0
    blank = Account(address, "")
    secret = secret_for(
        call, address, lambda: rehearse(call, lambda r: accounts.add_account(r, blank))
    )
    account = Account(address, secret.hash)

    def edit(roster: Roster) -> Roster:
        if lenient and address in roster.accounts:
            return roster
        return accounts.add_account(roster, account)

    left = former_owner.left(call.home, address)
    status = run_edit(call, edit, notes_on=("accounts", address), done=secret.show, judged=True)
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
        return run_edit(
            call, lambda roster: accounts.known(roster, address), notes_on=("accounts", address)
        )
    secret = secret_for(
        call, address, lambda: rehearse(call, lambda r: accounts.set_password(r, address, ""))
    )

    def edit(roster: Roster) -> Roster:
        account = roster.accounts.get(address)
        after = accounts.set_password(roster, address, secret.hash)
        if account is not None and account.is_locked():
            warn(f"warning: {address!r} stays locked; 'setup email unlock {address}' lets it in")
        return after

    return run_edit(call, edit, notes_on=("accounts", address), done=secret.show)


def delete(call: Call) -> int:
    from mailroster.app import deletion

    addresses = list(dict.fromkeys(account_address(text) for text in call.arguments))
    if "-y" in call.options and "-n" in call.options:
        raise UsageError("-y and -n exclude each other")
    home, dry_run = call.home, call.is_dry_run()
    home.finish_moves()
    roster = home.roster()
    for address in addresses:
        if address not in roster.accounts:
            raise Refused(f"there is no account {address!r}")
    there = deletion.existing_mailboxes(home, addresses)
    silent = "-n" in call.options or dry_run
    doomed = list(there) if "-y" in call.options or (not silent and _asked(list(there))) else []
    deletion.check_mailboxes(home, doomed)

    def edit(roster: Roster) -> Roster:
        return accounts.delete_accounts(roster, addresses)

    def perform(edit: Edit, *, dry_run: bool, **options: Any) -> EditResult:
        return deletion.edit_and_delete(home, edit, mail, **options)

    mail = addresses if "-y" in call.options else [there[folder] for folder in doomed]
    if dry_run:
        return run_edit(call, edit, deletes=[*doomed, *deletion.scripts_of(home, mail)])
    return run_edit(call, edit, perform=perform if mail else None)


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
