"""Edits of aliases and forwards: each takes a roster and returns the edited one, or raises Refused.

Only faults that the edit itself would cause are refused, never those that were there before.
"""

from collections.abc import Callable, Iterable, Sequence

from mailroster.base.address import Address, fold
from mailroster.base.findings import Refused
from mailroster.edits.accounts import require_account
from mailroster.roster.documents import notes
from mailroster.roster.formats import virtual
from mailroster.roster.roster import Roster
from mailroster.routing.change import dependents
from mailroster.routing.router import NotFollowed, Router


def _no_pattern(address: str) -> None:
    """No pattern matches an address."""


def add_alias(
    roster: Roster,
    key: str,
    recipients: Sequence[str],
    origin: str,
    captured: Callable[[str], str | None] = _no_pattern,
) -> Roster:
    """Adds recipients to an alias, which is made if there is none. Refused if it has one of them
    already, or if Postfix could not follow it, or an alias that leads to it, to its end.

    `origin` and `captured` are the Router's.
    """
    document = roster.virtual
    for recipient in recipients:
        alias = document.get(key)
        if alias is not None and recipient.lower() in map(str.lower, alias.recipients):
            raise Refused(f"alias {key!r} has the recipient {recipient!r} already")
        document = virtual.add_recipient(document, key, recipient)
    after = roster._replace(virtual=document)
    _refuse_endless(Router(roster, origin, captured), Router(after, origin, captured), key)
    return after


def delete_alias(roster: Roster, key: str, recipients: Sequence[str]) -> Roster:
    """Removes recipients from an alias, and the alias with its last one. A recipient that it does
    not have is no error."""
    return roster._replace(virtual=virtual.remove_recipients(roster.virtual, key, recipients))


def forward(
    roster: Roster,
    address: Address,
    targets: Sequence[str],
    origin: str,
    captured: Callable[[str], str | None] = _no_pattern,
) -> Roster:
    """Sends an account's mail to these targets and no others; its own address among them keeps a
    copy. The forward is an alias with the address of the account. Refused as by `add_alias`.

    `origin` and `captured` are the Router's.
    """
    require_account(roster, address)
    if {fold(target) for target in targets} == {address}:
        raise Refused(f"{address!r} gets its mail without a forward; to end one, use --off")
    alias = roster.virtual.get(address)
    recipients = {fold(recipient) for recipient in alias.recipients} if alias else set()
    document = roster.virtual
    for target in dict.fromkeys(targets):
        if fold(target) not in recipients:
            document = virtual.add_recipient(document, address, target)
    removed = recipients - {fold(target) for target in targets}
    document = virtual.remove_recipients(document, address, removed)
    after = roster._replace(virtual=document)
    _refuse_endless(Router(roster, origin, captured), Router(after, origin, captured), address)
    return after


def stop_forward(roster: Roster, address: Address) -> Roster:
    """Ends the forward of an account; one without a forward is no error."""
    require_account(roster, address)
    document = notes.without(roster.virtual, roster.virtual.positions(address))
    return roster._replace(virtual=document)


def _refuse_endless(before: Router, after: Router, key: str) -> None:
    """Refused if Postfix can't follow an alias, or can no longer follow one that leads to it."""
    if fault := after.fault_of(key):
        raise Refused(fault.message)
    refuse_worse(before, after, sorted(dependents(after, [key]) - {key}))


def refuse_worse(before: Router, after: Router, keys: Iterable[str]) -> None:
    """Refused if Postfix can no longer follow one of these addresses to its end. If all of them
    together take too many lookups, the rest is accepted unchecked."""
    before, after = before.remembering(), after.remembering()
    for key in keys:
        fault = after.fault_of(key)
        if isinstance(fault, NotFollowed):
            return
        if fault is not None and before.fault_of(key) is None:
            raise Refused(fault.message)
