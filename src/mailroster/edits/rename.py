"""The verb that gives an account another address, in every file that names it.

The line of the account keeps all but the address; so do its quota, its restrictions and the aliases
that lead to it, whatever their spelling. The old address becomes an alias for the new one, unless
it is to be given up: then nothing of it stays.
"""

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from mailroster.base import address
from mailroster.base.address import Address
from mailroster.base.findings import Refused
from mailroster.edits import accounts, senders
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

#: What a place below the home begins with; that variable is no part of the address.
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
    """With an account under another address, and if `alias`, the old one as an alias for it.

    Restrictions of the old address stay beside those of the new one then, and so do the rights of
    others to send as it: it can still be written to and sent from. `origin` and `captured` are the
    Router's. Refused if there is no such account, if the new address is taken, or if the mail lies
    where another address would not find it.
    """
    account = roster.accounts.get(old)
    if account is None:
        raise Refused(f"there is no account {old!r}")
    if old == new:
        raise Refused(f"{new!r} is the address that it has")
    _free(roster, new)
    _stays(account)
    renamed = roster._replace(
        accounts=_keyed_anew(roster.accounts, old, new, "|"),
        quotas=_quotas(roster, old, new),
        virtual=_aliases(roster.virtual, old, new, origin),
        local_aliases=_local_aliases(roster.local_aliases, old, new, origin),
        send_access=_restricted(roster.send_access, old, new, alias),
        receive_access=_restricted(roster.receive_access, old, new, alias),
        sender_logins=senders.renamed(roster.sender_logins, old, new, keep=alias),
    )
    if alias:
        renamed = accounts.add_alias(renamed, old, [new], origin, captured)
    _followed(Router(roster, origin, captured), Router(renamed, origin, captured))
    return renamed


def _followed(before: Router, after: Router) -> None:
    """Refused if an alias can be followed no more but could before."""
    changed = changed_keys(before.roster.virtual, after.roster.virtual)
    concerned = changed | dependents(after, changed)
    both = (before.roster.virtual, after.roster.virtual)
    there = [key for key in sorted(concerned) if all(key in document for document in both)]
    accounts.refuse_worse(before, after, there)


def _free(roster: Roster, new: Address) -> None:
    if new in roster.accounts:
        raise Refused(f"account {new!r} exists already")
    if new in roster.virtual:
        raise Refused(f"{new!r} is an alias already; delete it first")


def _stays(account: Account) -> None:
    """Raises Refused if an extra field names a place that depends on the address of the account, by
    a variable or in plain text: under the new address that would be another place."""
    if not account.extra:
        return
    from mailroster.roster.formats.extra_fields import allowed

    for name, value in account.fields():
        field = allowed(name)
        for place in field.places(value) if field is not None else ():
            if _names(place, account.address):
                raise Refused(
                    f"the extra field {name} of {account.address!r} names a place by the address; "
                    "write a place without the address, and move the mail there first"
                )


def _names(place: str, own: Address) -> bool:
    """Whether a place has an address in it: a variable other than the home, the address as a part
    of the path, or its domain and its user as two parts behind each other, in either order."""
    if "%" in _HOME_VARIABLE.sub("", place.replace("%%", "")):
        return True
    user, domain = address.split(own)
    parts = [part.lower() for part in place.split("/")]
    pairs = set(pairwise(parts))
    return own in parts or (domain, user) in pairs or (user, domain) in pairs


def _keyed_anew(document: Document[E], old: str, new: str, end: str) -> Document[E]:
    """With another key in every line of a key, which ends before a sign."""
    replaced: dict[int, str | None] = {}
    for position in document.positions(old):
        key, sign, rest = document.line(position).removesuffix("\r").partition(end)
        replaced[position] = key.replace(key.strip(" \t\ufeff"), new, 1) + sign + rest
    return document.edited(replaced) if replaced else document


def _quotas(roster: Roster, old: str, new: str) -> Document[Any]:
    """The quota goes along; one that was left of the new address, which nobody had, goes."""
    document = roster.quotas
    document = notes.without(document, document.positions(new))
    return _keyed_anew(document, old, new, ":")


def _restricted(
    document: Document[Restriction], old: str, new: str, keep: bool
) -> Document[Restriction]:
    position = document.position(old)
    if position is None:
        return document
    if not keep:
        document = notes.without(document, document.positions(new))
        places = {at: rekeyed(document.line(at), new) for at in document.positions(old)}
        return document.edited({**places})
    if new in document:
        return document
    noted = notes.notes_of(document, position)
    document = document.append(f"{new} {document.get(old).action}")  # type: ignore[union-attr]
    position = document.position(new)
    assert position is not None, "it was added"
    return notes.annotated(document, position, noted)


def _aliases(document: Document[Alias], old: str, new: str, origin: str) -> Document[Alias]:
    """With the new address in each alias that leads to the old one; and what stands for the
    account itself (a forward, aliases of its extensions) on the new one."""
    user, domain = address.split(old)
    keys = dict.fromkeys(document.keys_mentioning(user, domain))
    if domain == origin:
        keys |= dict.fromkeys(document.keys_mentioning(user, ""))
    own = {key for key in document.keys_in(domain) if _renamed(key, old, new, origin) != key}
    for key in own:
        if (taken := _renamed(key, old, new, origin)) in document:
            raise Refused(f"{taken!r} is an alias already; delete it first")
    replaced: dict[int, str | None] = {}
    for position in (at for key in (keys | dict.fromkeys(own)) for at in document.positions(key)):
        line = document.line(position)
        if document.readable(line) is None:
            continue
        key = document.format.key(line)
        if key in own:
            # `@domain` means the user of the key, who is about to be another.
            local = address.split(key)[0]
            line = virtual.reworded(line, partial(_written_out, local))
            line = rekeyed(line, _renamed(_key_of(line), old, new, origin))
        line = virtual.reworded(line, lambda word: _renamed(word, old, new, origin))
        replaced[position] = line.removesuffix("\r")
    return document.edited(replaced) if replaced else document


def _local_aliases(document: Document[Alias], old: str, new: str, origin: str) -> Document[Alias]:
    replaced: dict[int, str | None] = {}
    for key in dict.fromkeys(document.keys_mentioning(*address.split(old))):
        for position in document.positions(key):
            line = virtual.reworded(
                document.line(position), lambda word: _renamed(word, old, new, origin)
            )
            replaced[position] = line.removesuffix("\r")
    return document.edited(replaced) if replaced else document


def _key_of(line: str) -> str:
    return line.lstrip("\ufeff").split(None, 1)[0]


def _written_out(local: str, word: str) -> str:
    return local + word if word[0] == "@" else word


def _renamed(word: str, old: str, new: str, origin: str) -> str:
    """A recipient that is the old address, in any spelling and with any extension, as the new one;
    another as it is."""
    local, domain = address.split(address.qualified(word, origin))
    user, extension = address.split_extension(local)
    if address.fold(f"{user}@{domain}") != old:
        return word
    new_user, new_domain = address.split(new)
    return f"{new_user}{extension}@{new_domain}"
