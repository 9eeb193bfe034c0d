"""`setup email password-check`."""

from mailroster.base.address import Address
from mailroster.base.findings import Refused
from mailroster.cli.call import Call, account_address, warn
from mailroster.cli.edit import run_edit
from mailroster.cli.password_input import asked_once, line
from mailroster.edits import accounts
from mailroster.roster.formats.hash_cost import is_below
from mailroster.roster.roster import Roster


def check(call: Call) -> int:
    """Exit 0 if a password is right and not locked out; else Refused says which of the two."""
    from mailroster.app.passwords.verify import is_right

    address = account_address(call.arguments[0])
    account = call.home.roster("accounts").accounts.get(address)
    if account is None:
        raise Refused(f"there is no account {address!r}")
    given = line() if "--password-stdin" in call.options else asked_once(address)
    right = is_right(given, account.password)
    if account.is_locked():
        word = "right" if right else "wrong"
        raise Refused(f"{address!r} is locked, and can't log in; the password is {word}")
    if not right:
        raise Refused(f"the password of {address!r} is wrong")
    if "--rehash" in call.options:
        return _rehash(call, address, given, account.password)
    return 0


def _rehash(call: Call, address: Address, given: str, old: str) -> int:
    """Another hash of the same password where the settings ask for more; unless it has changed
    meanwhile."""
    from mailroster.app.passwords import hashing
    from mailroster.app.passwords.new_hash import scheme_and_cost

    scheme, cost = scheme_and_cost(call.settings, call.options.get("--scheme"))
    effective = hashing.effective_scheme(given, scheme)
    if effective != scheme or not is_below(old, scheme, cost):
        return 0
    new = hashing.hash_password(given, scheme, cost)

    def verb(roster: Roster) -> Roster:
        account = roster.accounts.get(address)
        if account is None or account.password != old:
            return roster
        return accounts.set_password(roster, address, new)

    return run_edit(call, verb, done=lambda: warn(f"{address!r} has a hash of {scheme} {cost} now"))
