"""When the clock is believed: what it says, what was known before, and if it is synchronised."""

import ctypes
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mailroster.system.clock import AHEAD_MAX_S, SAVE_EACH_S, Clock, marked, synchronised

NOW = 1_800_000_000.0
YEAR_S = 365 * 86_400.0


class Moment:
    """A clock on the wall."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def clock(folder: Path, moment: Moment, *, synchronised: bool = False) -> Clock:
    return Clock(str(folder / "clock"), (), moment, lambda: synchronised)


@pytest.mark.parametrize(
    ("ahead_s", "synchronised", "believed"),
    [
        pytest.param(0, False, True, id="the same"),
        pytest.param(AHEAD_MAX_S, False, True, id="a day later"),
        pytest.param(AHEAD_MAX_S + 1, False, False, id="more than a day later"),
        pytest.param(5 * YEAR_S, False, False, id="five years later"),
        pytest.param(5 * YEAR_S, True, True, id="five years later, and synchronised"),
        pytest.param(-5 * YEAR_S, False, True, id="earlier: nothing ends too soon"),
        pytest.param(1e15, False, False, id="a year that no calendar has"),
    ],
)
def test_a_clock_that_is_far_ahead_is_believed_only_if_it_is_synchronised(
    tmp_path: Path, ahead_s: float, *, synchronised: bool, believed: bool
) -> None:
    moment = Moment()
    clock(tmp_path, moment).trust()
    moment.now += ahead_s
    doubt = clock(tmp_path, moment, synchronised=synchronised).doubt()
    assert (doubt == "") == believed
    if doubt:
        assert "; correct it, or if it is right: setup apply --clock-is-right" in doubt


def test_what_is_said_to_be_right_is_believed_from_then_on(tmp_path: Path) -> None:
    moment = Moment()
    running = clock(tmp_path, moment)
    running.trust()
    moment.now += YEAR_S
    assert running.doubt()
    clock(tmp_path, moment).trust()  # another process: setup apply --clock-is-right
    assert running.doubt() == ""


def test_a_clock_that_runs_on_is_never_doubted(tmp_path: Path) -> None:
    moment = Moment()
    running = clock(tmp_path, moment)
    for _ in range(100):
        running.keep()
        moment.now += AHEAD_MAX_S / 3
        assert running.doubt() == ""


def test_the_time_is_noted_once_an_hour_and_never_in_doubt(tmp_path: Path) -> None:
    moment, path = Moment(), tmp_path / "clock"
    running = clock(tmp_path, moment)
    running.keep()
    assert path.read_text() == f"{int(NOW)}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    moment.now += SAVE_EACH_S - 1
    running.keep()
    assert path.read_text() == f"{int(NOW)}\n"
    moment.now += YEAR_S
    running.keep()
    assert path.read_text() == f"{int(NOW)}\n"
    moment.now = NOW - YEAR_S  # it was wrong before: what is noted follows
    running.keep()
    assert path.read_text() == f"{int(NOW - YEAR_S)}\n"


@pytest.mark.parametrize("text", [None, "", "soon\n", "\0" * 20, "9" * 3_000_000])
def test_without_a_note_the_last_change_of_a_file_tells_the_time(
    tmp_path: Path, text: str | None
) -> None:
    """Its ctime, not the time that its owner can give it."""
    if text is not None:
        (tmp_path / "clock").write_text(text)
    file = tmp_path / "postfix-accounts.cf"
    file.write_text("")
    os.utime(file, (NOW * 2, NOW * 2))
    witnesses = (str(file), str(tmp_path / "missing"))
    for ahead_s, believed in ((0, True), (YEAR_S, False)):
        moment = Moment(time.time() + ahead_s)
        found = Clock(str(tmp_path / "clock"), witnesses, moment, lambda: False)
        assert (found.doubt() == "") == believed


def test_where_nothing_is_known_the_clock_is_believed(tmp_path: Path) -> None:
    assert clock(tmp_path, Moment()).doubt() == ""


@pytest.mark.parametrize(
    ("state", "found"),
    [(0, True), (1, True), (4, True), (5, False), (-1, False), (None, False)],
)
def test_the_kernel_says_whether_it_is_synchronised(
    monkeypatch: pytest.MonkeyPatch, state: int | None, *, found: bool
) -> None:
    """TIME_OK to TIME_WAIT are; TIME_ERROR isn't, nor what a sandbox refuses or lacks."""

    def adjtimex(timex: ctypes.Array[ctypes.c_char]) -> int:
        assert timex.raw == bytes(len(timex))  # it asks, and sets nothing
        assert state is not None
        return state

    library = SimpleNamespace() if state is None else SimpleNamespace(adjtimex=adjtimex)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr("mailroster.system.clock.TIMESYNCD_MARK", "/nonexistent/synchronized")
    assert synchronised() == found


def test_so_does_the_mark_of_timesyncd_if_it_is_of_the_last_day(tmp_path: Path) -> None:
    mark = tmp_path / "synchronized"
    assert not marked(str(mark), NOW)
    mark.touch()
    for off_s, found in (
        (0, True),
        (AHEAD_MAX_S, True),
        (AHEAD_MAX_S + 1, False),
        (-YEAR_S, False),
    ):
        os.utime(mark, (NOW, NOW - off_s))
        assert marked(str(mark), NOW) == found
