"""Edits of notes: the comment and the end date of an entry.

Only the entry that counts for its key is annotated; other lines with the key keep their notes.
"""

from typing import Any, NamedTuple

from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import Notes, annotated, notes_of
from mailroster.roster.roster import Roster


class NoteChange(NamedTuple):
    """The notes that a command sets on an entry: None for no change, "" to remove a note."""

    comment: str | None = None
    until: str | None = None

    def apply_to(self, notes: Notes) -> Notes:
        return notes._replace(
            comment=notes.comment if self.comment is None else self.comment,
            until=notes.until if self.until is None else self.until,
        )

    def __bool__(self) -> bool:
        return self != NoteChange()


def annotate(roster: Roster, field: str, key: str, change: NoteChange) -> Roster:
    """Changes the notes of the entry for a key of a file; without an entry nothing changes."""
    document: Document[Any] = getattr(roster, field)
    return annotate_at(roster, field, document.position(key) if change else None, change)


def annotate_at(roster: Roster, field: str, position: int | None, change: NoteChange) -> Roster:
    """Changes the notes of the entry at a position."""
    if position is None or not change:
        return roster
    document: Document[Any] = getattr(roster, field)
    after = annotated(document, position, change.apply_to(notes_of(document, position)))
    documents: dict[str, Any] = {field: after}
    return roster._replace(**documents)
