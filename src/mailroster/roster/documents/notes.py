"""Notes: comment lines with the word `mailroster:` directly above an entry, which belong to it.

    note = "#" "mailroster:" ( "comment" text / "until" moment / "allow" code *( blank code ) )

    # mailroster: comment on leave, ask jane
    # mailroster: until 2026-12-31
    john.doe@example.com|{SHA512-CRYPT}!$6$Fp…

Blanks are allowed around each word. Servers and other tools read a note as a comment. If an entry
is deleted or moved, its notes are too; every other comment belongs to the user and stays. The forms
of `until` are in mailroster.base.end_date.
"""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from mailroster.base.end_date import end_of
from mailroster.base.findings import ParseError, Refused
from mailroster.roster.documents.document import Document

E = TypeVar("E")

#: The longest comment, in characters.
COMMENT_MAX = 200
#: A word that every line of a note contains.
WORD = "mailroster:"
KNOWN = COMMENT, UNTIL, ALLOW = "comment", "until", "allow"
_BLANKS = " \t\r\ufeff"


class Notes(NamedTuple):
    """The notes of one entry; empty if it has none."""

    comment: str = ""
    until: str = ""
    allow: tuple[str, ...] = ()


def comment_text(text: str) -> str:
    """A text as a comment, without blanks around it. Raises Refused for line breaks, control
    characters, text that is not UTF-8, and text that is too long."""
    text = text.strip(" ")
    if not text.isprintable():
        raise Refused("the comment has a line break or another character that can't be shown")
    if len(text) > COMMENT_MAX:
        raise Refused(f"the comment has {len(text)} characters; write at most {COMMENT_MAX}")
    return text


def words(line: str) -> tuple[str, str] | None:
    """The word of a note and the text behind it; None if a physical line is not a note. Notes with
    an unknown word are notes too."""
    text = line.strip(_BLANKS)
    if text[:1] != "#":
        return None
    text = text[1:].lstrip(" \t")
    if not text.startswith(WORD):
        return None
    word, *rest = text.removeprefix(WORD).split(None, 1) or [""]
    return word, rest[0].strip(_BLANKS) if rest else ""


def lines_of_notes(document: Document[E], position: int) -> list[int]:
    """The positions of the notes of an entry, in the order of the file."""
    positions: list[int] = []
    above = document.above(position)
    while above is not None and words(document.line(above)) is not None:
        positions.append(above)
        above = document.above(above)
    return positions[::-1]


def notes_of(document: Document[E], position: int) -> Notes:
    """The notes of the entry at a position. Several comments are joined, the first `until` counts,
    and so do the codes of every `allow`."""
    comments: list[str] = []
    untils: list[str] = []
    codes: list[str] = []
    for note in lines_of_notes(document, position):
        word, text = words(document.line(note)) or ("", "")
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
    """Replaces the notes of the entry at a position; empty notes are removed.

    Notes that do not change keep their spelling, and a note with an unknown word stays. The texts
    contain no line break: see `comment_text`.
    """
    if notes == notes_of(document, position):
        return document
    return document.edited(annotating(document, position, notes))


def annotating(
    document: Document[E], position: int, notes: Notes, line: str | None = None
) -> dict[int, str | None]:
    """The edits that give an entry these notes, and another line if one is given. By position."""
    entry = document.line(position).removesuffix("\r") if line is None else line
    if notes == notes_of(document, position):
        return {position: entry}
    lines = [each for each in note_lines(notes) if "\n" not in each]
    assert len(lines) == len(note_lines(notes)), "one note is one line"
    end = "\r\n" if document.newline() == "\r\n" else "\n"
    old = lines_of_notes(document, position)
    removed = [at for at in old if (words(document.line(at)) or ("", ""))[0] in KNOWN]
    above = "".join(f"{each}{end}" for each in lines)
    return {**dict.fromkeys(removed), position: above + entry}


def without(document: Document[E], positions: Iterable[int]) -> Document[E]:
    """Removes the entries at some positions with their notes."""
    removed = dict.fromkeys(
        each for at in positions for each in (*lines_of_notes(document, at), at)
    )
    return document.edited(dict.fromkeys(removed)) if removed else document


def removing(document: Document[E], position: int) -> dict[int, str | None]:
    """The edits that remove an entry with its notes, by position."""
    return dict.fromkeys([*lines_of_notes(document, position), position])


def noted(document: Document[E]) -> dict[int, Notes]:
    """The notes of every entry that has notes, by its position, in the order of the file."""
    entries = dict.fromkeys(entries_of_notes(document).values())
    return {entry: notes_of(document, entry) for entry in entries if entry is not None}


def entries_of_notes(document: Document[E]) -> dict[int, int | None]:
    """The position of each note, in the order of the file, with the position of its entry; None if
    no entry is below it. Each line is read once, however many notes follow each other."""
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
    """Raises ParseError if a line is a note that can't be read."""
    word, text = words(line) or (COMMENT, "")
    if word == UNTIL:
        end_of(text)
    elif word not in KNOWN:
        hint = f"write one of {', '.join(KNOWN)} behind '# {WORD}'"
        raise ParseError("unknown-note", f"{word!r} is not a kind of note", hint)
