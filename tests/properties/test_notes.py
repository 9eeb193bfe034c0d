"""Laws of notes: any bytes around them survive; what is noted is read back, and goes along."""

from collections.abc import Callable
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from mailroster.base.findings import Refused
from mailroster.edits.expiry import expire
from mailroster.roster.documents.document import MARK, Document
from mailroster.roster.documents.format import Format
from mailroster.roster.documents.notes import (
    COMMENT_MAX,
    WORD,
    Notes,
    annotated,
    comment_text,
    lines_of_notes,
    noted,
    notes_of,
    without,
    words,
)
from mailroster.roster.formats.virtual import VIRTUAL, remove_recipients
from mailroster.roster.roster import ENDING, Roster
from tests.support.large_documents import KEYS, apply, ended, formats, indexed, same
from tests.support.large_documents import edits as steps
from tests.support.texts import FORMATS, HASH, PIECES, document

_NOTES = (
    b"# mailroster: comment a  b\n", b"#mailroster:until 2026-12-31\r\n",
    b" # mailroster: allow x y\n", b"# mailroster comment\n",
    b"# mailroster: allow\n", b"# mailroster:\n", b"# mailroster: colour red\n",
    b"# mailroster: until\n", b"\xef\xbb\xbf# mailroster: comment \xff\n", b"#\n", b" c@x.com\n",
)  # fmt: skip
_ENTRIES = (
    b"a@x.com|{PLAIN}y\n", b"b@x.com:1G\r\n", b"a@x.com b@x.com\n", b"info q@x.com\n", b"@x.com a\n"
)  # fmt: skip
texts = st.lists(
    st.sampled_from([*_NOTES, *_NOTES, *_ENTRIES, *_ENTRIES, *PIECES]) | st.binary(max_size=2),
    max_size=25,
).map(b"".join)
comments = st.text(max_size=30).filter(str.isprintable).map(comment_text)
codes = st.lists(st.text("abc-", min_size=1, max_size=5), max_size=3, unique=True).map(tuple)
notes = st.builds(Notes, comments, st.sampled_from(["", "2026-12-31", "2026-12-31T18:00"]), codes)
every_format = st.sampled_from(FORMATS)


def entries(document: Document[Any]) -> dict[str, int]:
    return {key: place for key in document.index if (place := document.position(key)) is not None}


def others(document: Document[Any], key: str) -> list[str]:
    """Every logical line but the notes above the entry of a key that we know."""
    position = document.position(key)
    assert position is not None
    removed = [
        place
        for place in lines_of_notes(document, position)
        if (words(document.line(place)) or ("",))[0] in ("comment", "until", "allow")
    ]
    return [line for place, line in enumerate(document.lines) if place not in removed]


@given(every_format, texts, notes, notes)
def test_what_is_noted_is_read_back_and_nothing_else_changes(
    format: Format[Any], content: bytes, first: Notes, second: Notes
) -> None:
    before = document(format, content)
    for key, position in entries(before).items():
        once = annotated(before, position, first)
        now = once.position(key)
        assert now is not None
        assert notes_of(once, now) == first
        assert others(once, key) == others(before, key)
        again = annotated(once, now, second)
        if second != first and first != notes_of(before, position) != second:
            assert bytes(again) == bytes(annotated(before, position, second))
        assert annotated(once, now, first) is once


@given(every_format, texts, notes)
def test_to_note_nothing_takes_away_what_was_noted(
    format: Format[Any], content: bytes, some: Notes
) -> None:
    before = document(format, content)
    for key, position in entries(before).items():
        noted = annotated(before, position, some)
        now = noted.position(key)
        assert now is not None
        bare = annotated(noted, now, Notes())
        if notes_of(before, position) == Notes():
            # a note of ours without any text says nothing, and goes if others come or go
            kept = [line for line in before.lines if words(line) not in _EMPTY]
            assert [line for line in bare.lines if words(line) not in _EMPTY] == kept
            if some == Notes() or len(kept) == len(before.lines):
                assert bytes(bare) == content
        assert bare.text.count("\n") <= before.text.count("\n")


_EMPTY = (("comment", ""), ("until", ""), ("allow", ""))


@given(every_format, texts)
def test_notes_go_with_their_entry_and_every_other_line_stays(
    format: Format[Any], content: bytes
) -> None:
    before = document(format, content)
    for key in before.index:
        positions = before.positions(key)
        removed = {place for at in positions for place in (*lines_of_notes(before, at), at)}
        kept = [line for place, line in enumerate(before.lines) if place not in removed]
        after = without(before, positions)
        assert all(words(before.line(at)) for at in removed - set(positions))
        texts = (text.removeprefix(MARK) for text in (after.text, "\n".join(kept)))  # which stays
        now, expected = ([line for line in text.split("\n") if line] for text in texts)
        assert now == expected


@given(texts)
def test_notes_go_with_the_last_recipient(content: bytes) -> None:
    noted = b"# mine\n# mailroster: until 2026-12-31\n"
    before = document(VIRTUAL, noted + b"z@z a@z,b@z\ny@z y@y\n" + content)
    assume(len(before.positions("z@z")) == 1)
    half = remove_recipients(before, "z@z", ["a@z"])
    assert bytes(half).startswith(noted + b"z@z b@z\n")
    removed = remove_recipients(half, "z@z", ["b@z"])
    assert bytes(removed) == b"# mine\ny@z y@y\n" + content


@given(formats, texts, steps, notes)
def test_a_large_file_takes_notes_as_a_small_one(
    format: Format[Any], content: bytes, some_steps: Any, some: Notes
) -> None:
    content = ended(content)
    large = apply(indexed(format, content), some_steps)
    small = apply(document(format, content), some_steps)
    for key in KEYS:
        places = list(zip(large.positions(key), small.positions(key), strict=True))
        for one, other in places:
            assert _run(large, one, large.above) == _run(small, other, small.above)
            below = _run(small, other, small.below)
            if below[-1:] == [""] and small.text.endswith("\n"):
                below.pop()  # behind the last line feed
            assert _run(large, one, large.below) == below
            assert notes_of(large, one) == notes_of(small, other)
            same(annotated(large, one, some), annotated(small, other, some))
        same(without(large, [p for p, _ in places]), without(small, [p for _, p in places]))


def _run(document: Document[Any], position: int, step: Callable[[int], int | None]) -> list[str]:
    """All lines that follow on a position, in one direction."""
    found: list[str] = []
    at = step(position)
    while at is not None:
        found.append(document.line(at))
        at = step(at)
    return found


@given(formats, texts, steps)
def test_the_notes_of_a_large_file_are_found_as_those_of_a_small_one(
    format: Format[Any], content: bytes, some_steps: Any
) -> None:
    content = ended(content)
    large = apply(indexed(format, content), some_steps)
    small = apply(document(format, content), some_steps)
    assert large.has(WORD) == small.has(WORD)
    assert [large.line(p) for p in large.holding(WORD)] == [
        small.line(p) for p in small.holding(WORD)
    ]
    ours = [(large.line(p), notes) for p, notes in noted(large).items()]
    theirs = [(small.line(p), notes) for p, notes in noted(small).items()]
    assert ours == theirs


@given(st.sampled_from(ENDING), texts, steps)
def test_what_is_over_ends_in_a_large_file_as_in_a_small_one_and_once(
    field: str, content: bytes, some_steps: Any
) -> None:
    format = getattr(Roster(), field).format
    content = ended(content)
    results = []
    for before in (indexed(format, content), document(format, content)):
        fields: dict[str, Any] = {field: apply(before, some_steps)}
        after = expire(Roster(**fields), "2027-01-01T00:00:00", lambda _: HASH)
        assert expire(after, "2027-01-01T00:00:00", lambda _: HASH) is after
        results.append(getattr(after, field))
    same(*results)


@given(every_format, texts)
def test_whatever_has_notes_is_found(format: Format[Any], content: bytes) -> None:
    before = document(format, content)
    having = [
        place
        for place, line in enumerate(before.lines)
        if format.key(line) and lines_of_notes(before, place)
    ]
    assert list(noted(before)) == having


@given(st.text(max_size=20) | st.text("a ", max_size=300))
def test_a_comment_is_one_line_that_is_read_back_or_refused(text: str) -> None:
    try:
        comment = comment_text(text)
    except Refused:
        assert len(text.strip(" ")) > COMMENT_MAX or not text.strip(" ").isprintable()
        return
    after = annotated(document(VIRTUAL, b"a b\n"), 0, Notes(comment))
    assert len(after.lines) == (3 if comment else 2)
    assert notes_of(after, after.positions("a")[0]) == Notes(comment)
