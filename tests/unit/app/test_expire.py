"""End dates in files, without a server: when they are due, and what if they can't be met."""

import os
import time
from pathlib import Path

import pytest

from mailroster.app.expire import _TICK_S, APP_PASSWORDS, Deadlines, ends_among
from mailroster.base.findings import Refused
from mailroster.base.layout import Layout
from mailroster.base.settings import Sources, load
from mailroster.daemons import errands
from mailroster.daemons.follower import Follower
from mailroster.system.files import read
from tests.support.note_lines import note

VIRTUAL = "postfix-virtual.cf"
BEFORE, END, AFTER = "2026-12-31T17:59:59", "2026-12-31T18:00", "2026-12-31T18:00:00"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001  # whatever is timed takes a while
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def deadlines(tmp_path: Path, clock: Clock) -> Deadlines:
    return Deadlines(lambda file: str(tmp_path / file), clock)


def write(folder: Path, text: str) -> None:
    path = folder / VIRTUAL
    path.write_text(text)
    os.utime(path, (1, 1))
    while time.time() - path.stat().st_ctime <= 1.5 * _TICK_S:
        time.sleep(0.001)  # two writes within a tick may have the same times


def test_due_when_it_is_over_and_only_until_it_is_done(
    tmp_path: Path, deadlines: Deadlines
) -> None:
    write(tmp_path, note(until=END) + "a b\n" + note(until="2027-01-01") + "c d\n")
    assert not deadlines.due(BEFORE)
    assert deadlines.due(AFTER)
    assert deadlines.due(AFTER)
    deadlines.mark_handled(AFTER)
    assert not deadlines.due(AFTER)
    assert deadlines.due("2027-01-02T00:00:00")


def test_a_file_that_changed_is_searched_again_after_a_pause(
    tmp_path: Path, deadlines: Deadlines, clock: Clock
) -> None:
    write(tmp_path, "a b\n")
    assert not deadlines.due(AFTER)
    write(tmp_path, note(until=END) + "a b\n")
    assert not deadlines.due(AFTER)
    clock.now += 10
    assert deadlines.due(AFTER)


def test_a_file_that_has_not_changed_is_not_read(
    tmp_path: Path, deadlines: Deadlines, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, note(until=END) + "a b\n")
    assert not deadlines.due(BEFORE)
    monkeypatch.setattr("mailroster.app.expire.opened", lambda path: pytest.fail(path))
    clock.now += 10
    assert deadlines.due(AFTER)


def test_without_any_folder_nothing_is_due(deadlines: Deadlines) -> None:
    assert not deadlines.due("9999-12-31T00:00:00")


@pytest.mark.parametrize("size", [1, 7, 40, 10_000])
def test_notes_are_found_wherever_a_piece_ends(size: int) -> None:
    text = (
        b"\xff\n# mailroster: until 2026-12-31\r\na b\n#mailroster:until 2026-01-01T10:00\n"
        b"c until 2026-02-02\n# mailroster: until never\n# mailroster: comment until 2026-03-03\n"
        + b"x" * 9000
        + b"\n# mailroster: until 2026-04-04"
    )
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    ends = ["2026-12-31T24:00:00", "2026-01-01T10:00:00", "2026-04-04T24:00:00"]
    assert list(ends_among(pieces)) == ends


@pytest.mark.parametrize("size", [1, 7, 40, 10_000])
def test_ends_of_app_passwords_are_found_wherever_a_piece_ends(size: int) -> None:
    digest = b"{SHA256.HEX}" + b"a" * 64
    text = (
        b"# until=2020-01-01\na@x|phone|" + digest + b"|services=imap until=2026-12-31\r\n"
        b"a@x|until=2020-01-01|" + digest + b"\na@x|b|" + digest + b"|until=never\n"
        b"a@x|c|" + digest + b"|until=2026-04-04T10:00"
    )
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    ends = ["2026-12-31T24:00:00", "2026-04-04T10:00:00"]
    assert list(ends_among(pieces, APP_PASSWORDS)) == ends


def test_an_app_password_is_due(tmp_path: Path, deadlines: Deadlines) -> None:
    (tmp_path / "dovecot-app-passwords.cf").write_text(
        f"a@x.com|phone|{{SHA256.HEX}}{'a' * 64}|until={END}\n"
    )
    assert not deadlines.due(BEFORE)
    assert deadlines.expired_files(AFTER) == ["dovecot-app-passwords.cf"]


def test_a_folder_that_cannot_be_written_is_told_and_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a busy loop: once in a while."""
    said: list[str] = []
    tries = []
    clock = Clock()

    def refuse(*_: object) -> None:
        tries.append(1)
        raise Refused("the folder is read-only")

    config = tmp_path / "config"
    config.mkdir()
    write(config, note(until="2020-01-01") + "a b\n")
    settings = load(Sources({"home": str(tmp_path)}, {}, read, os.path.isdir))
    monkeypatch.setattr(errands, "log", said.append)
    monkeypatch.setattr(errands, "expire_entries", refuse)
    monkeypatch.setattr("mailroster.daemons.errands.time.monotonic", clock)
    follower = Follower(settings, Layout(settings.state))
    for _ in range(100):
        follower._end_dates.run(follower._store, follower._tables)
    assert len(tries) == 1
    clock.now += errands.TRY_AGAIN_S
    follower._end_dates.run(follower._store, follower._tables)
    assert len(tries) == 2
    assert said == ["expired entries stay in force: the folder is read-only"]
