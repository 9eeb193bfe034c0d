"""Notes: comment lines of ours directly above an entry, which belong to it.

    note = "#" "mailroster:" ( "comment" text / "until" moment / "allow" code *( blank code ) )

    # mailroster: comment on leave, ask jane
    # mailroster: until 2026-12-31
    john.doe@example.com|{SHA512-CRYPT}!$6$Fp…

Blanks may stand around each word. To every server and to other tools a note is a comment. Who
deletes or moves an entry takes its notes along; every other comment is the user's and stays. What
an `until` may be says mailroster.base.end_date.
"""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from mailroster.base.end_date import end_of
from mailroster.base.findings import ParseError, Refused
from mailroster.roster.documents.document import Document

E = TypeVar("E")

#: The longest comment, in characters.
COMMENT_MAX = 200
#: What every line of a note holds.
WORD = "mailroster:"
KNOWN = COMMENT, UNTIL, ALLOW = "comment", "until", "allow"
_BLANKS = " \t\r\ufeff"


class Notes(NamedTuple):
    """What is noted about one entry; empty is what isn't."""

    comment: str = ""
    until: str = ""
    allow: tuple[str, ...] = ()


def comment_text(text: str) -> str:
    """A text that can stand as a comment, without the blanks around it. Refused: line breaks,
    control characters, what is not UTF-8, and what is too long."""
    text = text.strip(" ")
    if not text.isprintable():
        raise Refused("the comment has a line break or another character that can't be shown")
    if len(text) > COMMENT_MAX:
        raise Refused(f"the comment has {len(text)} characters; take {COMMENT_MAX} at most")
    return text


def words(line: str) -> tuple[str, str] | None:
    """The word of a note and the text behind it; None if a physical line is no note. A word that
    we don't know is one too."""
    text = line.strip(_BLANKS)
    if text[:1] != "#":
        return None
    text = text[1:].lstrip(" \t")
    if not text.startswith(WORD):
        return None
    word, *rest = text.removeprefix(WORD).split(None, 1) or [""]
    return word, rest[0].strip(_BLANKS) if rest else ""


def lines_of_notes(document: Document[E], position: int) -> list[int]:
    """Where the notes of the entry at a position stand, in the order of the file."""
    found: list[int] = []
    above = document.above(position)
    while above is not None and words(document.line(above)) is not None:
        found.append(above)
        above = document.above(above)
    return found[::-1]


def notes_of(document: Document[E], position: int) -> Notes:
    """What is noted about the entry at a position. Several comments are one text, the first
    `until` counts, and the codes of every `allow`."""
    comments: list[str] = []
    untils: list[str] = []
    codes: list[str] = []
    for place in lines_of_notes(document, position):
        word, text = words(document.line(place)) or ("", "")
        if word == COMMENT and text:
            comments.append(text)
        elif word == UNTIL and text:
            untils.append(text)
        elif word == ALLOW:
            codes += text.split()
    return Notes(" ".join(comments), "".join(untils[:1]), tuple(dict.fromkeys(codes)))


def note_lines(notes: Notes) -> list[str]:
    """The notes as lines of a file."""
    texts = ((COMMENT, notes.comment), (UNTIL, notes.until), (ALLOW, " ".join(notes.allow)))
    return [f"# {WORD} {word} {text}" for word, text in texts if text]


def annotated(document: Document[E], position: int, notes: Notes) -> Document[E]:
    """The same with other notes about the entry at a position; without notes their lines go.

    What is noted already keeps its spelling, and a note with a word that we don't know stays. The
    texts hold no line break: see `comment_text`.
    """
    if notes == notes_of(document, position):
        return document
    return document.edited(annotating(document, position, notes))


def annotating(
    document: Document[E], position: int, notes: Notes, line: str | None = None
) -> dict[int, str | None]:
    """What has to be edited so that an entry has these notes; with another line for it."""
    entry = document.line(position).removesuffix("\r") if line is None else line
    if notes == notes_of(document, position):
        return {position: entry}
    lines = [some for some in note_lines(notes) if "\n" not in some]
    assert len(lines) == len(note_lines(notes)), "one note is one line"
    end = "\r\n" if document.newline() == "\r\n" else "\n"
    old = lines_of_notes(document, position)
    removed = [at for at in old if (words(document.line(at)) or ("", ""))[0] in KNOWN]
    above = "".join(f"{some}{end}" for some in lines)
    return {**dict.fromkeys(removed), position: above + entry}


def without(document: Document[E], positions: Iterable[int]) -> Document[E]:
    """The same without the entries at some positions, and without their notes."""
    removed = dict.fromkeys(
        place for at in positions for place in (*lines_of_notes(document, at), at)
    )
    return document.edited(dict.fromkeys(removed)) if removed else document


def removing(document: Document[E], position: int) -> dict[int, str | None]:
    """What has to be edited so that an entry and its notes are gone."""
    return dict.fromkeys([*lines_of_notes(document, position), position])


def noted(document: Document[E]) -> dict[int, Notes]:
    """The notes of every line that has any, by its position, in the order of the file."""
    entries = dict.fromkeys(entries_of_notes(document).values())
    return {entry: notes_of(document, entry) for entry in entries if entry is not None}


def entries_of_notes(document: Document[E]) -> dict[int, int | None]:
    """By the position of each note, in the order of the file: the position of the entry to which
    it belongs, None if it stands above no entry. Each line is read once, however many notes stand
    one below the other."""
    entries: dict[int, int | None] = {}
    for note in reversed(document.holding(WORD)):
        if words(document.line(note)) is None:
            continue
        below = document.below(note)
        if below in entries:
            entries[note] = entries[below]
        else:
            is_entry = below is not None and document.format.key(document.line(below))
            entries[note] = below if is_entry else None
    return dict(reversed(entries.items()))


def check_note(line: str) -> None:
    """Raises ParseError for a note that can't be read; for what is no note nothing."""
    word, text = words(line) or (COMMENT, "")
    if word == UNTIL:
        end_of(text)
    elif word not in KNOWN:
        hint = f"write one of {', '.join(KNOWN)} behind '# {WORD}'"
        raise ParseError("unknown-note", f"there is no note {word!r}", hint)
