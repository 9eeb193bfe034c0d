"""The config folder as values: what is read, what an edit writes, and what it costs."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mailroster.base.content import Content
from mailroster.base.findings import Refused, TryAgain
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store
from mailroster.store.reader import _JOURNAL_READS
from mailroster.system.files import ABSENT, Disk, identity, look

Edit = Callable[[Roster], Roster]


class Effects(Disk):
    """Names what it does."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def create(self, path: str, content: Content, mode: int, owner: tuple[int, int] | None) -> None:
        self.names.append("create")
        super().create(path, content, mode, owner)

    def rename(self, old: str, new: str) -> None:
        self.names.append("rename")
        super().rename(old, new)

    def remove(self, path: str) -> None:
        self.names.append("remove")
        super().remove(path)

    def sync(self, fd: int) -> None:
        self.names.append("sync")
        super().sync(fd)


def add_line(*fields: str) -> Edit:
    def edit(roster: Roster) -> Roster:
        for field in fields:
            roster = roster._replace(**{field: getattr(roster, field).append("n n@x.com")})
        return roster

    return edit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "postfix-virtual.cf").write_bytes(b"a b@x.com\r\n\xff\xfe")
    return tmp_path


def test_what_is_read_is_what_stands_there_to_the_byte(folder: Path) -> None:
    snapshot = Store(str(folder)).read()
    assert bytes(snapshot.roster.virtual) == b"a b@x.com\r\n\xff\xfe"
    assert bytes(snapshot.roster.accounts) == b""
    assert snapshot.identities["accounts"] == ABSENT
    assert snapshot.identities["virtual"] == identity(str(folder / "postfix-virtual.cf"))
    assert snapshot.unreadable == {}


def test_documents_that_are_known_are_used_again_if_their_text_still_stands(folder: Path) -> None:
    store = Store(str(folder))
    known = store.read().roster
    store.transact(add_line("quotas"))
    roster = store.read((known,)).roster
    assert roster.virtual is known.virtual
    assert roster.quotas is not known.quotas


def test_an_edit_gives_its_plan_and_the_rosters_before_and_after(folder: Path) -> None:
    plan, before, after, *_ = Store(str(folder)).transact(add_line("virtual"))
    assert [edit.file for edit in plan.edits] == ["postfix-virtual.cf"]
    assert bytes(before.virtual) == b"a b@x.com\r\n\xff\xfe"
    assert (folder / "postfix-virtual.cf").read_bytes() == bytes(after.virtual)


def test_of_an_edit_that_changes_nothing_nothing_is_written(folder: Path) -> None:
    Store(str(folder)).transact(lambda roster: roster)  # makes the lock file
    disk, before = Effects(), identity(str(folder))
    edited = Store(str(folder), disk).transact(lambda roster: roster)
    assert (edited.plan.edits, edited.written) == ((), {})
    assert bytes(edited.after.virtual) == bytes(edited.before.virtual) == b"a b@x.com\r\n\xff\xfe"
    assert disk.names == []
    assert identity(str(folder)) == before


def test_a_dry_run_gives_the_plan_and_writes_nothing(folder: Path) -> None:
    disk, before = Effects(), identity(str(folder))
    plan, *_ = Store(str(folder), disk).transact(add_line("virtual", "quotas"), dry_run=True)
    assert len(plan.edits) == 2
    assert disk.names == []
    assert identity(str(folder)) == before


def test_an_edit_that_is_refused_writes_nothing(folder: Path) -> None:
    def refuse(roster: Roster) -> Roster:
        raise Refused("no")

    disk = Effects()
    with pytest.raises(Refused, match="no"):
        Store(str(folder), disk).transact(refuse)
    assert disk.names == []


@pytest.mark.parametrize("dry_run", (True, False))
def test_a_folder_that_is_not_there_is_told_and_made_by_the_first_edit_only(
    tmp_path: Path, dry_run: bool
) -> None:
    store = Store(str(tmp_path / "dms" / "config"))
    with pytest.raises(Refused, match="there is no config folder"):
        store.read()
    if dry_run:
        changes, *_ = store.transact(add_line("virtual"), dry_run=True)
        assert bytes(changes.edits[0].after) == b"n n@x.com\n"
        assert not (tmp_path / "dms").exists()
    else:
        store.transact(add_line("virtual"))
        assert store.read().roster.virtual.text == "n n@x.com\n"


def test_what_changes_nothing_makes_no_folder(tmp_path: Path) -> None:
    Store(str(tmp_path / "dms" / "config")).transact(lambda roster: roster)
    assert not (tmp_path / "dms").exists()


# -- cost


def test_an_edit_of_one_file_costs_one_new_file_one_rename_and_two_syncs(folder: Path) -> None:
    disk = Effects()
    Store(str(folder), disk).transact(add_line("virtual"))
    assert disk.names == ["create", "sync", "rename", "sync"]


def test_an_edit_of_three_files_costs_a_journal_more(folder: Path) -> None:
    disk = Effects()
    Store(str(folder), disk).transact(add_line("virtual", "quotas", "masters"))
    staged, journal = ["create", "sync"] * 3, ["sync", "create", "sync", "sync"]
    dropped = ["remove", "sync"]
    assert disk.names == [*staged, *journal, *["rename"] * 3, "sync", *dropped]


def test_an_edit_of_one_file_needs_no_module_for_the_journal(folder: Path) -> None:
    code = (
        "import sys; from mailroster.store.config_folder import Store\n"
        "def edit(roster): return roster._replace(virtual=roster.virtual.append('n n@x.com'))\n"
        "Store(sys.argv[1]).transact(edit)\n"
        "print(sorted({'json', 'zlib', 'hashlib', 'shutil', 'tempfile'} & set(sys.modules)))"
    )
    command = [sys.executable, "-S", "-c", code, str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert (done.stdout, done.stderr) == (b"[]\n", b"")


# -- words: Refused for what only a person can fix, TryAgain for what may pass


@pytest.mark.parametrize(
    ("number", "fault"),
    (
        (28, TryAgain),
        (5, TryAgain),
        (122, TryAgain),
        (24, TryAgain),
        (13, Refused),
        (1, Refused),
        (30, Refused),
    ),
    ids=(
        "disk full",
        "I/O error",
        "quota",
        "descriptors",
        "no right",
        "not permitted",
        "read-only",
    ),
)
def test_a_failing_disk_is_told_in_the_systems_words(
    folder: Path, number: int, fault: type[Exception]
) -> None:
    class Failing(Disk):
        def create(
            self, path: str, content: Content, mode: int, owner: tuple[int, int] | None
        ) -> None:
            raise OSError(number, os.strerror(number), path)

    with pytest.raises(fault) as told:
        Store(str(folder), Failing()).transact(add_line("virtual"))
    path = folder / ".postfix-virtual.cf.mailroster-new"
    full = number in (errno.ENOSPC, errno.EDQUOT)
    hint = "; make room on that file system" if full else ""
    assert str(told.value) == f"{path}: {os.strerror(number)}; nothing was changed{hint}"


# -- look


def test_a_look_at_a_file_gives_its_bytes_and_identity(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert look(str(path)) == (b"", ABSENT)
    assert look(str(path / "below a file")) == (b"", ABSENT)
    path.write_bytes(b"x" * 100_000)
    assert look(str(path)) == (b"x" * 100_000, identity(str(path)))
    assert look(str(path / "below a file")) == (b"", ABSENT)


def test_the_identity_of_what_cannot_be_looked_at_is_absent(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert identity(str(tmp_path / "loop")) == ABSENT


def test_a_file_that_can_not_be_read_is_named_to_who_needs_it(folder: Path) -> None:
    (folder / "postfix-accounts.cf").mkdir()
    snapshot = Store(str(folder)).read()
    assert list(snapshot.unreadable) == ["accounts"]
    with pytest.raises(Refused, match=str(folder / "postfix-accounts.cf")):
        snapshot.readable()
    with pytest.raises(Refused, match=r"a directory|not a regular file"):
        snapshot.readable(("virtual", "accounts"))
    assert snapshot.readable(("virtual",)) is snapshot.roster
    with pytest.raises(Refused, match=str(folder / "postfix-accounts.cf")):
        Store(str(folder)).transact(add_line("quotas"))


class Looks:
    """Counts the looks of a reader, and says of some that files were written meanwhile."""

    def __init__(self, store: Store, unsure: int, monkeypatch: pytest.MonkeyPatch) -> None:
        reader = store._reader
        self.count, read = 0, reader._read_and_compare

        def counted(*arguments: object) -> object:
            self.count += 1
            snapshot, is_consistent = read(*arguments)  # type: ignore[arg-type]
            return snapshot, is_consistent and self.count > unsure

        monkeypatch.setattr(reader, "_read_and_compare", counted)
        monkeypatch.setattr("mailroster.store.reader.PAUSE_S", 0)


@pytest.mark.parametrize("unsure", [0, 1, 3])
def test_a_reader_looks_again_until_nothing_was_written_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch, unsure: int
) -> None:
    store = Store(str(folder))
    looks = Looks(store, unsure, monkeypatch)
    store.read()
    assert looks.count == unsure + 1
    assert not (folder / ".mailroster.lock").exists()


@pytest.mark.parametrize(
    ("is_held", "is_absent", "is_busy"),
    [(True, False, False), (False, True, False), (False, False, True)],
    ids=["it has the lock", "no edit was ever made", "the lock can't be had"],
)
def test_a_reader_of_files_that_are_always_written_keeps_edits_out(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_held: bool,
    is_absent: bool,
    is_busy: bool,
) -> None:
    class Lock:
        def __init__(self, folder: str, wait_s: float, *, make: bool) -> None:
            assert (wait_s, make) == (7, False)

        def __enter__(self) -> "Lock":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def is_held(self) -> bool:
            return is_held

        def is_absent(self) -> bool:
            return is_absent

    monkeypatch.setattr("mailroster.store.reader.FolderLock", Lock)
    store = Store(str(folder), wait_s=7)
    looks = Looks(store, 1000, monkeypatch)
    if is_busy:
        with pytest.raises(TryAgain, match="is changed again and again"):
            store.read()
    else:
        assert bytes(store.read().roster.virtual) == b"a b@x.com\r\n\xff\xfe"
    assert looks.count > 2


def test_a_reader_waits_a_while_for_an_edit_that_is_under_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it reads the edit as a recovery will complete it."""
    (folder / "dovecot-quotas.cf").write_text("a@x.com:1G\n")

    class Killed(Effects):
        def rename(self, old: str, new: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(str(folder), Killed()).transact(add_line("quotas", "virtual"))
    store = Store(str(folder))
    looks = Looks(store, 0, monkeypatch)
    snapshot = store.read()
    assert snapshot.pending
    assert snapshot.roster.quotas.text == "a@x.com:1G\nn n@x.com\n"
    assert looks.count == _JOURNAL_READS + 1
    assert (folder / "dovecot-quotas.cf").read_text() == "a@x.com:1G\n"
    store.recover()
    assert (folder / "dovecot-quotas.cf").read_text() == "a@x.com:1G\nn n@x.com\n"
    assert not store.read().pending


def test_an_edit_by_hand_is_told_from_one_that_a_command_has_made_and_taken_back(
    folder: Path,
) -> None:
    store = Store(str(folder), history_bytes=1 << 20)
    before = store.read().roster
    store.transact(add_line("quotas"))
    added = store.read()
    quotas = folder / "dovecot-quotas.cf"
    text = quotas.read_text()
    store.transact(lambda roster: roster._replace(quotas=before.quotas))
    # The line comes into force only now, when the files say something else already.
    assert store.record_manual_edits(before, added.roster, added.identities) == ""
    assert [entry.by_hand for entry in store.history()] == [False, False]
    quotas.write_text(text)
    again = store.read()
    assert store.record_manual_edits(before, again.roster, again.identities) == ""
    assert [entry.by_hand for entry in store.history()] == [True, False, False]
    assert store.record_manual_edits(before, again.roster, again.identities) == ""
    assert len(list(store.history())) == 3, "it is noted once"
