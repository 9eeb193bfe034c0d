"""Laws of the history: what is noted of a change is enough to take it back, to the byte."""

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from mailroster.base.findings import Refused
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.documents.splices import Bytes, splices_between
from mailroster.roster.plan import plan
from mailroster.roster.roster import Roster
from mailroster.store.history.entry import HistoryEntry, parse
from mailroster.store.history.undo import revert
from mailroster.store.history.writer import command, entry, file_part
from tests.support.edit_cases import CASES, Case, cases, done, rosters
from tests.support.large_documents import PlainBase
from tests.support.texts import FORMATS, document, raw
from tests.support.texts import formats as all_formats

ROOM = 1 << 20
AUTHOR = "0:root - setup test"
#: Files of some lines, of which others may be moved, missing or doubled.
some_lines = st.lists(
    st.sampled_from([b"a@x.com|y", b"b@x.com|z", b"c@x.com d", b" e", b"# f", b"", b"g:1\r"]),
    max_size=8,
)
files = st.one_of(
    raw,
    st.builds(lambda some, end: b"\n".join(some) + end, some_lines, st.sampled_from([b"", b"\n"])),
)


def noted(before: Roster, after: Roster, number: int = 1) -> HistoryEntry:
    """What the history says of a change, as it is read again."""
    parts = [file_part(edit.before, edit.after, ROOM) for edit in plan(before, after).edits]
    found = parse(entry(number, "2026-12-31T23:59:59Z", AUTHOR, parts, done=True))
    assert found is not None
    assert found.done
    return found


def one_file(format: Format[Any], file: Document[Any]) -> Roster:
    field = next(f for f, d in Roster().documents() if d.format is format)
    documents: dict[str, Any] = {field: file}
    return Roster()._replace(**documents)


def texts(roster: Roster) -> list[bytes]:
    return [bytes(file) for _, file in roster.documents()]


@given(rosters(), st.lists(cases, max_size=6))
def test_undone_in_turn_each_edit_leaves_the_files_as_they_were(
    roster: Roster, some: list[Case]
) -> None:
    states, entries = [roster], []
    for case in some:
        after = done(case.verb, states[-1])
        if after is not None and texts(after) != texts(states[-1]):
            entries.append(noted(states[-1], after))
            states.append(after)
    now = states[-1]
    for state, change in zip(states[-2::-1], reversed(entries), strict=True):
        back = revert(now, change)
        assert texts(back) == texts(state)
        again = revert(back, noted(now, back))
        assert texts(again) == texts(now), "undone, an undo is a redo"
        now = back


@given(all_formats, files, files)
def test_any_two_files_are_told_apart_and_the_first_comes_back(
    format: Format[Any], old: bytes, new: bytes
) -> None:
    assume(old != new)
    before, after = one_file(format, document(format, old)), one_file(format, document(format, new))
    assert texts(revert(after, noted(before, after))) == texts(before)


@given(all_formats, files, files)
def test_of_large_files_the_same_comes_back(format: Format[Any], old: bytes, new: bytes) -> None:
    assume(old != new and not format.ordered)
    base = PlainBase(format, old)
    splices = splices_between(
        format, Bytes(base.read, base.size), Bytes(PlainBase(format, new).read, len(new))
    )
    assert splices is not None
    before, after = LargeDocument(format, base), LargeDocument(format, base, splices)
    change = noted(one_file(format, before), one_file(format, after))
    again = LargeDocument(format, PlainBase(format, new))
    back = revert(one_file(format, again), change)
    assert texts(back) == texts(one_file(format, before))


@given(rosters(), cases, cases)
def test_an_older_edit_of_another_entry_is_undone_and_the_newer_one_stays(
    roster: Roster, older: Case, newer: Case
) -> None:
    """In the words of the verbs: nothing of the newer edit is undone with the older one."""
    once = done(older.verb, roster)
    assume(once is not None and texts(once) != texts(roster))
    assert once is not None
    twice = done(newer.verb, once)
    assume(twice is not None and texts(twice) != texts(once))
    assert twice is not None
    try:
        back = revert(twice, noted(roster, once))
    except Refused:
        return  # it says why; the table of the unit tests has what must not be refused
    for field in Roster._fields:
        if field not in older.keys:
            assert bytes(getattr(back, field)) == bytes(getattr(twice, field))
        if field not in newer.keys:
            assert bytes(getattr(back, field)) == bytes(getattr(roster, field))


@given(all_formats, files, files)
def test_what_is_noted_is_read_again_as_it_was(format: Format[Any], old: bytes, new: bytes) -> None:
    before, after = one_file(format, document(format, old)), one_file(format, document(format, new))
    changes = noted(before, after).files
    assert len(changes) == (old != new)
    for change in changes:
        assert (change.old_size, change.new_size, change.short) == (len(old), len(new), False)
        shift = 0
        for hunk in change.hunks:
            assert new[hunk.offset : hunk.offset + len(hunk.added)] == hunk.added
            start = hunk.offset - shift
            assert old[start : start + len(hunk.removed)] == hunk.removed
            assert old[:start].endswith(hunk.before)
            assert old[start + len(hunk.removed) :].startswith(hunk.behind)
            assert hunk.line == new[: hunk.offset].count(b"\n") + 1
            shift += len(hunk.added) - len(hunk.removed)


@given(
    st.lists(st.text(max_size=8) | st.sampled_from(["a'b", "\n", "\udc80", "x\ny'\\"]), max_size=5)
)
def test_a_command_is_one_line_whatever_its_words(words: list[str]) -> None:
    found = parse(entry(7, "now", f"0:root - {command(words)}", []))
    assert found is not None
    assert found.id == 7
    assert found.whole
    assert command(words).isprintable() or not words


def test_the_verbs_are_all_tried() -> None:
    assert len(CASES) > 10
    assert len(FORMATS) == len(Roster._fields)
