"""What counts as changed by hand: what comes into force and stands in no entry."""

from itertools import pairwise

import pytest

from mailroster.roster.plan import plan
from mailroster.roster.roster import Roster
from mailroster.store.history.entry import HistoryEntry, parse
from mailroster.store.history.manual_edits import by_hand
from mailroster.store.history.writer import entry, file_part
from tests.support.undo_rosters import roster

ROOM = 1 << 20


def history(field: str, *states: str) -> bytes:
    """Commands that led from one text to the next."""
    found = b""
    for number, (one, other) in enumerate(pairwise(states), 1):
        edits = plan(roster(field, one), roster(field, other)).edits
        parts = [file_part(edit.before, edit.after, ROOM) for edit in edits]
        found += entry(number, "now", "0:root - setup test", parts, done=True)
    return found


def lines(field: str, before: str, after: str, known: bytes, *, later: bool = False) -> list[str]:
    parts = by_hand(roster(field, before), roster(field, after), known, ROOM, later=later)
    found = parse(entry(1, "now", "0: - by hand", [part.text for part in parts]))
    assert found is not None
    hunks = [hunk for part in found.files for hunk in part.hunks]
    return [
        f"{mark}{line}"
        for hunk in hunks
        for mark, raw in (("-", hunk.removed), ("+", hunk.added))
        for line in raw.decode().splitlines()
    ]


@pytest.mark.parametrize(
    ("before", "after", "known", "found"),
    [
        pytest.param("a 1\n", "a 1\nb 2\n", b"", ["+b 2"], id="all, where nothing is noted"),
        pytest.param("a 1\n", "a 1\nb 2\n", history("virtual", "a 1\n", "a 1\nb 2\n"), [],
                     id="nothing that a command has noted"),
        pytest.param("a 1\n", "a 1\nb 2\nc 3\n", history("virtual", "a 1\n", "a 1\nb 2\n"),
                     ["+c 3"], id="what came beside it"),
        pytest.param("a 1\n", "a 3\n", history("virtual", "a 1\n", "a 2\n", "a 3\n"), [],
                     id="nothing, if two commands have led there"),
        pytest.param("a 2\n", "a 1\n", history("virtual", "a 1\n", "a 2\n"), ["-a 2", "+a 1"],
                     id="what somebody has put back, though it is in older entries"),
        pytest.param("a 1\nb 2\n", "b 2\na 1\n", b"", [],
                     id="not what only has another place, as what was held back has"),
        pytest.param("a 1\n", "# n\na 1\n", b"", ["+# n"], id="a comment"),
        pytest.param("a 1\n", "a 1\n# n\nb 2\n", history("virtual", "a 1\n", "a 1\n# n\nb 2\n"), [],
                     id="not the comment of a command"),
        pytest.param("a 1\n\n", "b 2\n\n", history("virtual", "a 1\n\n", "b 2\n\n"), [],
                     id="not the empty line that stays"),
    ],
)  # fmt: skip
def test_what_is_told_as_changed_by_hand(
    before: str, after: str, known: bytes, found: list[str]
) -> None:
    assert lines("virtual", before, after, known) == found


def test_the_same_line_in_another_file_is_another_line() -> None:
    known = history("send_access", "", "a REJECT\n")
    assert lines("send_access", "", "a REJECT\n", known) == []
    assert lines("receive_access", "", "a REJECT\n", known) == ["+a REJECT"]


def test_patterns_that_change_places_are_changed() -> None:
    assert lines("regexp", "/a/ x\n/b/ y\n", "/b/ y\n/a/ x\n", b"") != []


def test_what_a_later_command_has_changed_again_is_no_edit_by_hand() -> None:
    """The files were read with `a 2`, and when the history is asked it says `a 3` already."""
    known = history("virtual", "a 1\n", "a 2\n", "a 3\n")
    assert lines("virtual", "a 1\n", "a 2\n", known) == ["+a 2"]
    assert lines("virtual", "a 1\n", "a 2\n", known, later=True) == []


def test_nothing_differs_and_nothing_is_told() -> None:
    assert by_hand(Roster(), Roster(), b"", ROOM) == []
    assert isinstance(parse(entry(1, "now", "0: - by hand", [])), HistoryEntry)
