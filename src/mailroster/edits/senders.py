"""Edits of the rights to send as other addresses (`postfix-sender-logins.cf`). Each takes a roster
and returns the edited one, or raises Refused."""

from mailroster.base.address import Address, fold, split
from mailroster.base.findings import Refused
from mailroster.edits.rewrite import rewrite
from mailroster.roster.documents import notes
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import virtual
from mailroster.roster.formats.lookup_table import rekeyed
from mailroster.roster.formats.sender_logins import Grant
from mailroster.roster.roster import Roster


def grant(roster: Roster, account: Address, sender: str) -> Roster:
    """Gives an account the right to send as an address or a `@domain`. Refused if there is no such
    account, or if it has that right."""
    if account not in roster.accounts:
        raise Refused(f"there is no account {account!r}")
    if sender == account:
        raise Refused(f"{account!r} may send as itself already")
    grant = roster.sender_logins.get(sender)
    if grant is not None and account in grant.accounts:
        raise Refused(f"{account!r} may send as {sender!r} already")
    after = virtual.add_recipient(roster.sender_logins, sender, account)
    return roster._replace(sender_logins=after)


def revoke(roster: Roster, account: Address, sender: str) -> Roster:
    """Removes that right; without it there is no error."""
    after = virtual.remove_recipients(roster.sender_logins, sender, [account])
    return roster._replace(sender_logins=after)


def without(roster: Roster, account: Address) -> Roster:
    """Removes the rights of an account, and the rights of others to send as it: the next owner of
    the address has not given them."""
    document = roster.sender_logins
    for sender in document.keys_mentioning(*split(account)):
        document = virtual.remove_recipients(document, sender, [account])
    document = notes.without(document, document.positions(account))
    return roster._replace(sender_logins=document)


def renamed(
    document: Document[Grant], old: Address, new: Address, *, keep: bool
) -> Document[Grant]:
    """Moves the rights of an account, and those of others to send as it, to its new address. With
    `keep` the others may still send as the old one."""

    def renamed_in(line: str) -> str:
        grant = document.readable(line)
        if grant is None or old not in grant.accounts:
            return line
        if new in grant.accounts:
            return virtual.without(line, [old]) or line
        return virtual.reworded(line, lambda word: new if fold(word) == old else word)

    document = rewrite(document, document.keys_mentioning(*split(old)), renamed_in)
    grant = document.get(old)
    others = [account for account in grant.accounts if account != new] if grant else []
    if not keep and (new in document or not others):
        document = notes.without(document, document.positions(old))
    elif not keep:
        document = virtual.remove_recipients(document, old, [new])
        return rewrite(document, [old], lambda line: rekeyed(line, new))
    for account in others:
        grant = document.get(new)
        if grant is None or account not in grant.accounts:
            document = virtual.add_recipient(document, new, account)
    return document
