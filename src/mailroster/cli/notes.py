"""The notes of an entry: the options `--comment` and `--until`, and how lists show notes."""

import time
from typing import TypeVar

from mailroster.base.end_date import end_of
from mailroster.base.findings import ParseError, Refused, UsageError, printable
from mailroster.cli.call import Call
from mailroster.edits.notes import NoteChange
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import Notes, comment_text, noted

E = TypeVar("E")

_SPANS_S = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
#: A longer span is a mistake.
_SPAN_MAX_S = 100 * 366 * 86400
#: int() raises ValueError for thousands of digits (sys.int_info).
_DIGITS_MAX = 20


def note_change(call: Call) -> NoteChange:
    """The change of the notes that the options request. Raises Refused or UsageError."""
    comment, until = call.options.get("--comment"), call.options.get("--until")
    return NoteChange(
        None if comment is None else comment_text(comment),
        None if until is None else until_of(until, time.time()),
    )


def until_of(text: str, now_s: float) -> str:
    """The end date, as a file holds it, of a date, a time or a span from now. A span in seconds
    ends at a second, any other span at a minute, rounded up. Raises Refused for a time in the past,
    and UsageError."""
    text = text.strip()
    unit = text.lstrip("0123456789")
    count = text.removesuffix(unit) if unit else ""
    if count and unit in ("m", "M"):
        raise UsageError(
            f"{text!r} may mean minutes or months; write {count}min, a span in days such as 30d, "
            "or a date"
        )
    if count and unit in _SPANS_S:
        span_s = int(count) * _SPANS_S[unit] if len(count) < _DIGITS_MAX else 0
        if not 0 < span_s <= _SPAN_MAX_S:
            raise Refused(f"{text!r} is not a possible span of time; the longest is 100 years")
        if unit == "s":
            return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now_s + span_s))
        return time.strftime("%Y-%m-%dT%H:%M", time.localtime(now_s + span_s + 59))
    if not text:
        return ""
    try:
        end = end_of(text)
    except ParseError as fault:
        hint = "give 2026-12-31, 2026-12-31T18:00, or a span such as 30d, 12h or 45min"
        raise UsageError(f"{fault.message}; {hint}") from None
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now_s))
    if end <= now:
        raise Refused(f"{text!r} is in the past; it is {now} now")
    return text


def notes_by_key(document: Document[E]) -> dict[str, Notes]:
    """The notes of all entries in effect, by key."""
    result = {}
    for position, notes in noted(document).items():
        key = document.format.key(document.line(position))
        if document.position(key) == position:
            result[key] = notes
    return result


def note_lines(notes: Notes | None, *, locked: bool = False) -> str:
    """The notes below an entry of a list for people: `"\\n    [ until 2026-12-31 ]"`."""
    notes = notes or Notes()
    until = f"until {notes.until}" if notes.until else ""
    state = f"locked {until}".rstrip() if locked else until
    return "".join(f"\n    [ {printable(text)} ]" for text in (state, notes.comment) if text)


def note_fields(notes: Notes | None) -> dict[str, str | None]:
    """The JSON fields of notes."""
    notes = notes or Notes()
    return {"comment": notes.comment or None, "until": notes.until or None}
