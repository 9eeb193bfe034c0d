"""The verbs: each takes a roster and gives the roster that the user asked for, or Refused.

Only what the edit itself would bring is judged, never what was there before.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from mailroster.base.address import Address, fold, split
from mailroster.base.findings import ParseError, Refused
from mailroster.edits import senders
from mailroster.roster.documents import notes
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import accounts, credentials, quotas, virtual
from mailroster.roster.formats.access import Restriction
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.roster import Roster
from mailroster.routing.change import dependents
from mailroster.routing.router import NotFollowed, Router

E = TypeVar("E")


def add_account(roster: Roster, account: Account) -> Roster:
    """With one more account. Refused if there is one, or an alias of its name."""
    if account.address in roster.accounts:
        raise Refused(f"account {account.address!r} exists already")
    if account.address in roster.virtual:
        raise Refused(f"{account.address!r} is an alias already; delete it first")
    return roster._replace(accounts=accounts.add(roster.accounts, account))


def set_password(roster: Roster, address: Address, hash: str) -> Roster:
    """With another password for an account; its extra fields stay, and so does a lock. Raises
    ParseError for a password in clear of a locked account."""
    account = roster.accounts.get(address)
    if account is None:
        raise _unknown(address)
    if hash and credentials.is_locked(account.password):
        hash = credentials.locked(hash)
    return roster._replace(accounts=accounts.set_password(roster.accounts, address, hash))


def delete_accounts(roster: Roster, addresses: Iterable[Address]) -> Roster:
    """Without some accounts, their quotas and rights to send, and their addresses as recipients of
    aliases."""
    for address in addresses:
        known(roster, address)
        local, domain = split(address)
        aliases = []
        for document in roster.aliases():
            for key in document.keys_mentioning(local, domain):
                document = virtual.remove_recipients(document, key, [address])
            aliases.append(document)
        roster = senders.without(roster, address)._replace(
            accounts=_without(roster.accounts, address),
            quotas=_without(roster.quotas, address),
            virtual=aliases[0],
            local_aliases=aliases[1],
        )
    return roster


def _nothing(address: str) -> None:
    """No regexp captures anything."""


def add_alias(
    roster: Roster,
    key: str,
    recipients: Sequence[str],
    origin: str,
    captured: Callable[[str], str | None] = _nothing,
) -> Roster:
    """With recipients on an alias, new or not. Refused if it has one of them already, or if
    Postfix could not follow it, or an alias that leads to it, to its end.

    `origin` and `captured` are the Router's.
    """
    document = roster.virtual
    for recipient in recipients:
        alias = document.get(key)
        if alias is not None and recipient.lower() in map(str.lower, alias.recipients):
            raise Refused(f"alias {key!r} has the recipient {recipient!r} already")
        document = virtual.add_recipient(document, key, recipient)
    after = roster._replace(virtual=document)
    _expandable(Router(roster, origin, captured), Router(after, origin, captured), key)
    return after


def delete_alias(roster: Roster, key: str, recipients: Sequence[str]) -> Roster:
    """Without some recipients of an alias; one left bare goes. What isn't there is no error."""
    return roster._replace(virtual=virtual.remove_recipients(roster.virtual, key, recipients))


def forward(
    roster: Roster,
    address: Address,
    targets: Sequence[str],
    origin: str,
    captured: Callable[[str], str | None] = _nothing,
) -> Roster:
    """With an account's mail going to some targets, its own address among them to keep a copy: an
    alias on that address, with these recipients and no others. Refused as `add_alias` does.

    `origin` and `captured` are the Router's.
    """
    known(roster, address)
    if {fold(target) for target in targets} == {address}:
        raise Refused(f"{address!r} gets its mail by itself; to end a forward say --off")
    old = roster.virtual.get(address)
    there = {fold(recipient) for recipient in old.recipients} if old else set()
    document = roster.virtual
    for target in dict.fromkeys(targets):
        if fold(target) not in there:
            document = virtual.add_recipient(document, address, target)
    removed = there - {fold(target) for target in targets}
    document = virtual.remove_recipients(document, address, removed)
    after = roster._replace(virtual=document)
    _expandable(Router(roster, origin, captured), Router(after, origin, captured), address)
    return after


def stop_forward(roster: Roster, address: Address) -> Roster:
    """With an account's mail kept by itself; one that isn't forwarded is no error."""
    known(roster, address)
    return roster._replace(virtual=_without(roster.virtual, address))


def set_quota(roster: Roster, quota: Quota) -> Roster:
    """With the quota of an account set."""
    known(roster, quota.address)
    return roster._replace(quotas=quotas.put(roster.quotas, quota))


def delete_quota(roster: Roster, address: Address) -> Roster:
    """Without a quota of an account's own; Refused for an account that isn't there."""
    known(roster, address)
    return roster._replace(quotas=_without(roster.quotas, address))


def restrict(roster: Roster, field: str, key: str) -> Roster:
    """With an address refused in one of the access files. Refused if it is in there already."""
    document: Document[Restriction] = getattr(roster, field)
    if key in document:
        raise Refused(f"{key!r} is in {document.format.file} already")
    return _with(roster, field, document.append(f"{key} REJECT"))


def allow(roster: Roster, field: str, key: str) -> Roster:
    """Without the restriction of an address; what isn't there is no error."""
    return _with(roster, field, _without(getattr(roster, field), key))


def add_master(roster: Roster, name: str, hash: str) -> Roster:
    """With one more master."""
    if name in roster.masters:
        raise Refused(f"master {name!r} exists already")
    return roster._replace(masters=roster.masters.append(f"{name}|{hash}"))


def set_master_password(roster: Roster, name: str, hash: str) -> Roster:
    """With another password for a master."""
    position = roster.masters.position(name)
    if position is None:
        raise Refused(f"there is no master {name!r}")
    return roster._replace(masters=roster.masters.replace(position, f"{name}|{hash}"))


def delete_masters(roster: Roster, names: Iterable[str]) -> Roster:
    """Without some masters."""
    for name in names:
        if name not in roster.masters:
            raise Refused(f"there is no master {name!r}")
        roster = roster._replace(masters=_without(roster.masters, name))
    return roster


def known(roster: Roster, address: Address) -> Roster:
    """The same. Refused if there is no such account."""
    if address not in roster.accounts:
        raise _unknown(address)
    return roster


def _unknown(address: Address) -> Refused:
    return Refused(f"there is no account {address!r}")


def _with(roster: Roster, field: str, document: Document[Any]) -> Roster:
    documents: dict[str, Any] = {field: document}
    return roster._replace(**documents)


def _without(document: Document[E], key: str) -> Document[E]:
    return notes.without(document, document.positions(key))


def _expandable(before: Router, after: Router, key: str) -> None:
    """Refused if an alias can't be followed, or one that leads to it no more but could before."""
    try:
        after.follow(key)
    except ParseError as fault:
        raise Refused(fault.message) from None
    refuse_worse(before, after, sorted(dependents(after, [key]) - {key}))


def refuse_worse(before: Router, after: Router, keys: Iterable[str]) -> None:
    """Refused if Postfix could not follow one of some addresses to its end, and could before. If
    all of them take too many lookups, the rest is not judged."""
    before, after = before.remembering(), after.remembering()
    for key in keys:
        try:
            after.follow(key)
        except NotFollowed:
            return
        except ParseError as fault:
            try:
                before.follow(key)
            except ParseError:
                continue
            raise Refused(fault.message) from None
