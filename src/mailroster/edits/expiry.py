"""The verb of end dates: what an `until` says when its time is over.

An alias goes, and so does a restriction; a locked account is unlocked, and one that isn't is
locked. Anywhere else an `until` means nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mailroster.base.end_date import end_of
from mailroster.base.findings import ParseError
from mailroster.edits.locks import Rehash, because, locking, unlocking
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import UNTIL, Notes, annotating, noted, removing, words
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.credentials import is_locked
from mailroster.roster.roster import Roster

Edits = Mapping[int, str | None]


def expire(roster: Roster, now: str, rehash: Rehash) -> Roster:
    """With all that is over at a moment, YYYY-MM-DDThh:mm:ss in local time, put into effect."""
    rules: dict[str, Callable[[Document[Any], int, Notes], Edits]] = {
        "accounts": lambda document, position, notes: _account(document, position, notes, rehash),
        "virtual": _gone,
        "send_access": _gone,
        "receive_access": _gone,
    }
    documents: dict[str, Any] = {}
    for field, rule in rules.items():
        document = getattr(roster, field)
        edits: dict[int, str | None] = {}
        for position, notes in noted(document).items():
            if is_over(notes.until, now) and document.readable(document.line(position)):
                edits |= rule(document, position, notes)
        if edits:
            documents[field] = document.edited(edits)
    return roster._replace(**documents) if documents else roster


def is_over(until: str, now: str) -> bool:
    """Whether an `until` is over at a moment; one that can't be read never is."""
    if not until:
        return False
    try:
        return end_of(until) <= now
    except ParseError:
        return False


def ends_in(line: str) -> str:
    """When an entry ends, if a physical line is a note that says so; else ""."""
    word, until = words(line) or ("", "")
    try:
        return end_of(until) if word == UNTIL else ""
    except ParseError:
        return ""


def _account(document: Document[Account], position: int, notes: Notes, rehash: Rehash) -> Edits:
    account = document.readable(document.line(position))
    assert account is not None, "it has been read"
    if not is_locked(account.password):
        ended = because(notes._replace(until=""), f"it ended with {notes.until}")
        return locking(document, position, ended, rehash)
    try:
        return unlocking(document, position)
    except ParseError:  # no password to log in with: the lock stays
        return annotating(document, position, notes._replace(until=""))


def _gone(document: Document[Any], position: int, notes: Notes) -> Edits:
    """Without the entry; if it counts, without the other lines of its key, which must not come to
    count in its place."""
    key = document.format.key(document.line(position))
    counts = document.position(key) == position
    places = document.positions(key) if counts else [position]
    return {at: None for place in places for at in removing(document, place)}
