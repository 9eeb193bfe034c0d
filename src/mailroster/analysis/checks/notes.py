"""Rules about notes."""

from collections.abc import Iterator

from mailroster.analysis.checks.subject import Subject
from mailroster.base.findings import WARNING, Finding, ParseError
from mailroster.roster.documents.notes import (
    ALLOW,
    COMMENT,
    UNTIL,
    check_note,
    entries_of_notes,
    words,
)
from mailroster.roster.roster import ENDING


def amiss(subject: Subject) -> Iterator[Finding]:
    """A note that can't be read, belongs to no entry, or means nothing where it stands."""
    for field, document in subject.roster.documents():
        for position, entry in entries_of_notes(document).items():
            found = words(document.line(position))
            if found is None or found[0] == ALLOW:  # what is allowed for nothing is told elsewhere
                continue
            where = document.location(position)
            try:
                check_note(document.line(position))
            except ParseError as fault:
                yield fault.at(where)
                continue
            if entry is None:
                message = "the note belongs to no entry"
                yield Finding(where, WARNING, "stray-note", message, _ABOVE)
            elif found[0] == UNTIL and field not in ENDING:
                message = f"nothing in {document.format.file} has an end date"
                yield Finding(
                    where, WARNING, "until-without-effect", message, f"make it a {COMMENT}"
                )


_ABOVE = "put it directly above an entry, or remove it"
