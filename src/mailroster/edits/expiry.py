"""The edit that puts expired end dates (`until`) into effect.

An alias, a restriction or an app password is removed. A locked account is unlocked, any other is
locked. In other files an end date has no effect. The end date of an app password is in its own
line, that of another entry in a note above it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mailroster.base.end_date import end_of
from mailroster.base.findings import ParseError
from mailroster.edits.locks import Rehash, locking, unlocking, with_reason
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import UNTIL, Notes, annotating, noted, removing, words
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.app_passwords import AppPassword
from mailroster.roster.formats.credentials import is_locked
from mailroster.roster.roster import Roster

Edits = Mapping[int, str | None]


def expire(roster: Roster, now: str, rehash: Rehash) -> Roster:
    """Puts every end date into effect that has passed at `now`, YYYY-MM-DDThh:mm:ss in local
    time."""
    rules: dict[str, Callable[[Document[Any], int, Notes], Edits]] = {
        "accounts": lambda document, position, notes: _account(document, position, notes, rehash),
        "virtual": _remove,
        "send_access": _remove,
        "receive_access": _remove,
    }
    documents: dict[str, Any] = {}
    for field, rule in rules.items():
        document = getattr(roster, field)
        edits: dict[int, str | None] = {}
        for position, notes in noted(document).items():
            if has_expired(notes.until, now) and document.readable(document.line(position)):
                edits |= rule(document, position, notes)
        if edits:
            documents[field] = document.edited(edits)
    if edits := _app_passwords(roster.app_passwords, now):
        documents["app_passwords"] = roster.app_passwords.edited(edits)
    return roster._replace(**documents) if documents else roster


def has_expired(until: str, now: str) -> bool:
    """Whether an end date has passed; one that can't be read never has."""
    if not until:
        return False
    try:
        return end_of(until) <= now
    except ParseError:
        return False


def end_date_in(line: str) -> str:
    """The end date in a physical line, "" if it has none."""
    word, until = words(line) or ("", "")
    try:
        return end_of(until) if word == UNTIL else ""
    except ParseError:
        return ""


def end_date_of_app_password(line: str) -> str:
    """The end date in a physical line of dovecot-app-passwords.cf, "" if it has none."""
    options = line.split("|", 3)[3:]
    ends = [word for word in " ".join(options).split() if word.startswith(f"{UNTIL}=")]
    try:
        return end_of(ends[0].partition("=")[2]) if ends else ""
    except ParseError:
        return ""


def _app_passwords(document: Document[AppPassword], now: str) -> dict[int, str | None]:
    edits: dict[int, str | None] = {}
    for position in document.holding(f"{UNTIL}="):
        entry = document.readable(document.line(position))
        if entry is not None and has_expired(entry.until, now):
            edits |= _remove(document, position)
    return edits


def _account(document: Document[Account], position: int, notes: Notes, rehash: Rehash) -> Edits:
    account = document.readable(document.line(position))
    assert account is not None, "the line can be read"
    if not is_locked(account.password):
        reason = f"expired on {notes.until}"
        return locking(document, position, with_reason(notes._replace(until=""), reason), rehash)
    try:
        return unlocking(document, position)
    except ParseError:  # without a password the lock stays
        return annotating(document, position, notes._replace(until=""))


def _remove(document: Document[Any], position: int, _: Notes | None = None) -> Edits:
    """Removes the entry. If it counts, the other lines of its key are removed too: one of them
    would count in its place."""
    key = document.format.key(document.line(position))
    counts = document.position(key) == position
    places = document.positions(key) if counts else [position]
    return {at: None for place in places for at in removing(document, place)}
