"""Edits of app passwords (`dovecot-app-passwords.cf`). Each takes a roster and returns the edited
one, or raises Refused."""

from mailroster.base.address import Address, split
from mailroster.base.findings import Refused
from mailroster.edits.rewrite import rewrite
from mailroster.roster.documents import notes
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import app_passwords
from mailroster.roster.formats.app_passwords import AppPassword
from mailroster.roster.roster import Roster


def add(roster: Roster, entry: AppPassword) -> Roster:
    """Adds an app password. Refused if there is no such account, or if it has one with this
    label."""
    if entry.address not in roster.accounts:
        raise Refused(f"there is no account {entry.address!r}")
    if entry.key in roster.app_passwords:
        raise Refused(
            f"{entry.address!r} has an app password {entry.label!r} already; delete it first, or "
            "choose another label"
        )
    return roster._replace(app_passwords=roster.app_passwords.append(app_passwords.line(entry)))


def delete(roster: Roster, account: Address, labels: list[str]) -> Roster:
    """Deletes app passwords of an account. Refused if there is no such app password."""
    document = roster.app_passwords
    for label in labels:
        positions = document.positions(app_passwords.key(account, label))
        if not positions:
            raise Refused(f"{account!r} has no app password {label!r}")
        document = notes.without(document, positions)
    return roster._replace(app_passwords=document)


def without(document: Document[AppPassword], account: Address) -> Document[AppPassword]:
    """Deletes every app password of an account."""
    for key in document.keys_mentioning(*split(account)):
        document = notes.without(document, document.positions(key))
    return document


def renamed(document: Document[AppPassword], old: Address, new: Address) -> Document[AppPassword]:
    """Moves the app passwords of an account to its new address, and deletes those that the new
    address had without an account."""
    document = without(document, new)

    def with_address(line: str) -> str:
        name, bar, rest = line.removesuffix("\r").partition("|")
        return name.replace(name.strip(" \t\ufeff"), new, 1) + bar + rest

    return rewrite(document, document.keys_mentioning(*split(old)), with_address)
