"""Edits by hand that fall between the steps of ours: neither is lost without a word."""

from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from mailroster.base.content import Content
from mailroster.base.findings import TryAgain
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import TRIES, Store
from mailroster.store.errors import UNAPPLIED
from mailroster.store.journal import JOURNAL
from mailroster.store.leftovers import NEW
from mailroster.system.files import Disk
from tests.support.faulty import (
    ACCOUNTS,
    BEFORE,
    FILES,
    HASH,
    QUOTAS,
    VIRTUAL,
    Edit,
    FaultyDisk,
    after,
    contents,
    debris,
    delete_with_all,
    die,
    edited,
    fill,
    mount,
    own_mounts,
    public_folder,
    set_password,
    texts,
)
from tests.support.hand_edits import renamed, same_size_and_time, written

Save = Callable[[Path, bytes], None]


@pytest.fixture
def folder() -> Iterator[Path]:
    with public_folder() as path, own_mounts():
        (path / "config").mkdir()
        fill(path / "config")
        yield path / "config"


# -- between our reading and our writing


@pytest.mark.parametrize("save", (renamed, written, same_size_and_time))
@pytest.mark.parametrize("change", (set_password, delete_with_all), ids=("one file", "three files"))
def test_what_is_saved_while_an_edit_is_made_is_kept_and_so_is_the_edit(
    folder: Path, change: Edit, save: Save
) -> None:
    made: list[Roster] = []

    def edit(roster: Roster) -> Roster:
        if not made:
            path = folder / ACCOUNTS
            save(path, path.read_bytes().replace(b"# people", b"# humans"))
        made.append(roster)
        return change(roster)

    Store(str(folder)).transact(edit)
    assert len(made) == 2
    expected = after(change)
    expected[ACCOUNTS] = expected[ACCOUNTS].replace(b"# people", b"# humans")
    assert contents(folder) == expected
    assert debris(folder) == []


@pytest.mark.parametrize("file", FILES)
def test_what_is_saved_while_the_journal_is_written_is_kept_and_so_is_the_edit(
    folder: Path, file: str
) -> None:
    class Late(Disk):
        """Somebody saves a file as soon as the journal is on the disk."""

        saved = False

        def create(
            self, path: str, content: Content, mode: int, owner: tuple[int, int] | None
        ) -> None:
            super().create(path, content, mode, owner)
            if path.endswith("journal") and not self.saved:
                self.saved = True
                renamed(folder / file, b"# by hand\n" + (folder / file).read_bytes())

    Store(str(folder), Late()).transact(delete_with_all)
    expected = after(delete_with_all)
    expected[file] = b"# by hand\n" + expected[file]
    assert contents(folder) == expected
    assert debris(folder) == []


def test_one_who_writes_again_and_again_is_left_alone(folder: Path) -> None:
    writes = 0

    def edit(roster: Roster) -> Roster:
        nonlocal writes
        writes += 1
        renamed(folder / ACCOUNTS, f"# {writes}\n{BEFORE[ACCOUNTS]}".encode())
        return delete_with_all(roster)

    with pytest.raises(TryAgain, match="nothing was changed"):
        Store(str(folder)).transact(edit)
    assert writes == TRIES
    assert (folder / ACCOUNTS).read_bytes() == f"# {TRIES}\n{BEFORE[ACCOUNTS]}".encode()
    assert debris(folder) == []


def test_a_config_map_that_is_swapped_meanwhile_is_read_again(folder: Path) -> None:
    first, second = folder / "..first", folder / "..second"
    for data in (first, second):
        data.mkdir()
        fill(data)
    (second / QUOTAS).write_text("a@x.com:7G\nb@x.com:7G\n")
    (folder / "..data").symlink_to("..first")
    for file in FILES:
        (folder / file).unlink()
        (folder / file).symlink_to(f"..data/{file}")
    swapped: list[bool] = []

    def edit(roster: Roster) -> Roster:
        if not swapped:
            (folder / "..new").symlink_to("..second")
            (folder / "..new").rename(folder / "..data")
        swapped.append(True)
        return delete_with_all(roster)

    Store(str(folder)).transact(edit)
    assert (folder / QUOTAS).read_text() == "a@x.com:7G\n"
    assert contents(first) == {file: text.encode() for file, text in BEFORE.items()}
    assert debris(folder, first, second) == []


# -- between a crash and the next command


def recover(folder: Path) -> None:
    """What an edit does first; a reader has seen before what that makes of the folder."""
    seen = Store(str(folder)).read().roster
    Store(str(folder)).transact(lambda roster: roster)
    assert texts(Store(str(folder)).read().roster) == texts(seen)


def crashed(folder: Path, *, after_renames: int) -> None:
    """Leaves the edit of three files as a crash does behind the journal and some renames."""

    class Crashing(Disk):
        renames = 0

        def rename(self, old: str, new: str) -> None:
            if self.renames == after_renames:
                die()
            self.renames += 1
            super().rename(old, new)

        def remove(self, path: str) -> None:
            die()

    assert edited(folder, delete_with_all, Crashing()) == "killed"
    assert (folder / JOURNAL).exists()


@pytest.mark.parametrize("save", (renamed, written))
@pytest.mark.parametrize("file", FILES)
def test_of_a_crashed_edit_nothing_is_done_if_somebody_wrote_a_file_before_it_began(
    folder: Path, file: str, save: Save
) -> None:
    crashed(folder, after_renames=0)
    save(folder / file, b"# by hand\n" + (folder / file).read_bytes())
    recover(folder)
    expected = {name: text.encode() for name, text in BEFORE.items()}
    expected[file] = b"# by hand\n" + expected[file]
    assert contents(folder) == expected
    assert debris(folder) == []


def test_of_a_half_done_edit_the_hand_made_file_stays_and_ours_is_kept_beside_it(
    folder: Path,
) -> None:
    crashed(folder, after_renames=1)
    expected = after(delete_with_all)
    done = next(file for file in FILES if contents(folder)[file] == expected[file])
    theirs, other = (file for file in FILES if file != done)
    by_hand = b"# by hand\n" + (folder / theirs).read_bytes()
    renamed(folder / theirs, by_hand)
    with pytest.raises(TryAgain, match=theirs):
        recover(folder)
    assert (folder / theirs).read_bytes() == by_hand
    assert (folder / (theirs + UNAPPLIED)).read_bytes() == expected[theirs]
    assert contents(folder)[other] == expected[other]
    assert debris(folder) == [theirs + UNAPPLIED]
    recover(folder)  # told once


def test_a_file_written_after_its_rename_is_as_it_was_written(folder: Path) -> None:
    crashed(folder, after_renames=3)
    (folder / VIRTUAL).write_bytes(b"all@x.com c@x.com\n")
    recover(folder)
    assert contents(folder) == after(delete_with_all) | {VIRTUAL: b"all@x.com c@x.com\n"}
    assert debris(folder) == []


@pytest.mark.parametrize(
    "by_hand",
    (
        lambda content: content + b"new@x.com|" + HASH.encode() + b"\n",
        lambda content: b"# humans\n",
        lambda content: b"",
        lambda content: content.replace(b"b@x.com", b"z@x.com"),
    ),
    ids=("a line more", "much shorter", "emptied", "of the same size"),
)
def test_a_mounted_file_written_by_hand_after_a_crash_is_told_from_a_cut_overwriting(
    folder: Path, by_hand: Callable[[bytes], bytes]
) -> None:
    path, real = folder / ACCOUNTS, folder.parent / "accounts"
    real.write_bytes(path.read_bytes())
    mount("--bind", real, path)
    at, cut = 0, 0
    ended = "killed"
    while ended == "killed":
        at += 1
        real.write_bytes(BEFORE[ACCOUNTS].encode())
        ended = edited(folder, set_password, FaultyDisk(at, die))
        cut += path.read_bytes() not in (BEFORE[ACCOUNTS].encode(), after(set_password)[ACCOUNTS])
        saved = by_hand(path.read_bytes())
        path.write_bytes(saved)
        recover(folder)
        assert path.read_bytes() == saved, at
        assert debris(folder) == [], at
    assert cut, "the overwriting was stopped half-way at least once"


@pytest.mark.parametrize("journal", (b"", b"0000", b"\0" * 50, b"00000000 postfix-accounts.cf\n"))
def test_a_journal_that_is_not_whole_counts_for_nothing(folder: Path, journal: bytes) -> None:
    (folder / JOURNAL).write_bytes(journal)
    (folder / f".{ACCOUNTS}{NEW}").write_bytes(b"half")
    recover(folder)
    assert contents(folder) == {file: text.encode() for file, text in BEFORE.items()}
    assert debris(folder) == []


def test_a_line_of_a_journal_that_is_not_ours_is_passed_over(folder: Path) -> None:
    """Under a checksum that is right: of another version, which had more to say."""
    (folder / f".{ACCOUNTS}{NEW}").write_bytes(b"new")
    lines = f"{crc32(BEFORE[ACCOUNTS].encode()):08x} {ACCOUNTS}\nversion\na b c\n\n"
    whole = f"{lines}{crc32(lines.encode()):08x} {JOURNAL}\n"
    (folder / JOURNAL).write_text(whole)
    recover(folder)
    assert (folder / ACCOUNTS).read_bytes() == b"new"
    assert debris(folder) == []


def test_a_folder_moved_after_a_crash_is_mended_where_it_is(folder: Path) -> None:
    crashed(folder, after_renames=1)
    moved = folder.with_name("moved")
    folder.rename(moved)
    recover(moved)
    assert contents(moved) == after(delete_with_all)
    assert debris(moved) == []
