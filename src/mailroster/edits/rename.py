"""The edit that renames an account in every file that has its address.

Only the address changes in the line of the account, in its quota, its restrictions and the aliases
that lead to it, in any spelling. The old address becomes an alias of the new one, or is removed
from every file.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

from mailroster.base import address
from mailroster.base.address import Address
from mailroster.base.findings import Refused
from mailroster.edits import aliases, app_passwords, senders
from mailroster.edits.rewrite import rewrite
from mailroster.roster.documents import notes
from mailroster.roster.documents.compare import changed_keys
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import virtual
from mailroster.roster.formats.access import Restriction
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.lookup_table import rekeyed
from mailroster.roster.formats.virtual import Alias
from mailroster.roster.roster import Roster
from mailroster.routing.change import dependents
from mailroster.routing.router import Router

E = TypeVar("E")

#: The beginning of a path below the home. This variable does not depend on the address.
_HOME_VARIABLE = re.compile(r"%h(?=/|$)|%\{home\}")


def rename_account(
    roster: Roster,
    old: Address,
    new: Address,
    origin: str,
    captured: Callable[[str], str | None] = lambda address: None,
    *,
    alias: bool = True,
) -> Roster:
    """Renames an account; with `alias` the old address becomes an alias of the new one.

    The old address then also keeps its restrictions and the rights of others to send as it, since
    it still receives and sends mail. `origin` and `captured` are the Router's. Refused if there is
    no such account, if the new address exists, or if the place of the mail depends on the address.
    """
    account = roster.accounts.get(old)
    if account is None:
        raise Refused(f"there is no account {old!r}")
    if old == new:
        raise Refused(f"the account has the address {new!r} already")
    _refuse_existing(roster, new)
    _refuse_moved_mail(account)
    renamed = roster._replace(
        accounts=_rekeyed(roster.accounts, old, new),
        quotas=_quotas(roster, old, new),
        virtual=_aliases(roster.virtual, old, new, origin),
        local_aliases=_local_aliases(roster.local_aliases, old, new, origin),
        send_access=_restricted(roster.send_access, old, new, alias),
        receive_access=_restricted(roster.receive_access, old, new, alias),
        sender_logins=senders.renamed(roster.sender_logins, old, new, keep=alias),
        app_passwords=app_passwords.renamed(roster.app_passwords, old, new),
    )
    if alias:
        renamed = aliases.add_alias(renamed, old, [new], origin, captured)
    _refuse_endless(Router(roster, origin, captured), Router(renamed, origin, captured))
    return renamed


def _refuse_endless(before: Router, after: Router) -> None:
    """Refused if Postfix can no longer follow an alias."""
    changed = changed_keys(before.roster.virtual, after.roster.virtual)
    affected = changed | dependents(after, changed)
    in_both = [
        key for key in sorted(affected)
        if key in before.roster.virtual and key in after.roster.virtual
    ]  # fmt: skip
    aliases.refuse_worse(before, after, in_both)


def _refuse_existing(roster: Roster, new: Address) -> None:
    if new in roster.accounts:
        raise Refused(f"account {new!r} exists already")
    if new in roster.virtual:
        raise Refused(f"{new!r} is an alias already; delete it first")


def _refuse_moved_mail(account: Account) -> None:
    """Refused if an extra field has a path that depends on the address, by a variable or in plain
    text: under the new address it would be another path."""
    if not account.extra:
        return
    from mailroster.roster.formats.extra_fields import allowed

    for name, value in account.fields():
        field = allowed(name)
        for place in field.places(value) if field is not None else ():
            if _has_address(place, account.address):
                raise Refused(
                    f"the extra field {name} of {account.address!r} has the address in its path; "
                    "move the mail to a path without the address first, and set the field to it"
                )


def _has_address(place: str, own: Address) -> bool:
    """Whether a path has an address in it: by a variable other than the home, as one part, or as
    two parts, its domain and its user, in either order."""
    if "%" in _HOME_VARIABLE.sub("", place.replace("%%", "")):
        return True
    user, domain = address.split(own)
    parts = [part.lower() for part in place.split("/")]
    pairs = set(pairwise(parts))
    return own in parts or (domain, user) in pairs or (user, domain) in pairs


def _rekeyed(document: Document[E], old: str, new: str) -> Document[E]:
    """Changes the key in each of its lines."""

    def with_key(line: str) -> str:
        key, sign, rest = line.removesuffix("\r").partition(document.format.key_end)
        return key.replace(key.strip(" \t\ufeff"), new, 1) + sign + rest

    return rewrite(document, [old], with_key)


def _quotas(roster: Roster, old: str, new: str) -> Document[Any]:
    """Renames the quota, and removes one that the new address had without an account."""
    document = notes.without(roster.quotas, roster.quotas.positions(new))
    return _rekeyed(document, old, new)


def _restricted(
    document: Document[Restriction], old: str, new: str, keep: bool
) -> Document[Restriction]:
    position = document.position(old)
    if position is None:
        return document
    if not keep:
        document = notes.without(document, document.positions(new))
        return rewrite(document, [old], lambda line: rekeyed(line, new))
    if new in document:
        return document
    old_notes = notes.notes_of(document, position)
    document = document.append(f"{new} {document.get(old).action}")  # type: ignore[union-attr]
    position = document.position(new)
    assert position is not None, "it was added"
    return notes.annotated(document, position, old_notes)


def _aliases(document: Document[Alias], old: str, new: str, origin: str) -> Document[Alias]:
    """Puts the new address into each alias that leads to the old one. Aliases of the account itself
    (a forward, aliases of its extensions) get the new address as their key."""
    user, domain = address.split(old)
    keys = [*document.keys_mentioning(user, domain)]
    if domain == origin:
        keys += document.keys_mentioning(user, "")
    own = {key for key in document.keys_in(domain) if _renamed(key, old, new, origin) != key}
    for key in own:
        if (new_key := _renamed(key, old, new, origin)) in document:
            raise Refused(f"{new_key!r} is an alias already; delete it first")

    def renamed_in(line: str) -> str:
        if document.readable(line) is None:
            return line
        key = document.format.key(line)
        if key in own:
            # `@domain` stands for the user of the key, which changes.
            local = address.split(key)[0]
            line = virtual.reworded(line, lambda word: local + word if word[0] == "@" else word)
            written_key = line.lstrip("\ufeff").split(None, 1)[0]
            line = rekeyed(line, _renamed(written_key, old, new, origin))
        return virtual.reworded(line, lambda word: _renamed(word, old, new, origin))

    return rewrite(document, [*keys, *own], renamed_in)


def _local_aliases(document: Document[Alias], old: str, new: str, origin: str) -> Document[Alias]:
    def renamed_in(line: str) -> str:
        if document.readable(line) is None:
            return line
        end = document.format.key_end
        return virtual.reworded(line, lambda word: _renamed(word, old, new, origin), end)

    return rewrite(document, document.keys_mentioning(*address.split(old)), renamed_in)


def _renamed(word: str, old: str, new: str, origin: str) -> str:
    """The new address for the old one, in any spelling and with its extension; any other recipient
    unchanged."""
    local, domain = address.split(address.qualified(word, origin))
    user, extension = address.split_extension(local)
    if address.fold(f"{user}@{domain}") != old:
        return word
    new_user, new_domain = address.split(new)
    return f"{new_user}{extension}@{new_domain}"
