"""Who may send as whom beyond oneself and one's aliases: the verbs on `postfix-sender-logins.cf`.

Each takes a roster and gives another, or Refused.
"""

from mailroster.base.address import Address, fold, split
from mailroster.base.findings import Refused
from mailroster.roster.documents import notes
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import virtual
from mailroster.roster.formats.lookup_table import rekeyed
from mailroster.roster.formats.sender_logins import Grant
from mailroster.roster.roster import Roster


def grant(roster: Roster, account: Address, sender: str) -> Roster:
    """With a right of an account to send as an address, or as a `@domain`. Refused if there is no
    such account, or if it may do so as itself or by a grant."""
    if account not in roster.accounts:
        raise Refused(f"there is no account {account!r}")
    if sender == account:
        raise Refused(f"{account!r} may send as itself already")
    there = roster.sender_logins.get(sender)
    if there is not None and account in there.accounts:
        raise Refused(f"{account!r} may send as {sender!r} already")
    after = virtual.add_recipient(roster.sender_logins, sender, account)
    return roster._replace(sender_logins=after)


def revoke(roster: Roster, account: Address, sender: str) -> Roster:
    """Without that right; what isn't there is no error."""
    after = virtual.remove_recipients(roster.sender_logins, sender, [account])
    return roster._replace(sender_logins=after)


def without(roster: Roster, account: Address) -> Roster:
    """Without the rights that an account has been given, and those that others have to send as it:
    whoever gets the address next has not given them."""
    document = roster.sender_logins
    for sender in document.keys_mentioning(*split(account)):
        document = virtual.remove_recipients(document, sender, [account])
    document = notes.without(document, document.positions(account))
    return roster._replace(sender_logins=document)


def renamed(
    document: Document[Grant], old: Address, new: Address, *, keep: bool
) -> Document[Grant]:
    """With the rights of an account, and those of others to send as it, under its new address;
    with `keep` others may send as the old one too."""
    replaced: dict[int, str | None] = {}
    for sender in dict.fromkeys(document.keys_mentioning(*split(old))):
        for position in document.positions(sender):
            line = document.line(position)
            grant = document.readable(line)
            if grant is None or old not in grant.accounts:
                continue
            if new in grant.accounts:
                line = virtual.without(line, [old]) or line
            else:
                line = virtual.reworded(line, lambda word: new if fold(word) == old else word)
            replaced[position] = line.removesuffix("\r")
    document = document.edited(replaced) if replaced else document
    grant = document.get(old)
    others = [account for account in grant.accounts if account != new] if grant else []
    if not keep and (new in document or not others):
        document = notes.without(document, document.positions(old))
    elif not keep:
        document = virtual.remove_recipients(document, old, [new])
        places = {at: rekeyed(document.line(at), new) for at in document.positions(old)}
        return document.edited({**places})
    for account in others:
        there = document.get(new)
        if there is None or account not in there.accounts:
            document = virtual.add_recipient(document, new, account)
    return document
