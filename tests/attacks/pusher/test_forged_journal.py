"""Who can push to the config folder forges what an edit leaves that was cut short. No command that
looks writes anything, and an edit, or the running server, writes nothing outside of the folder and
nothing of the forged content."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from mailroster.store.history.log import HISTORY
from mailroster.store.journal import JOURNAL
from mailroster.store.leftovers import NEW, OLD
from mailroster.system.folder_lock import LOCK_FILE
from tests.support.attacks.looking import ACCOUNTS, HASH, LOOKING, VIRTUAL, listing, outputs
from tests.support.faulty import NOBODY, public_folder
from tests.support.instance import Instance, until

#: What the attacker wants to have written somewhere.
PAYLOAD = b"payload@example.com victim@example.com\n"
SECRET = b"root:$y$j9T$secret:20000:0:99999:7:::\n"
ADD = ("--config", "FOLDER", "email", "add", "n@example.com", "--hash", HASH)


class Place:
    """A folder that is attacked, an innocent one, and one with the files that are to be hit."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.own = root, root / "folder", root / "own"
        self.outside = root / "outside"
        for path in (self.folder, self.own, self.outside):
            path.mkdir(mode=0o755)
        for path in (self.folder, self.own):
            (path / ACCOUNTS).write_text(f"a@example.com|{HASH}\n")
            (path / VIRTUAL).write_text("info@example.com a@example.com\n")
        (self.outside / "secret").write_bytes(SECRET)
        (self.outside / "secret").chmod(0o600)

    def journal(self, content: bytes, name: str = JOURNAL) -> None:
        """With a right checksum, which anybody can make."""
        whole = content + b"%08x %s\n" % (crc32(content), JOURNAL.encode())
        (self.folder / name).write_bytes(whole)

    def stage(self, file: str) -> Path:
        path = self.folder / f".{file}{NEW}"
        path.write_bytes(PAYLOAD)
        return path

    def stamped(self, file: str, name: str = JOURNAL) -> None:
        """A journal for one file, as it is now."""
        path = self.folder / file
        content = path.read_bytes() if path.is_file() else b""
        self.journal(f"{crc32(content):08x} {file}\n".encode(), name)

    def link(self, file: str, target: Path) -> None:
        (self.folder / file).unlink(missing_ok=True)
        (self.folder / file).symlink_to(target)


@pytest.fixture
def place() -> Iterator[Place]:
    with public_folder() as root:
        yield Place(root)


# -- the forgeries


def an_unknown_name_that_is_a_link(place: Place) -> None:
    place.link("evil", place.outside / "new")
    place.stage("evil")
    place.journal(b"00000000 evil\n")


def a_known_name_that_is_a_link(place: Place) -> None:
    place.link(VIRTUAL, place.outside / "secret")
    place.stage(VIRTUAL)
    place.stamped(VIRTUAL)


def a_known_name_that_is_a_dangling_link(place: Place) -> None:
    place.link(VIRTUAL, place.outside / "new")
    place.stage(VIRTUAL)
    place.journal(f"00000000 {VIRTUAL}\n".encode())


def a_known_name_that_is_a_link_to_a_folder_link(place: Place) -> None:
    (place.folder / "..data").symlink_to(place.outside)
    place.link(VIRTUAL, Path("..data/secret"))
    place.stage(VIRTUAL)
    place.stamped(VIRTUAL)


def a_name_above_the_folder(place: Place) -> None:
    (place.folder / "..." / "outside").mkdir(parents=True)
    (place.folder / "..." / "outside" / f"new{NEW}").write_bytes(PAYLOAD)
    (place.folder / f".{NEW}").write_bytes(PAYLOAD)
    place.journal(b"00000000 ../outside/new\n")


def a_whole_path(place: Place) -> None:
    target = place.outside / "new"
    staged = place.folder / f".{target}{NEW}"
    staged.parent.mkdir(parents=True, exist_ok=True)
    staged.write_bytes(PAYLOAD)
    place.journal(f"00000000 {target}\n".encode())


def a_staged_link_to_a_secret(place: Place) -> None:
    (place.folder / f".{VIRTUAL}{NEW}").symlink_to(place.outside / "secret")
    place.stamped(VIRTUAL)


def a_staged_pipe(place: Place) -> None:
    os.mkfifo(place.folder / f".{VIRTUAL}{NEW}")
    place.stamped(VIRTUAL)


def a_staged_folder(place: Place) -> None:
    place.stamped(VIRTUAL)
    os.mkfifo(place.folder / f".{ACCOUNTS}{NEW}")


def a_staged_hard_link_to_a_secret(place: Place) -> None:
    (place.folder / f".{VIRTUAL}{NEW}").hardlink_to(place.outside / "secret")
    place.stamped(VIRTUAL)


def a_copy_that_is_a_link_to_a_secret(place: Place) -> None:
    place.stage(VIRTUAL)
    (place.folder / f".{VIRTUAL}{OLD}").symlink_to(place.outside / "secret")
    place.journal(f"00000000 {VIRTUAL}\n".encode())


def an_append_through_a_link(place: Place) -> None:
    place.link(VIRTUAL, place.outside / "secret")
    head = f"append {len(SECRET)} {len(PAYLOAD)} {VIRTUAL}\n".encode()
    place.journal(head + PAYLOAD)


def an_append_that_cuts_through_a_link(place: Place) -> None:
    (place.outside / "zeros").write_bytes(bytes(len(PAYLOAD)))
    place.link(VIRTUAL, place.outside / "zeros")
    place.journal(f"append 0 {len(PAYLOAD)} {VIRTUAL}\n".encode() + PAYLOAD)


def an_append_to_a_name_above_the_folder(place: Place) -> None:
    head = f"append {len(SECRET)} {len(PAYLOAD)} ../outside/secret\n".encode()
    place.journal(head + PAYLOAD)


def an_append_of_a_size_that_is_no_number(place: Place) -> None:
    place.journal(b"append x 3 postfix-virtual.cf\nabc")


def an_append_of_a_negative_size(place: Place) -> None:
    place.journal(b"append -1 3 postfix-virtual.cf\nabc")


def an_append_of_an_enormous_size(place: Place) -> None:
    place.journal(f"append {'9' * 5000} 3 {VIRTUAL}\nabc".encode())


def a_journal_that_is_a_link(place: Place) -> None:
    place.stage(VIRTUAL)
    place.stamped(VIRTUAL, str(place.outside / "journal"))
    (place.folder / JOURNAL).symlink_to(place.outside / "journal")


def a_journal_that_is_a_pipe(place: Place) -> None:
    place.stage(VIRTUAL)
    os.mkfifo(place.folder / JOURNAL)


def a_journal_that_is_a_device(place: Place) -> None:
    place.stage(VIRTUAL)
    (place.folder / JOURNAL).symlink_to("/dev/zero")


def a_journal_that_is_huge(place: Place) -> None:
    with (place.folder / JOURNAL).open("wb") as file:
        file.truncate(1 << 40)


def a_journal_of_many_lines(place: Place) -> None:
    place.journal(b"00000000 evil\n" * 200_000)


def a_history_that_is_a_link(place: Place) -> None:
    (place.folder / HISTORY).symlink_to(place.outside / "secret")


def a_history_that_is_a_pipe(place: Place) -> None:
    os.mkfifo(place.folder / HISTORY)


def a_history_that_names_a_file_above_the_folder(place: Place) -> None:
    size = len(SECRET)
    text = f"change 1 2026-01-01T00:00:00Z 0:root - setup x\nfile ../outside/secret 1 {size}\n"
    (place.folder / HISTORY).write_text(f"{text}at 0 1\n-a\n+b\nend 1\n")


def moves_that_are_a_link(place: Place) -> None:
    (place.folder / ".mailroster-moves").symlink_to(place.outside / "new")


def a_lock_that_is_a_link(place: Place) -> None:
    (place.folder / LOCK_FILE).symlink_to(place.outside / "new")


def a_lock_that_is_a_pipe(place: Place) -> None:
    os.mkfifo(place.folder / LOCK_FILE)


FORGERIES = (
    an_unknown_name_that_is_a_link,
    a_known_name_that_is_a_link,
    a_known_name_that_is_a_dangling_link,
    a_known_name_that_is_a_link_to_a_folder_link,
    a_name_above_the_folder,
    a_whole_path,
    a_staged_link_to_a_secret,
    a_staged_pipe,
    a_staged_folder,
    a_staged_hard_link_to_a_secret,
    a_copy_that_is_a_link_to_a_secret,
    an_append_through_a_link,
    an_append_that_cuts_through_a_link,
    an_append_to_a_name_above_the_folder,
    an_append_of_a_size_that_is_no_number,
    an_append_of_a_negative_size,
    an_append_of_an_enormous_size,
    a_journal_that_is_a_link,
    a_journal_that_is_a_pipe,
    a_journal_that_is_a_device,
    a_journal_that_is_huge,
    a_journal_of_many_lines,
    a_history_that_is_a_link,
    a_history_that_is_a_pipe,
    a_history_that_names_a_file_above_the_folder,
    moves_that_are_a_link,
    a_lock_that_is_a_link,
    a_lock_that_is_a_pipe,
)
Forgery = Callable[[Place], None]


@pytest.mark.parametrize("forge", FORGERIES)
@pytest.mark.parametrize("owner", (0, NOBODY), ids=("of root", "of another user"))
def test_a_command_that_looks_changes_nothing(place: Place, forge: Forgery, owner: int) -> None:
    forge(place)
    give(place, owner)
    before = listing(place.root)
    printed = outputs(LOOKING, place.folder, place.own)
    assert listing(place.root) == before
    assert not [words for words, text in printed.items() if "$y$j9T$secret" in text]


@pytest.mark.parametrize("forge", FORGERIES)
@pytest.mark.parametrize("owner", (0, NOBODY), ids=("of root", "of another user"))
def test_an_edit_writes_nothing_outside_and_nothing_forged(
    place: Place, forge: Forgery, owner: int
) -> None:
    forge(place)
    give(place, owner)
    before = listing(place.outside)
    printed = outputs([ADD], place.folder, place.own)
    printed |= outputs([(*ADD, "--if-not-exists")], place.folder, place.own)
    assert unlinked(listing(place.outside)) == unlinked(before)
    assert not any("$y$j9T$secret" in text for text in printed.values())
    for file in (ACCOUNTS, VIRTUAL):
        path = place.folder / file
        assert path.is_symlink() or PAYLOAD not in path.read_bytes()
        assert path.is_symlink() or SECRET not in path.read_bytes()


def give(place: Place, owner: int) -> None:
    """The folder and what lies in it, as if that user had put it there."""
    for path in (place.folder, *place.folder.rglob("*")):
        if path.is_symlink() or path.lstat().st_nlink == 1 or path.is_dir():
            os.chown(path, owner, owner, follow_symlinks=False)


def unlinked(found: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """The same without the number of names, and the times that change with it."""
    return {path: (*row[:4], row[5], *row[7:]) for path, row in found.items()}


def test_what_another_user_has_staged_is_not_used(place: Place) -> None:
    """In a folder of root, with a journal of root; the message names the user."""
    os.chown(place.stage(VIRTUAL), NOBODY, NOBODY)
    place.stamped(VIRTUAL)
    before = listing(place.root)
    outputs(LOOKING, place.folder, place.own)
    assert listing(place.root) == before
    (said,) = outputs([ADD], place.folder, place.own).values()
    assert "belongs to user nobody, who may not write" in said
    assert "remove them" in said
    assert (place.folder / VIRTUAL).read_text() == "info@example.com a@example.com\n"


def test_what_a_journal_of_another_user_says_is_not_done(place: Place) -> None:
    place.stage(VIRTUAL)
    place.stamped(VIRTUAL)
    os.chown(place.folder / JOURNAL, NOBODY, NOBODY)
    (said,) = outputs([ADD], place.folder, place.own).values()
    assert "belongs to user nobody, who may not write" in said
    assert (place.folder / VIRTUAL).read_text() == "info@example.com a@example.com\n"


@pytest.mark.parametrize("path", (JOURNAL, HISTORY, ".mailroster-moves", LOCK_FILE))
def test_a_folder_in_the_place_of_a_file_of_ours_is_reported(place: Place, path: str) -> None:
    (place.folder / path / "below").mkdir(parents=True)
    before = listing(place.root)
    outputs(LOOKING, place.folder, place.own)
    assert listing(place.root) == before
    (said,) = outputs([ADD], place.folder, place.own).values()
    assert path in said
    assert (place.folder / path / "below").is_dir()


def test_after_a_forged_journal_edits_go_on(place: Place) -> None:
    an_unknown_name_that_is_a_link(place)
    outputs([ADD], place.folder, place.own)
    assert "n@example.com" in (place.folder / ACCOUNTS).read_text()
    assert not (place.folder / JOURNAL).exists()


@pytest.fixture(scope="module")
def running() -> Iterator[Instance]:
    instance = Instance()
    try:
        instance.file(ACCOUNTS).write_text(f"a@example.com|{HASH}\n")
        instance.start()
        yield instance
    finally:
        instance.close()


@pytest.mark.parametrize("forge", FORGERIES)
def test_the_running_server_writes_nothing_forged_after_a_push(
    running: Instance, place: Place, forge: Forgery
) -> None:
    config = running.file(ACCOUNTS).parent
    place.folder.rename(place.root / "unused")
    place.folder = config
    try:
        forge(place)
        before = listing(place.outside)
        aliases = config / VIRTUAL
        line = f"{forge.__name__}@example.com a@example.com\n"
        (config / "postfix-aliases.cf").write_text(f"{forge.__name__}: a@example.com\n")
        if not aliases.is_symlink():
            aliases.write_text(line)
        name = f"pushed-{forge.__name__}@example.com"
        with (config / ACCOUNTS).open("a") as file:
            file.write(f"{name}|{HASH}\n")
        if forge not in (a_lock_that_is_a_link, a_lock_that_is_a_pipe):
            until(lambda: name in running.users(), 60)
        assert unlinked(listing(place.outside)) == unlinked(before)
    finally:
        for path in config.iterdir():
            if path.name not in (ACCOUNTS,):
                remove(path)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for below in path.iterdir():
            remove(below)
        path.rmdir()
    else:
        path.unlink()
