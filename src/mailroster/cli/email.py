"""`setup email`: adds, changes, locks and deletes accounts."""

import os
import sys
from typing import Any

from mailroster.app.home import Edit, EditResult
from mailroster.base.address import Address
from mailroster.base.findings import Refused, UsageError
from mailroster.cli.call import Call, account_address
from mailroster.cli.edit import rehearse, run_edit
from mailroster.cli.password_input import gives_secret, read_line, read_password, secret_for
from mailroster.cli.streams import warn
from mailroster.edits import accounts
from mailroster.roster.formats.accounts import Account
from mailroster.roster.roster import Roster


def add(call: Call) -> int:
    from mailroster.app import former_owner

    address = account_address(call.arguments[0])
    accepts_existing = "--if-not-exists" in call.options
    has_folder = os.path.isdir(call.settings.config)
    if accepts_existing and has_folder and address in call.home.roster().accounts:
        return 0
    blank = Account(address, "")
    secret = secret_for(
        call, address, lambda: rehearse(call, lambda r: accounts.add_account(r, blank))
    )
    account = Account(address, secret.hash)

    def edit(roster: Roster) -> Roster:
        if accepts_existing and address in roster.accounts:
            return roster
        return accounts.add_account(roster, account)

    remains = former_owner.leftovers(call.home, address)
    status = run_edit(
        call, edit, notes_on=("accounts", address), on_written=secret.show, report_findings=True
    )
    if remains:
        warn(
            f"warning: {address!r} had an owner before, who left: {', '.join(remains)}. The new "
            f"account gets this. To delete it: setup email del -y {address} && "
            f"setup email add {address}"
        )
    return status


def update(call: Call) -> int:
    address = account_address(call.arguments[0])
    if not gives_secret(call):
        return run_edit(
            call,
            lambda roster: accounts.require_account(roster, address),
            notes_on=("accounts", address),
        )
    secret = secret_for(
        call, address, lambda: rehearse(call, lambda r: accounts.set_password(r, address, ""))
    )

    def edit(roster: Roster) -> Roster:
        account = roster.accounts.get(address)
        after = accounts.set_password(roster, address, secret.hash)
        if account is not None and account.is_locked():
            warn(f"warning: {address!r} stays locked; to unlock it: setup email unlock {address}")
        return after

    return run_edit(call, edit, notes_on=("accounts", address), on_written=secret.show)


# -- locks


def lock(call: Call) -> int:
    from mailroster.cli.notes import note_change
    from mailroster.edits import locks
    from mailroster.roster.documents.notes import notes_of

    address, change = account_address(call.arguments[0]), note_change(call)

    def edit(roster: Roster) -> Roster:
        after = locks.lock(roster, address, change, _hash_clear)
        account, position = roster.accounts.get(address), roster.accounts.position(address)
        if account is None or position is None:
            return after
        end = notes_of(roster.accounts, position).until
        if end and not account.is_locked():
            warn(f"warning: this lock replaces the end date {end} of {address!r}")
        if account.is_locked() and after.accounts.same_as(roster.accounts):
            warn(f"{address!r} is locked already")
        return after

    return run_edit(call, edit)


def _hash_clear(password: str) -> str:
    from mailroster.app.passwords.hashing import hash_clear

    return hash_clear(password)


def unlock(call: Call) -> int:
    from mailroster.edits import locks

    address = account_address(call.arguments[0])

    def edit(roster: Roster) -> Roster:
        after = locks.unlock(roster, address)
        if after.accounts.same_as(roster.accounts):
            warn(f"{address!r} is not locked")
        return after

    return run_edit(call, edit)


# -- passwords


def check_password(call: Call) -> int:
    """Exits with 0 if the password is right and the account is not locked. Raises Refused, which
    says which of the two is wrong."""
    from mailroster.app.passwords.verify import is_right

    address = account_address(call.arguments[0])
    account = call.home.roster("accounts").accounts.get(address)
    if account is None:
        raise Refused(f"there is no account {address!r}")
    password = read_line() if "--password-stdin" in call.options else read_password(address)
    right = is_right(password, account.password)
    if account.is_locked():
        result = "right" if right else "wrong"
        raise Refused(f"{address!r} is locked and can't log in; the password is {result}")
    if not right:
        raise Refused(f"the password of {address!r} is wrong")
    if "--rehash" in call.options:
        return _rehash(call, address, password, account.password)
    return 0


def _rehash(call: Call, address: Address, password: str, old: str) -> int:
    """Replaces a hash that is weaker than the settings require, unless it has changed meanwhile."""
    from mailroster.app.passwords import hashing
    from mailroster.app.passwords.new_hash import scheme_and_cost
    from mailroster.roster.formats.hash_cost import is_below

    scheme, cost = scheme_and_cost(call.settings)
    effective = hashing.effective_scheme(password, scheme)
    if effective != scheme or not is_below(old, scheme, cost):
        return 0
    new = hashing.hash_password(password, scheme, cost)

    def edit(roster: Roster) -> Roster:
        account = roster.accounts.get(address)
        if account is None or account.password != old:
            return roster
        return accounts.set_password(roster, address, new)

    return run_edit(
        call, edit, on_written=lambda: warn(f"{address!r} now has a hash of {scheme} {cost}")
    )


# -- deletion


def delete(call: Call) -> int:
    from mailroster.app import deletion

    addresses = list(dict.fromkeys(account_address(text) for text in call.arguments))
    deletes, keeps = "-y" in call.options, "-n" in call.options
    if deletes and keeps:
        raise UsageError("-y and -n exclude each other")
    home, dry_run = call.home, call.is_dry_run()
    home.finish_moves()
    roster = home.roster()
    for address in addresses:
        if address not in roster.accounts:
            raise Refused(f"there is no account {address!r}")
    owners = deletion.existing_mailboxes(home, addresses)
    folders = list(owners)
    if not deletes and (keeps or dry_run or not _confirm_deletion(folders)):
        folders = []
    deletion.check_mailboxes(home, folders)

    def edit(roster: Roster) -> Roster:
        return accounts.delete_accounts(roster, addresses)

    def perform(edit: Edit, *, dry_run: bool, **options: Any) -> EditResult:
        return deletion.edit_and_delete(home, edit, mail, **options)

    mail = addresses if deletes else [owners[folder] for folder in folders]
    if dry_run:
        return run_edit(call, edit, deletes=[*folders, *deletion.scripts_of(home, mail)])
    return run_edit(call, edit, perform=perform if mail else None)


def _confirm_deletion(folders: list[str]) -> bool:
    """Asks whether to delete the mail too. Without a terminal the answer is no."""
    if not folders:
        return False
    if sys.stdin is None or not sys.stdin.isatty():
        warn(f"the mail in {', '.join(folders)} is kept; delete it with -y")
        return False
    print(
        f"Delete the mail in {', '.join(folders)} as well? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")
