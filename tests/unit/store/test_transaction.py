"""A transaction at its edges: what it says of the files, whom it waits for, what it leaves."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailroster.base.content import Content
from mailroster.base.findings import Refused, TryAgain
from mailroster.publish.published_files import PublishedFiles
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store
from mailroster.store.errors import UNAPPLIED, SetAside
from mailroster.store.history.log import HISTORY
from mailroster.store.journal import JOURNAL
from mailroster.store.leftovers import OLD
from mailroster.system.files import ABSENT, Disk, identity
from mailroster.system.folder_lock import LOCK_FILE
from tests.support.faulty import FaultyDisk, die, in_child, listing

ACCOUNTS, ALIASES, QUOTAS = "postfix-accounts.cf", "postfix-virtual.cf", "dovecot-quotas.cf"
FILES = {"accounts": ACCOUNTS, "quotas": QUOTAS, "virtual": ALIASES}
BEFORE = {"accounts": "a@x.com|{S}h\n", "quotas": "a@x.com:1G\n", "virtual": "b@x.com a@x.com\n"}
LINES = {"accounts": "n@x.com|{S}h", "quotas": "n@x.com:1G", "virtual": "n@x.com a@x.com"}
SAVED = "saved@x.com a@x.com\n"
OTHER = 65534

Edit = Callable[[Roster], Roster]


def add(*fields: str) -> Edit:
    """A line more in some files."""

    def edit(roster: Roster) -> Roster:
        for field in fields:
            roster = roster._replace(**{field: getattr(roster, field).append(LINES[field])})
        return roster

    return edit


class Hooked(Disk):
    """Keeps the names of its effects, and calls `hook` with each and its path before it begins, or
    behind a rename."""

    def __init__(self, hook: Callable[[str, str], object] = lambda name, path: None) -> None:
        self.names: list[str] = []
        self._hook = hook

    def _do(self, name: str, path: str) -> None:
        self.names.append(name)
        self._hook(name, path)

    def create(self, path: str, content: Content, mode: int, owner: tuple[int, int] | None) -> None:
        ours = owner in (None, (os.geteuid(), os.getegid()))
        self._do("create" if ours else "create for another", path)
        super().create(path, content, mode, owner)

    def rename(self, old: str, new: str) -> None:
        self._do("rename", new)
        super().rename(old, new)
        self._hook("renamed", new)

    def append(self, fd: int, content: bytes) -> None:
        self._do("append", os.readlink(f"/proc/self/fd/{fd}"))
        super().append(fd, content)

    def remove(self, path: str) -> None:
        self._do("remove", path)
        super().remove(path)

    def sync_folder(self, path: str) -> None:
        self._do("sync folder", path)
        super().sync_folder(path)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory, where a sync costs nothing."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as above:
        yield filled(Path(above) / "config")


def filled(config: Path) -> Path:
    config.mkdir()
    for field, file in FILES.items():
        (config / file).write_text(BEFORE[field])
        (config / file).chmod(0o640)
    return config


def left(folder: Path) -> list[str]:
    """What is there beside the files of users."""
    return sorted({*os.listdir(folder)} - {*FILES.values(), LOCK_FILE, HISTORY})


def texts(folder: Path) -> dict[str, str]:
    return {field: (folder / file).read_text() for field, file in FILES.items()}


@pytest.mark.parametrize("fields", [("virtual",), ("accounts", "quotas", "virtual")])
def test_it_says_which_file_holds_each_document(folder: Path, fields: tuple[str, ...]) -> None:
    edited = Store(str(folder)).transact(add(*fields))
    assert edited.written == {field: identity(str(folder / FILES[field])) for field in fields}
    assert left(folder) == []


@pytest.mark.parametrize("last", ["accounts", "virtual"])
def test_of_a_file_that_is_saved_right_behind_the_rename_it_says_nothing(
    folder: Path, last: str
) -> None:
    def save(name: str, path: str) -> None:
        if name == "renamed" and path == str(folder / FILES[last]):
            Path(path).write_text("saved@x.com by@x.com\n")

    edited = Store(str(folder), Hooked(save)).transact(add("accounts", "virtual"))
    other = "virtual" if last == "accounts" else "accounts"
    assert edited.written[last] == ABSENT
    assert edited.written[other] == identity(str(folder / FILES[other]))
    assert texts(folder)[last] == "saved@x.com by@x.com\n"


@pytest.mark.parametrize(
    ("fields", "moment"),
    [
        pytest.param(("virtual",), "create", id="one file, as the new one is made"),
        pytest.param(("quotas", "virtual"), "create", id="two files, as the first is made"),
        pytest.param(("quotas", "virtual"), "sync folder", id="two files, before the journal"),
    ],
)
def test_a_file_that_is_saved_before_the_edit_counts_is_read_again(
    folder: Path, fields: tuple[str, ...], moment: str
) -> None:
    """The edit is made anew of it, and nothing of the first try is left, nor in the history."""
    saved: list[str] = []
    effects: list[tuple[str, str]] = []

    def save(name: str, path: str) -> None:
        effects.append((name, os.path.basename(path)))
        if name == moment and not saved:
            saved.append(path)
            (folder / ALIASES).write_text(SAVED)

    store = Store(str(folder), Hooked(save), history_bytes=1 << 20)
    store.transact(add(*fields))
    assert saved
    if len(fields) > 1:  # the journal goes first, for good: without its files it would be believed
        first = next(n for n, (name, _) in enumerate(effects) if name == "remove")
        assert effects[first : first + 2] == [("remove", JOURNAL), ("sync folder", "config")]
    wanted = {field: BEFORE[field] + f"{LINES[field]}\n" * (field in fields) for field in FILES}
    assert texts(folder) == wanted | {"virtual": SAVED + LINES["virtual"] + "\n"}
    assert left(folder) == []
    assert len(list(store.history())) == 1


def test_a_file_that_is_always_saved_in_between_is_left_to_who_saves_it(folder: Path) -> None:
    count = iter(range(1000))

    def save(name: str, path: str) -> None:
        if name == "create":
            (folder / ALIASES).write_text(f"saved{next(count)}@x.com a@x.com\n")

    store = Store(str(folder), Hooked(save), history_bytes=1 << 20)
    with pytest.raises(TryAgain, match="during each of 10 tries; nothing was changed"):
        store.transact(add("virtual", "quotas"))
    assert texts(folder)["quotas"] == BEFORE["quotas"]
    assert LINES["virtual"] not in texts(folder)["virtual"]
    assert left(folder) == []
    assert list(store.history()) == []
    assert b"\nchange " not in (folder / HISTORY).read_bytes()


# -- the owner of a file


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.EINVAL])
def test_a_file_whose_owner_can_not_be_given_is_written_in_place(folder: Path, number: int) -> None:
    path = folder / ALIASES
    os.chown(path, OTHER, OTHER)
    inode = path.stat().st_ino

    def refuse(name: str, path: str) -> None:
        if name == "create for another":
            raise OSError(number, os.strerror(number), path)

    disk = Hooked(refuse)
    Store(str(folder), disk).transact(add("virtual"))
    status = path.stat()
    assert texts(folder)["virtual"] == BEFORE["virtual"] + LINES["virtual"] + "\n"
    assert (status.st_ino, status.st_uid, status.st_gid) == (inode, OTHER, OTHER)
    assert status.st_mode & 0o777 == 0o640
    assert left(folder) == []
    assert disk.names.count("rename") == 0


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, TryAgain), (errno.EIO, TryAgain), (errno.EROFS, Refused)]
)
def test_a_file_that_can_not_be_made_for_its_owner_is_not_made_for_another(
    folder: Path, number: int, error: type[Exception]
) -> None:
    os.chown(folder / ALIASES, OTHER, OTHER)

    def refuse(name: str, path: str) -> None:
        if name == "create for another":
            raise OSError(number, os.strerror(number), path)

    disk = Hooked(refuse)
    with pytest.raises(error, match="nothing was changed"):
        Store(str(folder), disk).transact(add("virtual"))
    assert texts(folder) == BEFORE
    assert left(folder) == []
    assert "create" not in disk.names


def test_a_new_file_that_can_not_be_made_is_tried_once(folder: Path) -> None:
    (folder / ALIASES).unlink()

    def refuse(name: str, path: str) -> None:
        if name == "create":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)

    disk = Hooked(refuse)
    with pytest.raises(Refused, match="nothing was changed"):
        Store(str(folder), disk).transact(add("virtual"))
    assert disk.names.count("create") == 1
    assert not (folder / ALIASES).exists()


# -- a line at the end of a large file


class Large:
    """A store that knows the aliases by their index."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        copies = PublishedFiles(str(folder.parent / "served"), index_from=1)
        os.mkdir(folder.parent / "served")
        self.path = folder / ALIASES
        copies.put("virtual", Document(VIRTUAL, BEFORE["virtual"]))
        copies.record_match("virtual", str(self.path), identity(str(self.path)))
        self.store = Store(str(folder), disk, find=copies.current, history_bytes=1 << 20)


WITH_A_LINE = BEFORE["virtual"] + LINES["virtual"] + "\n"


def test_a_line_is_added_in_place_under_a_journal(folder: Path) -> None:
    disk = Hooked()
    large = Large(folder, disk)
    inode = large.path.stat().st_ino
    edited = large.store.transact(add("virtual"))
    assert large.path.read_text() == WITH_A_LINE
    assert large.path.stat().st_ino == inode
    assert edited.written == {"virtual": identity(str(large.path))}
    assert left(folder) == []
    assert [each.whole and each.done for each in large.store.history()] == [True]
    assert disk.names == [
        "append",  # to the history
        "create",  # the journal
        "sync folder",
        "append",
        "remove",  # the journal
        "sync folder",
    ]


def test_to_a_file_that_we_may_not_write_no_line_is_added(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = Large(folder, Hooked())
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(Refused, match="can't be written; nothing was changed"):
        large.store.transact(add("virtual"))
    assert large.path.read_text() == BEFORE["virtual"]


@pytest.mark.parametrize(
    "moment", ["create", "sync folder"], ids=["before the journal", "under it"]
)
@pytest.mark.parametrize("renamed", [True, False], ids=["renamed over", "written in place"])
def test_a_file_that_is_saved_before_the_line_is_added_gets_the_line(
    folder: Path, moment: str, renamed: bool
) -> None:
    done: list[str] = []

    def save(name: str, path: str) -> None:
        if name != moment or done:
            return
        done.append(path)
        if renamed:
            (folder / "editor~").write_text(SAVED)
            (folder / "editor~").rename(folder / ALIASES)
        else:
            (folder / ALIASES).write_text(SAVED)

    large = Large(folder, Hooked(save))
    large.store.transact(add("virtual"))
    assert done
    assert large.path.read_text() == SAVED + LINES["virtual"] + "\n"
    assert left(folder) == []
    assert len(list(large.store.history())) == 1


def test_a_line_that_is_added_by_another_program_meanwhile_stays(folder: Path) -> None:
    """Both lines are there; which file that is is not known then."""
    theirs = "other@x.com a@x.com\n"

    class Late(Hooked):
        def append(self, fd: int, content: bytes) -> None:
            super().append(fd, content)
            if os.readlink(f"/proc/self/fd/{fd}") == str(folder / ALIASES):
                with (folder / ALIASES).open("a") as file:
                    file.write(theirs)

    large = Large(folder, Late())
    edited = large.store.transact(add("virtual"))
    assert large.path.read_text() == WITH_A_LINE + theirs
    assert edited.written == {"virtual": ABSENT}
    assert left(folder) == []


def test_a_file_that_is_renamed_over_while_the_line_is_added_gets_the_line(folder: Path) -> None:
    done: list[bool] = []

    class Late(Hooked):
        def append(self, fd: int, content: bytes) -> None:
            super().append(fd, content)
            if os.readlink(f"/proc/self/fd/{fd}") == str(folder / ALIASES) and not done:
                done.append(True)
                (folder / "editor~").write_text(SAVED)
                (folder / "editor~").rename(folder / ALIASES)

    large = Large(folder, Late())
    large.store.transact(add("virtual"))
    assert done
    assert large.path.read_text() == SAVED + LINES["virtual"] + "\n"
    assert left(folder) == []
    assert len(list(large.store.history())) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_line_that_can_not_be_added_is_taken_back(folder: Path, number: int) -> None:
    """Half of it is there already."""

    class Full(Hooked):
        def append(self, fd: int, content: bytes) -> None:
            if os.readlink(f"/proc/self/fd/{fd}") == str(folder / ALIASES):
                os.write(fd, content[: len(content) // 2])
                raise OSError(number, os.strerror(number), str(folder / ALIASES))
            super().append(fd, content)

    large = Large(folder, Full())
    with pytest.raises(TryAgain, match="nothing was changed"):
        large.store.transact(add("virtual"))
    assert large.path.read_text() == BEFORE["virtual"]
    assert left(folder) == []
    assert list(large.store.history()) == []


# -- readers beside an edit


def test_a_reader_waits_for_an_edit_of_another_user_that_is_under_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(folder))
    pending, busy = store._transactions.recovery.pending, [TryAgain("an edit is under way")] * 2

    def first_busy() -> object:
        if busy:
            raise busy.pop()
        return pending()

    monkeypatch.setattr(store._transactions.recovery, "pending", first_busy)
    assert bytes(store.read().roster.virtual) == BEFORE["virtual"].encode()
    assert busy == []


def test_a_reader_does_not_wait_without_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(folder), wait_s=0)

    def always_busy() -> object:
        raise TryAgain("an edit is under way")

    monkeypatch.setattr(store._transactions.recovery, "pending", always_busy)
    with pytest.raises(TryAgain, match="an edit is under way"):
        store.read()


def test_a_journal_of_nobody_we_trust_is_swept_away_by_the_next_edit(folder: Path) -> None:
    (folder / JOURNAL).write_bytes(b"no journal")
    Store(str(folder)).transact(add("virtual"))
    assert texts(folder)["virtual"] == WITH_A_LINE
    assert left(folder) == []


# -- killed at each effect; tests/crashes does it for more kinds of folders and edits

BOTH = ("quotas", "virtual")


class Killing(FaultyDisk):
    """Is killed at an effect. `own` is False where the owner of a file can't be given."""

    def __init__(self, at: int, *, own: bool = True) -> None:
        super().__init__(at, die)
        self._own = own

    def create(self, path: str, content: Content, mode: int, owner: tuple[int, int] | None) -> None:
        if not self._own and owner not in (None, (0, 0)):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)
        super().create(path, content, mode, owner)


class Kind:
    """A folder of some kind, an edit of it, and what the edit leads to."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.elsewhere = folder.parent / "elsewhere"
        self.step = 3 if name in ("in place", "behind links") else 1  # these have many effects
        self.fields = ("virtual",) if name == "large" else BOTH
        self.after = {field: BEFORE[field] + f"{LINES[field]}\n" for field in self.fields}
        self.after = BEFORE | self.after

    def make(self) -> None:
        for path in (self.folder, self.elsewhere, self.folder.parent / "served"):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        for field, file in FILES.items():
            path = self.folder / file
            path.write_text(BEFORE[field])
            path.chmod(0o640)
            if self.name == "in place":
                os.chown(path, OTHER, OTHER)
            elif self.name == "behind links":
                path.rename(self.elsewhere / file)
                path.symlink_to(self.elsewhere / file)

    def store(self, disk: Disk | None = None) -> Store:
        if self.name == "large":
            copies = PublishedFiles(str(self.folder.parent / "served"), index_from=1)
            path = self.folder / ALIASES
            copies.put("virtual", Document(VIRTUAL, BEFORE["virtual"]))
            copies.record_match("virtual", str(path), identity(str(path)))
            return Store(str(self.folder), disk, find=copies.current, history_bytes=1 << 20)
        return Store(str(self.folder), disk, linked=[str(self.elsewhere)], history_bytes=1 << 20)

    def killed(self, at: int) -> bool:
        """Whether the edit was killed at an effect; else it was done."""
        self.make()
        disk = Killing(at, own=self.name != "in place")
        return in_child(lambda: self.store(disk).transact(add(*self.fields))) == "killed"

    def left(self) -> list[Path]:
        files = [*self.folder.iterdir(), *self.elsewhere.iterdir()]
        return [path for path in files if path.name not in (*FILES.values(), LOCK_FILE, HISTORY)]


KINDS = ["renamed", "in place", "behind links", "large"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, folder: Path) -> Kind:
    return Kind(folder, request.param)


def test_killed_at_any_effect_all_of_an_edit_is_there_or_nothing(kind: Kind) -> None:
    ends, at = set[bool](), 1
    while kind.killed(at):
        for path in kind.left():
            secret = path.name.endswith((JOURNAL, OLD))
            assert path.stat().st_mode & 0o777 in ((0o600,) if secret else (0o600, 0o640)), path
        seen = Store(str(kind.folder), linked=[str(kind.elsewhere)]).read().roster
        store = Store(str(kind.folder), linked=[str(kind.elsewhere)], history_bytes=1 << 20)
        entries = len(list(store.history()))
        store.recover()
        found = texts(kind.folder)
        assert found in (BEFORE, kind.after), at
        assert {field: getattr(seen, field).text for field in FILES} == found, "as a reader saw it"
        assert kind.left() == []
        is_made = found == kind.after
        ends.add(is_made)
        assert entries == len(list(store.history())) == is_made, at
        before = listing(kind.folder)
        store.recover()
        assert listing(kind.folder) == before, "it is all done"
        if kind.name == "in place":
            assert {(kind.folder / file).stat().st_uid for file in FILES.values()} == {OTHER}
        elif kind.name == "behind links":
            assert all((kind.folder / file).is_symlink() for file in FILES.values())
        at += kind.step
    assert ends == {True, False}
    assert at > 10
    assert texts(kind.folder) == kind.after


@pytest.mark.parametrize("field", BOTH)
def test_a_file_that_is_saved_while_an_edit_lies_half_finished_stays(
    folder: Path, field: str
) -> None:
    """Our version is kept beside it, and the other file gets what the edit says."""
    kind, at, set_aside = Kind(folder, "renamed"), 1, 0
    while kind.killed(at):
        half = texts(folder)
        (folder / FILES[field]).write_text(SAVED)
        store = Store(str(folder), history_bytes=1 << 20)
        ours = folder / (FILES[field] + UNAPPLIED)
        try:
            store.recover()
        except SetAside as error:
            set_aside += 1
            assert FILES[field] in str(error)
            assert ours.read_text() == kind.after[field]
            ours.unlink()
            (other,) = {*BOTH} - {field}
            assert texts(folder)[other] == kind.after[other]
        else:
            assert not ours.exists()
        assert texts(folder)[field] == SAVED
        assert kind.left() == []
        store.recover()
        assert half["accounts"] == BEFORE["accounts"]
        at += 1
    # Only between the two renames; before them nothing has begun, and the edit is taken back.
    assert set_aside == (1 if field == "virtual" else 0)


@pytest.mark.parametrize("moment", [0, 1], ids=["as it is staged", "as it is copied beside it"])
def test_a_linked_file_that_is_saved_at_the_last_moment_is_read_again(
    folder: Path, moment: int
) -> None:
    kind = Kind(folder, "behind links")
    kind.make()
    target, creations = kind.elsewhere / ALIASES, [0]

    def save(name: str, path: str) -> None:
        if name == "create":
            if creations[0] == moment:
                target.write_text(SAVED)
            creations[0] += 1

    store = kind.store(Hooked(save))
    store.transact(add("virtual"))
    assert creations[0] > moment
    assert target.read_text() == SAVED + LINES["virtual"] + "\n"
    assert kind.left() == []
    assert len(list(store.history())) == 1
