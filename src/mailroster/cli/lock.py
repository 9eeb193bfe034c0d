"""`setup email lock` and `setup email unlock`."""

from mailroster.cli.call import Call, account_address, warn
from mailroster.cli.edit import run_edit
from mailroster.cli.notes import said
from mailroster.edits import locks
from mailroster.roster.documents.notes import notes_of
from mailroster.roster.roster import Roster


def lock(call: Call) -> int:
    address, about = account_address(call.arguments[0]), said(call)

    def verb(roster: Roster) -> Roster:
        after = locks.lock(roster, address, about, _rehash)
        account, position = roster.accounts.get(address), roster.accounts.position(address)
        if account is not None and position is not None and not account.is_locked():
            end = notes_of(roster.accounts, position).until
            if end:
                warn(f"warning: the end date {end} of {address!r} is replaced by this lock")
        if account is not None and account.is_locked() and after.accounts.same_as(roster.accounts):
            warn(f"{address!r} is locked already")
        return after

    return run_edit(call, verb)


def _rehash(password: str) -> str:
    from mailroster.app.passwords.hashing import hash_clear

    return hash_clear(password)


def unlock(call: Call) -> int:
    address = account_address(call.arguments[0])

    def verb(roster: Roster) -> Roster:
        after = locks.unlock(roster, address)
        if after.accounts.same_as(roster.accounts):
            warn(f"{address!r} is not locked")
        return after

    return run_edit(call, verb)
