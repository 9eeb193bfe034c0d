"""A line added to a large file is written at its end, in place, and yet wholly or not at all."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailroster.base.content import Content
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store
from mailroster.store.journal import JOURNAL
from mailroster.system.files import Disk
from tests.support.faulty import ACCOUNTS, HASH, contents, debris, recovered
from tests.support.published_home import Home, add, add_alias, set_quota

NEW = f"new@fresh.org|{HASH}\r\n".encode()  # as the first line ends


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path, 1)
    home.make()
    path = home.config / ACCOUNTS
    path.write_bytes(path.read_bytes() + b"\r\n")  # else the last line is written anew
    home.reconcile()
    return home


class Watching(Disk):
    """Lets somebody act as soon as the journal is there, which it keeps."""

    def __init__(self, act: Callable[[], object] = lambda: None) -> None:
        self._act, self.journal, self.appended, self._acted = act, b"", 0, False

    def create(self, path: str, content: Content, mode: int, owner: tuple[int, int] | None) -> None:
        super().create(path, content, mode, owner)
        if path.endswith(JOURNAL):
            self.journal = Path(path).read_bytes()
            if not self._acted:
                self._acted = True
                self._act()

    def append(self, fd: int, content: bytes) -> None:
        self.appended += 1
        super().append(fd, content)


def test_one_more_line_is_written_in_place_and_nothing_else(home: Home) -> None:
    path, disk = home.config / ACCOUNTS, Watching()
    before, inode = path.read_bytes(), path.stat().st_ino
    home.edit(disk, add)
    assert path.read_bytes() == before + NEW
    assert (path.stat().st_ino, disk.appended) == (inode, 1)
    home.in_step()


@pytest.mark.parametrize("verb", [add, add_alias, set_quota])
def test_a_small_file_is_written_anew(tmp_path: Path, verb: Callable[[Roster], Roster]) -> None:
    home = Home(tmp_path, 1 << 20)
    home.make()
    disk = Watching()
    home.edit(disk, verb)
    assert disk.appended == 0


def left_by_power_cuts(old: bytes, journal: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """What may be found of the file and of the journal. The journal lasts before the first byte of
    the lines is written, and the lines before it is dropped."""
    for length in (0, 1, len(journal) // 2, len(journal) - 1):
        yield old, journal[:length]
        yield old, bytes(length)
    yield old, journal
    for length in range(len(NEW) + 1):
        yield old + NEW[:length], journal
        yield old + bytes(length), journal
        yield old + NEW[:length] + bytes(len(NEW) - length), journal
    yield old + NEW, None


def test_after_a_power_cut_the_line_is_there_or_not(home: Home) -> None:
    path, disk = home.config / ACCOUNTS, Watching()
    old = path.read_bytes()
    home.edit(disk, add)
    for found, journal in left_by_power_cuts(old, disk.journal):
        path.write_bytes(found)
        if journal is not None:
            (home.config / JOURNAL).write_bytes(journal)
        assert recovered(home.config) == "done"
        now = contents(home.config)[ACCOUNTS]
        assert now == (old if journal not in (None, disk.journal) else old + NEW), (found, journal)
        assert debris(home.config) == []


def by_rename(path: Path) -> None:
    beside = path.with_name("beside")
    beside.write_bytes(b"# by hand\r\n" + path.read_bytes())
    beside.rename(path)


def by_append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"# by hand\r\n")


def by_truncation(path: Path) -> None:
    path.write_bytes(b"# by hand\r\n" + path.read_bytes())


@pytest.mark.parametrize("save", [by_rename, by_append, by_truncation])
def test_what_is_saved_just_before_is_kept_and_so_is_the_line(
    home: Home, save: Callable[[Path], None]
) -> None:
    path = home.config / ACCOUNTS
    before = path.read_bytes()
    home.edit(Watching(lambda: save(path)), add)
    assert sorted(path.read_bytes().splitlines()) == sorted(
        (before + b"# by hand\r\n" + NEW).splitlines()
    )
    home.reconcile()
    home.in_step()


def test_a_journal_is_not_believed_about_a_file_that_is_not_ours(home: Home) -> None:
    outside = home.root / "outside"
    outside.write_bytes(b"x")
    from zlib import crc32

    content = b"append 1 3 ../outside\nabc"
    (home.config / JOURNAL).write_bytes(content + f"{crc32(content):08x} {JOURNAL}\n".encode())
    assert recovered(home.config) == "done"
    assert outside.read_bytes() == b"x"
    assert debris(home.config) == []


@pytest.mark.parametrize("found", [b"", b"# another\n"])
def test_what_somebody_wrote_after_a_crash_stays(home: Home, found: bytes) -> None:
    path, disk = home.config / ACCOUNTS, Watching()
    home.edit(disk, add)
    path.write_bytes(found)
    (home.config / JOURNAL).write_bytes(disk.journal)
    assert recovered(home.config) == "done"
    assert path.read_bytes() == found


def test_a_file_that_may_not_be_written_is_refused(home: Home) -> None:
    from mailroster.base.findings import Refused

    class Closed(Disk):
        def append(self, fd: int, content: bytes) -> None:
            raise PermissionError(13, os.strerror(13))

    before = contents(home.config)
    with pytest.raises(Refused, match="nothing was changed"):
        home.edit(Closed(), add)
    assert contents(home.config) == before
    assert debris(home.config) == []
    assert Store(str(home.config)).read().roster.accounts.position("new@fresh.org") is None
