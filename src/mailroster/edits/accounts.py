"""Edits of accounts, their quotas and restrictions, and of masters: each takes a roster and returns
the edited one, or raises Refused."""

from collections.abc import Iterable
from typing import Any, TypeVar

from mailroster.base.address import Address, split
from mailroster.base.findings import Refused
from mailroster.edits import app_passwords, senders
from mailroster.roster.documents import notes
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import accounts, credentials, quotas, virtual
from mailroster.roster.formats.access import Restriction
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.roster import Roster

E = TypeVar("E")


def add_account(roster: Roster, account: Account) -> Roster:
    """Adds an account. Refused if the address is that of an account or an alias. App passwords that
    the file has for the address are deleted: they belonged to another owner."""
    if account.address in roster.accounts:
        raise Refused(f"account {account.address!r} exists already")
    if account.address in roster.virtual:
        raise Refused(f"{account.address!r} is an alias already; delete it first")
    return roster._replace(
        accounts=accounts.add(roster.accounts, account),
        app_passwords=app_passwords.without(roster.app_passwords, account.address),
    )


def set_password(roster: Roster, address: Address, hash: str) -> Roster:
    """Sets the password of an account, which keeps its extra fields and its lock. Raises ParseError
    for a clear-text password of a locked account."""
    account = roster.accounts.get(address)
    if account is None:
        raise _unknown(address)
    if hash and credentials.is_locked(account.password):
        hash = credentials.locked(hash)
    return roster._replace(accounts=accounts.set_password(roster.accounts, address, hash))


def delete_accounts(roster: Roster, addresses: Iterable[Address]) -> Roster:
    """Deletes accounts, with their quotas, rights to send and app passwords; aliases lose them as
    recipients."""
    for address in addresses:
        require_account(roster, address)
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
            app_passwords=app_passwords.without(roster.app_passwords, address),
        )
    return roster


def set_quota(roster: Roster, quota: Quota) -> Roster:
    """Sets the quota of an account."""
    require_account(roster, quota.address)
    return roster._replace(quotas=quotas.put(roster.quotas, quota))


def delete_quota(roster: Roster, address: Address) -> Roster:
    """Deletes the quota of an account, which then has the default."""
    require_account(roster, address)
    return roster._replace(quotas=_without(roster.quotas, address))


def restrict(roster: Roster, field: str, key: str) -> Roster:
    """Adds the rejection of an address to one of the access files. Refused if the file has an entry
    for the address."""
    document: Document[Restriction] = getattr(roster, field)
    if key in document:
        raise Refused(f"{key!r} is in {document.format.file} already")
    return _with(roster, field, document.append(f"{key} REJECT"))


def allow(roster: Roster, field: str, key: str) -> Roster:
    """Removes the restriction of an address; one without a restriction is no error."""
    return _with(roster, field, _without(getattr(roster, field), key))


def add_master(roster: Roster, name: str, hash: str) -> Roster:
    """Adds a master. Refused if the name is in use."""
    if name in roster.masters:
        raise Refused(f"master {name!r} exists already")
    return roster._replace(masters=roster.masters.append(f"{name}|{hash}"))


def set_master_password(roster: Roster, name: str, hash: str) -> Roster:
    """Sets the password of a master."""
    position = roster.masters.position(name)
    if position is None:
        raise Refused(f"there is no master {name!r}")
    return roster._replace(masters=roster.masters.replace(position, f"{name}|{hash}"))


def delete_masters(roster: Roster, names: Iterable[str]) -> Roster:
    """Deletes masters."""
    for name in names:
        if name not in roster.masters:
            raise Refused(f"there is no master {name!r}")
        roster = roster._replace(masters=_without(roster.masters, name))
    return roster


def require_account(roster: Roster, address: Address) -> Roster:
    """The same roster. Refused if there is no such account."""
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
