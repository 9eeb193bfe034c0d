"""The verbs of notes: a comment and an end date on an entry that is there.

Whether an entry counts is asked of its document; other lines with its key keep their own notes.
"""

from typing import Any, NamedTuple

from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import Notes, annotated, notes_of
from mailroster.roster.roster import Roster


class NoteChange(NamedTuple):
    """What a command says about an entry; None where it says nothing, "" to take a note away."""

    comment: str | None = None
    until: str | None = None

    def over(self, notes: Notes) -> Notes:
        """Some notes with what is said in their place."""
        return notes._replace(
            comment=notes.comment if self.comment is None else self.comment,
            until=notes.until if self.until is None else self.until,
        )

    def __bool__(self) -> bool:
        return self != NoteChange()


def annotate(roster: Roster, field: str, key: str, said: NoteChange) -> Roster:
    """With notes on the entry that counts for a key of a file; without one nothing changes."""
    document: Document[Any] = getattr(roster, field)
    return annotate_at(roster, field, document.position(key) if said else None, said)


def annotate_at(roster: Roster, field: str, position: int | None, said: NoteChange) -> Roster:
    """With notes on the entry at a position."""
    if position is None or not said:
        return roster
    document: Document[Any] = getattr(roster, field)
    after = annotated(document, position, said.over(notes_of(document, position)))
    documents: dict[str, Any] = {field: after}
    return roster._replace(**documents)
