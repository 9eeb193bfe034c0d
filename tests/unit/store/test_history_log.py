"""`.mailroster-history`: what remains of one that is too large, and whether a change that was cut
short counts where somebody has saved a file since."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mailroster.store.history import log
from mailroster.store.history.entry import FileChange, HistoryEntry, Hunk
from mailroster.store.history.evidence import was_made
from mailroster.store.history.log import _HEAD, HISTORY, History, user_name
from mailroster.store.history.writer import entry
from mailroster.store.links import ConfigFolder
from mailroster.system.files import Disk, identity

WHEN, BY = "2026-01-02T03:04:05Z", "0:root - by hand"


def note(text: bytes) -> Callable[[int], bytes]:
    """An entry whose one added line is a text."""
    size = len(text) + 1
    part = b"file postfix-virtual.cf 0 %d\nat 0 1\n+%b\n" % (size, text)
    return lambda number: entry(number, WHEN, BY, [part])


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


class World:
    def __init__(self, folder: Path) -> None:
        self.path = folder / HISTORY
        self.history = History(ConfigFolder(str(folder)), Disk())

    def lines(self) -> list[bytes]:
        """The added line of each entry, the newest first."""
        entries = self.history.newest_first(lambda file: b"")
        return [each.files[0].hunks[0].added.rstrip(b"\n") for each in entries]

    def size(self) -> int:
        return self.path.stat().st_size


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_has_happened_is_put_with_its_mark_and_no_file_stays_open(world: World) -> None:
    before = open_files()
    for text in (b"one", b"two"):
        world.history.add(note(text), 1 << 20)
        assert world.history.is_complete()
    assert world.lines() == [b"two", b"one"]
    assert open_files() == before
    assert world.path.read_bytes().startswith(_HEAD + b"change 1 ")
    assert world.path.read_bytes().endswith(b"end 2\ndone 2\n")


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "by a command"])
def test_of_a_history_beyond_its_limit_the_newest_entries_stay(world: World, by_hand: bool) -> None:
    def change(text: bytes, limit: int) -> None:
        if by_hand:
            world.history.add(note(text), limit)
        else:
            world.history.begin(note(text))
            world.history.finish(limit)

    before = open_files()
    change(b"0", 1 << 20)
    entry_bytes = world.size() - len(_HEAD)
    limit = len(_HEAD) + 10 * entry_bytes + len("000")  # the tenth has a longer number
    for number in range(1, 10):
        change(b"%d" % number, limit)
    assert world.size() == limit  # no more than the limit: all of it stays
    change(b"A", limit)
    kept = world.lines()
    assert kept == [b"A", b"9", b"8", b"7", b"6"][: len(kept)]
    assert 3 <= len(kept) <= 5  # half of the limit at the most
    assert world.path.read_bytes().startswith(_HEAD + b"change ")
    change(b"B", limit)
    assert world.lines() == [b"B", *kept]
    assert open_files() == before
    assert list(world.path.parent.iterdir()) == [world.path]


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "by a command"])
def test_a_last_entry_that_is_larger_than_half_of_the_limit_stays_alone(
    world: World, by_hand: bool
) -> None:
    large = b"x" * 3000
    world.history.add(note(b"one"), 4000)
    world.history.add(note(b"two"), 4000)
    if by_hand:
        world.history.add(note(large), 3000)
    else:
        world.history.begin(note(large))
        world.history.finish(3000)
    assert world.lines() == [large]
    assert world.path.read_bytes().count(_HEAD) == 1
    assert world.history.is_complete()
    world.history.add(note(b"four"), 1 << 20)
    assert world.lines() == [b"four", large]
    assert b"change 4 " in world.path.read_bytes()


def test_a_history_that_is_made_smaller_keeps_its_mode(world: World) -> None:
    world.history.add(note(b"one"), 1 << 20)
    world.path.chmod(0o400)
    world.history.add(note(b"two"), len(_HEAD))
    assert world.lines() == [b"two"]
    assert world.path.stat().st_mode & 0o777 == 0o400


def test_a_change_that_is_taken_back_leaves_the_history_as_it_was(world: World) -> None:
    world.history.add(note(b"one"), 1 << 20)
    before, files = world.path.read_bytes(), open_files()
    world.history.begin(note(b"two"))
    assert world.path.read_bytes() != before
    world.history.withdraw()
    assert (world.path.read_bytes(), open_files()) == (before, files)
    world.history.withdraw()  # nothing more to withdraw
    assert world.path.read_bytes() == before


# -- a change of two files that a crash has cut short, and what the files hold afterwards

OLD, NEW, OTHER, BOTH = b"old\n", b"new line\n", b"other\n", b"other\nnew line\n"


def cut_short(*files: str) -> HistoryEntry:
    hunk = Hunk(0, 1, b"", OLD, NEW, b"")
    changes = [FileChange(file, len(OLD), len(NEW), 1, 1, (hunk,), False) for file in files]
    return HistoryEntry(1, WHEN, 0, "root", "", "setup", tuple(changes), True, False)


FIRST, SECOND = "postfix-accounts.cf", "postfix-virtual.cf"


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        pytest.param(OLD, OLD, False, id="both are old"),
        pytest.param(NEW, NEW, True, id="both are new"),
        pytest.param(NEW, OLD, True, id="one is new, the other is about to be"),
        pytest.param(OLD, NEW, True, id="the other one is new"),
        pytest.param(NEW, OTHER, True, id="one is new, one was saved by hand"),
        pytest.param(OTHER, NEW, True, id="one was saved by hand, one is new"),
        pytest.param(OLD, OTHER, False, id="one is old, one was saved by hand"),
        pytest.param(OTHER, OLD, False, id="one was saved by hand, one is old"),
        pytest.param(OLD, BOTH, False, id="one is old, one was saved with the same line"),
        pytest.param(OTHER, OTHER, False, id="both were saved by hand, without the change"),
        pytest.param(OTHER, BOTH, True, id="both were saved by hand, one with the new line"),
        pytest.param(BOTH, OTHER, True, id="both were saved by hand, the other without"),
        pytest.param(None, NEW, False, id="one can't be read"),
    ],
)
def test_a_change_that_was_cut_short_counts_by_what_the_files_hold(
    first: bytes | None, second: bytes, counts: bool
) -> None:
    held = {FIRST: first, SECOND: second}

    def content(file: str) -> bytes:
        if (found := held[file]) is None:
            raise PermissionError
        return found

    assert was_made(cut_short(FIRST, SECOND), content) is counts


@pytest.mark.parametrize(("held", "counts"), [(OTHER, True), (b"old\nother\n", False)])
def test_a_removal_that_was_cut_short_counts_if_its_lines_are_gone(
    held: bytes, counts: bool
) -> None:
    hunk = Hunk(0, 1, b"", OLD, b"", b"")
    change = FileChange(FIRST, len(OLD), 0, 1, 0, (hunk,), False)
    assert was_made(cut_short()._replace(files=(change,)), lambda file: held) is counts


def test_of_a_history_only_files_of_ours_are_read() -> None:
    read: list[str] = []

    def content(file: str) -> bytes:
        read.append(file)
        return NEW

    assert was_made(cut_short("../../etc/shadow", FIRST), content)
    assert read == [FIRST]
    assert not was_made(cut_short("../../etc/shadow"), content)


def test_several_places_of_a_file_are_looked_at_where_they_were_and_where_they_are() -> None:
    old, new = b"1\na\n2\nb\n3\n", b"1\nAAA\n2\nBB\n3\n"
    hunks = (Hunk(2, 2, b"", b"a\n", b"AAA\n", b""), Hunk(8, 4, b"", b"b\n", b"BB\n", b""))
    hunk = Hunk(0, 1, b"", OLD, NEW, b"")
    changes = (
        FileChange(FIRST, len(old), len(new), 2, 2, hunks, False),
        FileChange(SECOND, len(OLD), len(NEW), 1, 1, (hunk,), False),
    )
    made = cut_short()._replace(files=changes)
    for first, second, counts in (
        (old, BOTH, False),  # by the second file alone it would count
        (new, OTHER, True),  # and here it would not
        (b"9" + old[1:], BOTH, False),  # elsewhere somebody has changed the old file
        (old[:7] + b"B" + old[8:], BOTH, True),  # there, so that the first file tells nothing
        (new[:8] + b"XX" + new[10:], OTHER, False),
    ):
        held = {FIRST: first, SECOND: second}
        assert was_made(made, held.__getitem__) is counts, (first, second)


def test_a_user_without_a_name_has_none() -> None:
    assert user_name(0) == "root"
    assert user_name(4_000_000_000) == ""


# -- a history that was cut anywhere, as a crash leaves it


def lines_of(number: int) -> Callable[[int], bytes]:
    """The entry of the change that appends the line of a number."""
    before = 4 * (number - 1)
    part = b"file postfix-virtual.cf %d %d\nat %d %d\n+%03d\n" % (
        before, before + 4, before, number, number,
    )  # fmt: skip
    return lambda given: entry(given, WHEN, BY, [part])


ONE, TWO = b"001\n", b"001\n002\n"


@pytest.mark.parametrize("held", [ONE, TWO], ids=["the change was not made", "it was made"])
def test_wherever_a_history_is_cut_the_entries_that_count_stay(world: World, held: bytes) -> None:
    def numbers() -> list[int]:
        entries = world.history.newest_first(lambda file: held)
        return [int(each.files[0].hunks[0].added) for each in entries]

    (world.path.parent / "postfix-virtual.cf").write_bytes(held)
    world.history.add(lines_of(1), 1 << 20)
    world.history.add(lines_of(2), 1 << 20)
    raw, files = world.path.read_bytes(), open_files()
    for cut in range(len(raw) + 1):
        kept = raw[:cut]
        world.path.write_bytes(kept)
        first = b"\nend 1\n" in kept  # the file has its line in both cases
        second = b"\nend 2\n" in kept and (held == TWO or b"\ndone 2" in kept)
        wanted = [2] * second + [1] * first
        assert numbers() == wanted, cut
        assert world.path.read_bytes() == kept, "a look changes nothing"
        world.history.recover()
        assert world.history.is_complete(), cut
        assert numbers() == wanted, cut
        settled = world.path.read_bytes()
        world.history.recover()
        assert world.path.read_bytes() == settled
        world.history.add(lines_of(3), 1 << 20)
        assert numbers() == [3, *wanted], cut
        assert [int(line.split()[1]) for line in settled.split(b"\n") if line[:5] == b"done "] == [
            *range(1, len(wanted) + 1)
        ]
    assert open_files() <= files


@pytest.mark.parametrize("text", [b"", b"#", _HEAD, _HEAD + b"\n# a comment"])
def test_a_history_without_an_entry_is_complete_and_is_not_written(
    world: World, text: bytes
) -> None:
    assert world.history.is_complete(), "there is none"
    world.path.write_bytes(text)
    before = identity(str(world.path))
    assert world.history.is_complete()
    world.history.recover()
    assert identity(str(world.path)) == before
    world.history.add(note(b"one"), 1 << 20)
    assert world.lines() == [b"one"]
    assert world.path.read_bytes().endswith(b"end 1\ndone 1\n")


def test_a_history_is_closed_to_others_and_never_a_link_or_a_file_with_two_names(
    world: World,
) -> None:
    world.history.add(note(b"one"), 1 << 20)
    assert world.path.stat().st_mode & 0o777 == 0o600
    world.path.chmod(0o644)
    world.history.add(note(b"two"), 1 << 20)
    assert world.path.stat().st_mode & 0o777 == 0o600
    before = world.path.read_bytes()
    (world.path.parent / "second name").hardlink_to(world.path)
    world.history.add(note(b"three"), 1 << 20)
    assert "not a regular file with one name" in world.history.fault
    (world.path.parent / "second name").unlink()
    world.history.add(note(b"three"), 1 << 20)
    assert (world.history.fault, world.lines()) == ("", [b"three", b"two", b"one"])
    world.path.rename(world.path.parent / "elsewhere")
    (world.path.parent / "elsewhere").write_bytes(before)
    world.path.symlink_to("elsewhere")
    world.history.add(note(b"four"), 1 << 20)
    assert HISTORY in world.history.fault
    assert (world.path.parent / "elsewhere").read_bytes() == before
    with pytest.raises(OSError, match="is a link; put a file there"):
        world.history.is_complete()


def test_without_an_entry_nothing_is_written(world: World) -> None:
    world.history.finish(0)
    world.history.withdraw()
    assert not world.path.exists()
    assert (world.history.fault, world.history.is_complete()) == ("", True)


def test_entries_are_read_through_parts_of_the_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [b"x" * length for length in range(1, 40)]
    for text in texts:
        world.history.add(note(text), 1 << 20)
    for chunk_bytes in (1, 7, 64, 100, 1 << 16):
        monkeypatch.setattr(log, "_CHUNK_BYTES", chunk_bytes)
        assert world.lines() == texts[::-1]


def test_an_entry_that_can_not_be_written_leaves_the_history_as_it_was(tmp_path: Path) -> None:
    class Full(Disk):
        def append(self, fd: int, content: bytes) -> None:
            os.write(fd, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    world = World(tmp_path)
    world.history.add(note(b"one"), 1 << 20)
    before, files = world.path.read_bytes(), open_files()
    full = History(ConfigFolder(str(tmp_path)), Full())
    full.begin(note(b"two"))
    assert full.fault == f"{world.path}: No space left on device"
    full.finish(1 << 20)
    assert (world.path.read_bytes(), open_files()) == (before, files)


def test_a_change_that_was_not_made_gives_its_number_to_the_next_one(world: World) -> None:
    """Also in a history whose older half was dropped."""
    world.path.write_bytes(_HEAD + lines_of(1)(7))
    world.history.add(note(b"next"), 1 << 20)
    assert b"change 7 " in world.path.read_bytes()
    assert world.lines() == [b"next"]


def test_only_the_last_entry_may_lack_its_mark(world: World) -> None:
    (world.path.parent / "postfix-virtual.cf").write_bytes(TWO)
    one, two = lines_of(1)(1), lines_of(2)(2) + b"done 2\n"
    for torn in (b"", b"x", b"change 3 x"):
        world.path.write_bytes(_HEAD + one + two + torn)
        assert [each.id for each in world.history.newest_first(lambda file: TWO)] == [2]
        world.history.recover()
        assert world.path.read_bytes().startswith(_HEAD + one + two)
        assert [each.id for each in world.history.newest_first(lambda file: TWO)] == [2]
        world.history.add(note(b"next"), 1 << 20)
        assert b"change 3 " in world.path.read_bytes()


@pytest.mark.parametrize("mark", [b"", b"d", b"done", b"done ", b"done 1", b"done 12"])
def test_a_torn_mark_is_written_again(world: World, mark: bytes) -> None:
    (world.path.parent / "postfix-virtual.cf").write_bytes(ONE)
    world.path.write_bytes(_HEAD + lines_of(1)(12) + mark)
    assert not world.history.is_complete()
    world.history.add(note(b"next"), 1 << 20)
    raw = world.path.read_bytes()
    assert raw.startswith(_HEAD + lines_of(1)(12) + b"done 12\nchange 13 ")
    assert raw.endswith(b"end 13\ndone 13\n")


def test_a_change_that_is_begun_anew_leaves_no_file_open(world: World) -> None:
    files = open_files()
    for _ in range(3):
        world.history.begin(note(b"one"))
    world.history.finish(1 << 20)
    assert open_files() <= files


def test_after_text_that_is_no_entry_a_change_that_is_taken_back_leaves_no_byte(
    world: World,
) -> None:
    world.history.add(note(b"one"), 1 << 20)
    before = world.path.read_bytes() + b"by hand"
    world.path.write_bytes(before)
    world.history.begin(note(b"two"))
    world.history.withdraw()
    assert world.path.read_bytes() == before + b"\n"
