"""A change is taken back though others have come since, or it is refused and told why."""

import pytest

from mailroster.base.findings import Refused
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.plan import plan
from mailroster.roster.roster import Roster
from mailroster.store.history import undo as revert_module
from mailroster.store.history.entry import BY_HAND, HistoryEntry, parse
from mailroster.store.history.undo import (
    LinesChanged,
    added_keys,
    removed_keys,
    renamed_account,
    revert,
)
from mailroster.store.history.writer import entry, file_part
from tests.support.undo_rosters import roster


def change(field: str, before: str, after: str, room: int = 1 << 20) -> HistoryEntry:
    edits = plan(roster(field, before), roster(field, after)).edits
    parts = [file_part(edit.before, edit.after, room) for edit in edits]
    found = parse(entry(5, "now", "0:root - setup test", parts, done=True))
    assert found is not None
    return found


@pytest.mark.parametrize("chunk", [1 << 22, 7], ids=["at once", "in pieces"])
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize(
    ("field", "before", "after", "now", "back"),
    [
        pytest.param("accounts", "a|1\n", "a|1\nb|2\n", "a|1\nb|2\nc|3\n", "a|1\nc|3\n",
                     id="what came goes, and what came behind it stays"),
        pytest.param("accounts", "a|1\nb|2\nc|3\n", "a|1\nc|3\n", "x|9\na|1\nc|3\n",
                     "x|9\na|1\nb|2\nc|3\n", id="what went comes back between its neighbours"),
        pytest.param("accounts", "a|1\nb|2\nc|3\n", "a|1\nc|3\n", "a|1\nx|9\nc|3\n",
                     "a|1\nb|2\nx|9\nc|3\n", id="behind the line that it stood behind"),
        pytest.param("accounts", "a|1\nb|2\nc|3\n", "a|1\nc|3\n", "x|1\nc|3\n",
                     "x|1\nb|2\nc|3\n", id="in front of the line that it stood in front of"),
        pytest.param("accounts", "a|1\nb|2\nc|3\n", "a|1\nc|3\n", "x|9\ny|9\n",
                     "x|9\ny|9\nb|2\n", id="at the end if no neighbour is there"),
        pytest.param("accounts", "a|1\nb|2", "a|1\n", "a|1\nx|9\n", "a|1\nb|2\nx|9\n",
                     id="a line without a line feed gets one when it is no more the last"),
        pytest.param("accounts", "b|2\n", "", "x|9", "x|9\nb|2\n",
                     id="the last line that lacks its line feed gets it"),
        pytest.param("accounts", "a|1\nb|2\n", "a|1\nb|3\n", "b|3\na|7\n", "b|2\na|7\n",
                     id="a line that was moved is changed where it is"),
        pytest.param("accounts", "a|1", "a|1\nb|2\n", "a|1\nb|2\nc|3\n", "a|1\nc|3\n",
                     id="a line feed that came with a line stays for the next one"),
        pytest.param("accounts", "a|1\r\n", "a|1\r\nb|2\r\n", "a|1\r\nb|2\r\nc|3\r\n",
                     "a|1\r\nc|3\r\n", id="carriage returns stay"),
        pytest.param("virtual", "a b@x\nc d@x\n", "c d@x\n", "z y@x,\n w@x\nc d@x\n",
                     "z y@x,\n w@x\na b@x\nc d@x\n", id="never inside of an entry that goes on"),
        pytest.param("virtual", "a b@x\nc d@x\n", "a b@x\n", "a b@x,\n e@x\n# n\n",
                     "a b@x,\n e@x\n# n\nc d@x\n", id="behind all lines of the neighbour"),
        pytest.param("virtual", "a b@x,\n c@x\n", "a c@x\n", "z y@x\na c@x\n",
                     "z y@x\na b@x,\n c@x\n", id="all lines of an entry come back"),
        pytest.param("accounts", "a|1\n", "a|1\nb|2", "a|1\nb|2\nc|3\n", "a|1\nc|3\n",
                     id="a line that lacked its line feed goes with the one that it got"),
        pytest.param("accounts", "a|1\n\nc|3\n", "a|1\nb|2\n\nc|3\n", "a|1\nb|2\n\nc|3\nd|4\n",
                     "a|1\n\nc|3\nd|4\n", id="a blank line behind what came stays"),
        pytest.param("accounts", "a|1\nb|2\nc|3\na|1\nc|3\n", "a|1\nc|3\na|1\nc|3\n",
                     "x|9\na|1\nc|3\na|1\nc|3\n", "x|9\na|1\nb|2\nc|3\na|1\nc|3\n",
                     id="between the nearest of the neighbours that stand there twice"),
        pytest.param("accounts", "a|1\nc|3\na|1\nb|2\nc|3\n", "a|1\nc|3\na|1\nc|3\n",
                     "a|1\nc|3\na|1\nc|3\nx|9\n", "a|1\nc|3\na|1\nb|2\nc|3\nx|9\n",
                     id="also if that is the later one"),
        pytest.param("quotas", "a:1G\nb:1G\nc:1G\nd:1G\n", "b:1G\nc:2G\nd:1G\n",
                     "b:1G\nc:2G\nd:1G\ne:5G\n", "a:1G\nb:1G\nc:1G\nd:1G\ne:5G\n",
                     id="several places at once"),
    ],
)  # fmt: skip
def test_what_others_have_written_since_stays(
    monkeypatch: pytest.MonkeyPatch,
    field: str,
    before: str,
    after: str,
    now: str,
    back: str,
    large: bool,
    chunk: int,
) -> None:
    monkeypatch.setattr(revert_module, "_CHUNK_BYTES", chunk)
    found = getattr(revert(roster(field, now, large=large), change(field, before, after)), field)
    assert bytes(found).decode() == back
    assert isinstance(found, LargeDocument) == large


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize(
    ("field", "before", "after", "now", "why"),
    [
        pytest.param("accounts", "", "a@x|{S}1\n", "a@x|{S}2\n", "'a@x|{S}…' is no longer in the",
                     id="the line was changed"),
        pytest.param("accounts", "a@x|1\n", "a@x|{S}2\n", "", "is no longer in the file",
                     id="the line is gone"),
        pytest.param("accounts", "a@x|1\nb@x|2\n", "b@x|2\n", "b@x|2\na@x|3\n",
                     "'a@x' was added again since", id="the key is there again"),
        pytest.param("virtual", "", "a b@x\n", "a b@x\n c@x\n", "is now continued in the next line",
                     id="the entry goes on now"),
        pytest.param("virtual", "", "a b@x\n", "a b@x\n# n\n c@x\n", "is now continued in the next",
                     id="the entry goes on behind a comment now"),
        pytest.param("accounts", "a|1\nb|2\nc|3\n", "x|1\na|1\nb|2\nc|3\nx|1\n", "q|1\nx|1\n",
                     "two of its hunks overlap now", id="two places have become one"),
    ],
)  # fmt: skip
def test_what_would_touch_what_changed_since_is_refused(
    field: str, before: str, after: str, now: str, why: str, large: bool
) -> None:
    with pytest.raises(Refused) as refused:
        revert(roster(field, now, large=large), change(field, before, after))
    assert why in str(refused.value)
    assert str(refused.value).startswith(getattr(Roster(), field).format.file)
    assert "{S}2" not in str(refused.value)


A, B, C, X = "/^a/ a@x\n", "/^b/ b@x\n", "/^c/ c@x\n", "/^x/ x@x\n"


@pytest.mark.parametrize(
    ("before", "after", "now", "back"),
    [
        pytest.param(A + B + C, A + C, X + A + C, X + A + B + C, id="between its neighbours"),
        pytest.param(A + B + C, A + C, A + X + C, None, id="not if something is between them"),
        pytest.param(A + B, A, A + X, None, id="nor behind the end, where something came"),
        pytest.param(B + A, A, X + A, None, id="nor in front of the beginning"),
        pytest.param(
            B + A, A, A + X, B + A + X, id="in front of the beginning, if it is that still"
        ),
        pytest.param(A + B, A, X + A, X + A + B, id="behind the end, if it is that still"),
        pytest.param(B, "", "", B, id="into an empty file"),
        pytest.param(B, "", X, None, id="not beside what came instead"),
        pytest.param(A, A + B, A + B + B, A + B, id="one of two that are alike, in its place"),
        pytest.param(A, A + B, B + X + B, None, id="not one of two if neither is in its place"),
        pytest.param(A, C, X + C, X + A, id="in the place of what came for it"),
    ],
)
def test_the_order_of_patterns_is_kept_or_it_is_refused(
    before: str, after: str, now: str, back: str | None
) -> None:
    undone = change("regexp", before, after)
    if back is not None:
        assert revert(roster("regexp", now), undone).regexp.text == back
        return
    with pytest.raises(LinesChanged):
        revert(roster("regexp", now), undone)


def test_a_change_that_was_too_large_is_counted_and_refused() -> None:
    undone = change("accounts", "", "".join(f"a{n}@x|1\n" for n in range(100)), room=500)
    (part,) = undone.files
    assert (part.removed, part.added, part.short, part.hunks) == (0, 100, True, ())
    with pytest.raises(Refused, match=r"which was too large.*100 added"):
        revert(Roster(), undone)


def test_a_file_of_a_later_version_is_refused() -> None:
    undone = change("accounts", "", "a@x|1\n")
    files = tuple(part._replace(file="postfix-later.cf") for part in undone.files)
    with pytest.raises(Refused, match=r"postfix-later\.cf, an unknown file"):
        revert(Roster(), undone._replace(files=files))


def test_who_comes_back_and_who_goes() -> None:
    undone = change("accounts", "a@x|1\nb@x|2\n", "b@x|3\nc@x|4\n")
    format = Roster().accounts.format
    assert (removed_keys(format, undone), added_keys(format, undone)) == (["a@x"], ["c@x"])


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("a|1|x\nb|2\n", "c|1|x\nb|2\n", ("a", "c")),
        ("A |1\n", "a|1\n", ("A", "a")),
        ("a|1\n", "a|2\n", None),
        ("a|1\n", "c|2\n", None),
        ("a|1\nb|2\n", "c|1\nd|2\n", None),
        ("a|1\n", "a|1\nb|1\n", None),
        ("a 1\n", "c 1\n", None),
        ("a|1\nb|2\n", "c|1\nb|2\n", ("a", "c")),
    ],
)
def test_an_account_that_got_another_address(
    before: str, after: str, found: tuple[str, str] | None
) -> None:
    there = change("accounts", before, after)
    assert renamed_account(there) == found
    assert renamed_account(there._replace(command=BY_HAND)) is None
