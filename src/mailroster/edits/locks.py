"""Edits that lock and unlock accounts. A locked account can't log in, but still gets mail.

The mark is in the hash (mailroster.roster.formats.credentials). The reason is at the end of the
account's comment, behind "locked: ", and the end of the lock is in its `until`: unlocking removes
both.
"""

from collections.abc import Callable

from mailroster.base.address import Address
from mailroster.base.findings import Refused
from mailroster.edits.notes import NoteChange
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import Notes, annotating, notes_of
from mailroster.roster.formats import accounts
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.credentials import is_clear, is_locked, locked, unlocked
from mailroster.roster.roster import Roster

_REASON = "locked: "
_BETWEEN = "; "

#: Hashes a clear-text password, `{PLAIN}password`.
Rehash = Callable[[str], str]


def lock(roster: Roster, address: Address, change: NoteChange, rehash: Rehash) -> Roster:
    """Locks an account, with a reason and an end if the change has them. An account that is locked
    already keeps those that the change leaves out."""
    document = roster.accounts
    position, account = _account_line(document, address)
    notes = notes_of(document, position)
    if not is_locked(account.password):
        notes = notes._replace(until="")
    comment, reason = _split(notes.comment)
    reason = reason if change.comment is None else change.comment
    notes = notes._replace(comment=_join(comment, reason))
    notes = NoteChange(until=change.until).apply_to(notes)
    return roster._replace(accounts=document.edited(locking(document, position, notes, rehash)))


def locking(
    document: Document[Account], position: int, notes: Notes, rehash: Rehash
) -> dict[int, str | None]:
    """The changed lines that lock the account at a position, with these notes."""
    account = document.readable(document.line(position))
    assert account is not None, "the line can be read"
    hash = rehash(account.password) if is_clear(account.password) else account.password
    line = accounts.changed_line(document.line(position), locked(hash))
    return annotating(document, position, notes, line)


def unlock(roster: Roster, address: Address) -> Roster:
    """Unlocks an account; one that isn't locked stays as it is. Raises ParseError if there is no
    password behind the lock."""
    position, account = _account_line(roster.accounts, address)
    if not is_locked(account.password):
        return roster
    return roster._replace(accounts=roster.accounts.edited(unlocking(roster.accounts, position)))


def unlocking(document: Document[Account], position: int) -> dict[int, str | None]:
    """The changed lines that unlock the account at a position. Raises ParseError."""
    account = document.readable(document.line(position))
    assert account is not None, "the line can be read"
    line = accounts.changed_line(document.line(position), unlocked(account.password))
    notes = notes_of(document, position)
    notes = notes._replace(until="", comment=_split(notes.comment)[0])
    return annotating(document, position, notes, line)


def with_reason(notes: Notes, reason: str) -> Notes:
    """Notes with another reason of the lock."""
    return notes._replace(comment=_join(_split(notes.comment)[0], reason))


def _account_line(document: Document[Account], address: Address) -> tuple[int, Account]:
    position, account = document.position(address), document.get(address)
    if position is None or account is None:
        raise Refused(f"there is no account {address!r}")
    return position, account


def _split(comment: str) -> tuple[str, str]:
    """The parts of a comment about the account and about its lock."""
    if comment.startswith(_REASON):
        return "", comment.removeprefix(_REASON)
    text, _, reason = comment.partition(_BETWEEN + _REASON)
    return text, reason


def _join(comment: str, reason: str) -> str:
    return _BETWEEN.join(filter(None, (comment, reason and _REASON + reason)))
