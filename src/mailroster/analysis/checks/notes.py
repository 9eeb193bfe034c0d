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


def invalid(subject: Subject) -> Iterator[Finding]:
    """A note that can't be read, belongs to no entry, or has no effect in its file."""
    for field, document in subject.roster.documents():
        for position, entry in entries_of_notes(document).items():
            word, _ = words(document.line(position)) or (ALLOW, "")
            if word == ALLOW:  # `suppress` reports one that is not used
                continue
            where = document.location(position)
            try:
                check_note(document.line(position))
            except ParseError as fault:
                yield fault.at(where)
                continue
            if entry is None:
                message = "the note belongs to no entry"
                hint = "put it directly above an entry, or remove it"
                yield Finding(where, WARNING, "stray-note", message, hint)
            elif word == UNTIL and field not in ENDING:
                message = f"an end date has no effect in {document.format.file}"
                hint = f"write a {COMMENT} instead"
                yield Finding(where, WARNING, "until-without-effect", message, hint)
