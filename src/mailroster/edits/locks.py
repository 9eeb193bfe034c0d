"""The verbs of locks: an account that can't log in, and gets its mail all the same.

The mark is in the hash (mailroster.roster.formats.credentials). Why it is locked stands at the end
of the account's comment, behind "locked: ", and until when in its `until`: both go with the lock.
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

#: Makes a hash of a password that stands in clear, as `{PLAIN}password`.
Rehash = Callable[[str], str]


def lock(roster: Roster, address: Address, said: NoteChange, rehash: Rehash) -> Roster:
    """With an account locked, for a reason and until a moment if they are said; what was said of a
    lock that is there already, and isn't said anew, stays."""
    document = roster.accounts
    position, account = _known(document, address)
    notes = notes_of(document, position)
    if not is_locked(account.password):
        notes = notes._replace(until="")
    comment, reason = _parted(notes.comment)
    reason = reason if said.comment is None else said.comment
    notes = NoteChange(until=said.until).over(notes._replace(comment=_joined(comment, reason)))
    return roster._replace(accounts=document.edited(locking(document, position, notes, rehash)))


def locking(
    document: Document[Account], position: int, notes: Notes, rehash: Rehash
) -> dict[int, str | None]:
    """What has to be edited so that the account at a position is locked, with these notes."""
    account = document.readable(document.line(position))
    assert account is not None, "it can be read"
    hash = rehash(account.password) if is_clear(account.password) else account.password
    line = accounts.changed_line(document.line(position), locked(hash))
    return annotating(document, position, notes, line)


def unlock(roster: Roster, address: Address) -> Roster:
    """Without the lock of an account, its reason and its end; one that isn't locked stays as it is.
    Raises ParseError if there is no password behind the lock."""
    position, account = _known(roster.accounts, address)
    if not is_locked(account.password):
        return roster
    return roster._replace(accounts=roster.accounts.edited(unlocking(roster.accounts, position)))


def unlocking(document: Document[Account], position: int) -> dict[int, str | None]:
    """The edit that unlocks the account at a position. Raises ParseError."""
    account = document.readable(document.line(position))
    assert account is not None, "it can be read"
    line = accounts.changed_line(document.line(position), unlocked(account.password))
    notes = notes_of(document, position)
    notes = notes._replace(until="", comment=_parted(notes.comment)[0])
    return annotating(document, position, notes, line)


def because(notes: Notes, reason: str) -> Notes:
    """Notes with another reason of the lock."""
    return notes._replace(comment=_joined(_parted(notes.comment)[0], reason))


def _known(document: Document[Account], address: Address) -> tuple[int, Account]:
    position, account = document.position(address), document.get(address)
    if position is None or account is None:
        raise Refused(f"there is no account {address!r}")
    return position, account


def _parted(comment: str) -> tuple[str, str]:
    """What a comment says of the account, and of its lock."""
    if comment.startswith(_REASON):
        return "", comment.removeprefix(_REASON)
    text, _, reason = comment.partition(_BETWEEN + _REASON)
    return text, reason


def _joined(comment: str, reason: str) -> str:
    return _BETWEEN.join(filter(None, (comment, reason and _REASON + reason)))
