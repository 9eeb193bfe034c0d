"""An overlay: a file follows the source until it is changed here, and when both agree again."""

import os
import stat
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path

import pytest

from mailroster.base.findings import Refused
from mailroster.store.links import ConfigFolder
from mailroster.store.overlay import source
from mailroster.store.overlay.comparison import BEHIND, BOTH, EDITED, FOLLOWS
from mailroster.store.overlay.overlay import Overlay
from mailroster.store.overlay.record import RECORD, FileRecord, OverlayState, parse
from mailroster.system.files import ABSENT, Identity
from mailroster.system.folder_lock import LOCK_FILE
from tests.support.faulty import mount, own_mounts
from tests.support.kubelet import Volume

ACCOUNTS, QUOTAS, VIRTUAL = "postfix-accounts.cf", "dovecot-quotas.cf", "postfix-virtual.cf"
FIRST = {ACCOUNTS: "a@x.com|{PLAIN}a\n", VIRTUAL: "i@x.com a@x.com\n"}


class Pair:
    """A source, and its overlay."""

    def __init__(self, root: Path, *, volume: bool) -> None:
        self.there, self.here = root / "source", root / "overlay"
        self._volume = Volume(self.there, {}) if volume else None
        self.there.mkdir(exist_ok=True)
        self.overlay = Overlay(str(self.there), str(self.here))
        self.put(FIRST)

    def put(self, files: Mapping[str, str]) -> None:
        """What the source holds from now on."""
        if self._volume is not None:
            self._volume.put(files)
            return
        for path in self.there.iterdir():
            if path.name not in files:
                path.unlink()
        for file, text in files.items():
            (self.there / file).write_text(text)

    def edit(self, file: str, text: str | None) -> None:
        """What a file of the overlay holds from now on; None: it is gone."""
        path = self.here / file
        if text is None:
            path.unlink()
            return
        path.with_name(".new").write_text(text)
        path.with_name(".new").rename(path)

    def brought(self) -> dict[str, str]:
        """What the overlay holds once the source was looked at."""
        self.overlay.update()
        return self.files()

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.here.iterdir() if path.name[0] != "."}

    def states(self) -> dict[str, str]:
        return {each.file: each.state for each in self.overlay.file_states()}

    def codes(self) -> list[tuple[str, str]]:
        return [(finding.where.file, finding.code) for finding in self.overlay.findings()]


@pytest.fixture(params=[False, True], ids=["a plain folder", "a volume of Kubernetes"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    return Pair(tmp_path, volume=request.param)


def test_all_files_come_at_first(pair: Pair) -> None:
    assert pair.brought() == FIRST
    assert pair.states() == {ACCOUNTS: FOLLOWS, VIRTUAL: FOLLOWS}
    assert pair.codes() == []


@pytest.mark.parametrize(
    ("edit", "change", "left", "state"),
    [
        pytest.param({}, {VIRTUAL: "new\n"}, "new\n", FOLLOWS, id="changed there"),
        pytest.param({}, {VIRTUAL: None}, None, None, id="gone there"),
        pytest.param({}, {VIRTUAL: ""}, None, None, id="empty there"),
        pytest.param({VIRTUAL: "mine\n"}, {}, "mine\n", EDITED, id="changed here"),
        pytest.param({VIRTUAL: None}, {}, None, EDITED, id="gone here"),
        pytest.param({VIRTUAL: "mine\n"}, {VIRTUAL: "new\n"}, "mine\n", BOTH, id="in both"),
        pytest.param({VIRTUAL: "mine\n"}, {VIRTUAL: None}, "mine\n", BOTH, id="here, gone there"),
        pytest.param({VIRTUAL: None}, {VIRTUAL: "new\n"}, None, BOTH, id="gone here, new there"),
        pytest.param({VIRTUAL: "x\n"}, {VIRTUAL: "x\n"}, "x\n", FOLLOWS, id="the same in both"),
        pytest.param({VIRTUAL: None}, {VIRTUAL: None}, None, None, id="gone in both"),
    ],
)
def test_what_was_changed_here_stays_and_the_rest_follows(
    pair: Pair,
    edit: dict[str, str | None],
    change: dict[str, str | None],
    left: str | None,
    state: str | None,
) -> None:
    pair.brought()
    for file, text in edit.items():
        pair.edit(file, text)
    texts = {**FIRST, **change}
    pair.put({file: text for file, text in texts.items() if text is not None})
    for _ in range(2):  # the second time finds nothing to do
        assert (pair.brought().get(VIRTUAL) or None) == left
        states = {file: found for file, found in pair.states().items() if found != FOLLOWS}
        assert states == ({VIRTUAL: state} if state not in (FOLLOWS, None) else {})
        assert pair.codes() == ([(VIRTUAL, "changed-in-both")] if state == BOTH else [])
        assert pair.files()[ACCOUNTS] == FIRST[ACCOUNTS]


def test_a_file_that_was_folded_back_follows_again(pair: Pair) -> None:
    pair.brought()
    pair.edit(VIRTUAL, "mine\n")
    pair.put({**FIRST, VIRTUAL: "theirs\n"})
    assert pair.brought()[VIRTUAL] == "mine\n"
    pair.put({**FIRST, VIRTUAL: "mine\n"})
    assert pair.brought()[VIRTUAL] == "mine\n"
    assert pair.codes() == []
    pair.put({**FIRST, VIRTUAL: "later\n"})
    assert pair.brought()[VIRTUAL] == "later\n"


def test_a_file_that_took_over_the_sources_text_follows_again(pair: Pair) -> None:
    """The other way to agree. It has to be seen before the source goes on."""
    pair.brought()
    pair.edit(VIRTUAL, "mine\n")
    pair.put({**FIRST, VIRTUAL: "theirs\n"})
    while pair.overlay.update():  # until only an edit of here is any news
        pass
    pair.edit(VIRTUAL, "theirs\n")
    pair.brought()
    pair.put({**FIRST, VIRTUAL: "later\n"})
    assert pair.brought()[VIRTUAL] == "later\n"


def test_a_file_that_was_put_back_as_it_came_follows_again(pair: Pair) -> None:
    pair.brought()
    pair.edit(VIRTUAL, "mine\n")
    pair.brought()
    pair.edit(VIRTUAL, FIRST[VIRTUAL])
    pair.put({**FIRST, VIRTUAL: "later\n"})
    assert pair.brought()[VIRTUAL] == "later\n"


def test_an_older_version_put_back_by_hand_is_an_edit(pair: Pair) -> None:
    pair.brought()
    pair.put({**FIRST, VIRTUAL: "second\n"})
    pair.brought()
    pair.edit(VIRTUAL, FIRST[VIRTUAL])
    pair.put({**FIRST, VIRTUAL: "third\n"})
    assert pair.brought()[VIRTUAL] == FIRST[VIRTUAL]
    assert pair.codes() == [(VIRTUAL, "changed-in-both")]


def test_a_file_that_was_made_here_stays(pair: Pair) -> None:
    pair.brought()
    pair.edit(QUOTAS, "a@x.com:1G\n")
    pair.put({**FIRST, VIRTUAL: "new\n"})
    assert pair.brought() == {**FIRST, VIRTUAL: "new\n", QUOTAS: "a@x.com:1G\n"}
    assert pair.states()[QUOTAS] == EDITED
    pair.put({**FIRST, QUOTAS: "a@x.com:2G\n"})
    assert pair.brought()[QUOTAS] == "a@x.com:1G\n"
    assert pair.codes() == [(QUOTAS, "changed-in-both")]


def test_a_source_without_its_accounts_takes_nothing_away(pair: Pair) -> None:
    """That is how a mount looks that failed, or is half done."""
    pair.brought()
    pair.put({VIRTUAL: "new\n"})
    assert pair.brought() == {**FIRST, VIRTUAL: "new\n"}
    assert pair.codes() == [(ACCOUNTS, "no-source")]
    pair.put({})
    assert pair.brought() == {**FIRST, VIRTUAL: "new\n"}
    pair.put({ACCOUNTS: "b@x.com|{PLAIN}b\n"})
    assert pair.brought() == {ACCOUNTS: "b@x.com|{PLAIN}b\n"}
    assert pair.codes() == []


def test_a_source_that_never_had_accounts_may_lose_files(pair: Pair) -> None:
    pair.put({VIRTUAL: "one\n", QUOTAS: "two\n"})
    pair.brought()
    pair.put({QUOTAS: "two\n"})
    assert pair.brought() == {QUOTAS: "two\n"}


def test_a_source_that_is_away_changes_nothing(pair: Pair) -> None:
    pair.brought()
    pair.there.rename(pair.there.with_name("away"))
    assert pair.brought() == FIRST
    assert pair.codes() == [(ACCOUNTS, "no-source")]
    pair.there.with_name("away").rename(pair.there)
    pair.put({**FIRST, VIRTUAL: "new\n"})
    assert pair.brought()[VIRTUAL] == "new\n"
    assert pair.codes() == []


def test_a_source_that_was_never_there_is_refused(tmp_path: Path) -> None:
    overlay = Overlay(str(tmp_path / "none"), str(tmp_path / "overlay"))
    with pytest.raises(Refused, match=r"can't be read .*, and .* has no copy of it yet"):
        overlay.update()


def test_what_is_new_is_told_and_nothing_else_is_read(pair: Pair) -> None:
    def news() -> bool:
        return pair.overlay.update()

    assert news()
    while news():  # what has just been written may be written again within the same tick
        pass
    pair.edit(QUOTAS, "a@x.com:1G\n")
    pair.edit(VIRTUAL, "mine\n")
    assert not news(), "an edit of here is no news of the source"
    pair.put({**FIRST, VIRTUAL: "new\n"})
    assert news()


@pytest.mark.parametrize(
    ("age_s", "lasting"),
    [
        pytest.param(1.5, True, id="old"),
        pytest.param(0.001, False, id="of this tick"),
        pytest.param(-5.5, False, id="of another clock"),
        pytest.param(10, False, id="of whole seconds"),
    ],
)
def test_a_file_that_may_be_written_again_and_look_the_same_is_looked_at_again(
    age_s: float, lasting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    ctime_ns = int((1_000_000.0 - age_s) * 1e9)
    assert source.is_lasting(Identity(1, 2, 3, ctime_ns)) == lasting
    assert source.is_lasting(ABSENT)


def test_a_write_within_a_tick_is_not_missed(pair: Pair) -> None:
    """Whatever is written right behind a look may bear the same times."""
    pair.brought()
    for number in range(50):
        pair.put({**FIRST, VIRTUAL: f"{number:02}\n"})
        assert pair.brought()[VIRTUAL] == f"{number:02}\n"


# -- which files, with which modes


@pytest.fixture
def plain(tmp_path: Path) -> Pair:
    return Pair(tmp_path, volume=False)


@pytest.mark.parametrize(
    "name",
    [
        "mailroster.toml", "a@x.com.dovecot.sieve", "postfix-main.cf", "quota-warning.txt",
        "refused passwords", "ünïcode.txt",
    ],
)  # fmt: skip
def test_any_file_of_the_folder_comes(plain: Pair, name: str) -> None:
    plain.put({**FIRST, name: "text"})
    assert plain.brought()[name] == "text"
    plain.put({**FIRST, name: "other"})
    assert plain.brought()[name] == "other"


@pytest.mark.parametrize(
    "name",
    [".hidden", "..2026", ".mailroster-history", f"{VIRTUAL}.mailroster-unapplied", "a\nb"],
)  # fmt: skip
def test_what_does_not_belong_to_it_does_not(plain: Pair, name: str) -> None:
    plain.put({**FIRST, name: "text"})
    plain.overlay.update()
    names = {path.name for path in plain.here.iterdir()} - {RECORD, LOCK_FILE}
    assert names == set(FIRST)


def test_folders_and_pipes_do_not_and_are_in_nobodys_way(plain: Pair) -> None:
    (plain.there / "dkim").mkdir()
    (plain.there / "dkim/key").write_text("k")
    os.mkfifo(plain.there / "pipe")
    (plain.there / "nowhere").symlink_to("none")
    assert plain.brought() == FIRST
    assert plain.codes() == [("pipe", "unreadable-file")]


def test_a_folder_here_of_the_name_of_a_file_there_stays(plain: Pair) -> None:
    plain.here.mkdir()
    (plain.here / VIRTUAL).mkdir()
    plain.overlay.update()
    assert (plain.here / VIRTUAL).is_dir()
    assert (plain.here / ACCOUNTS).read_text() == FIRST[ACCOUNTS]


def test_a_pipe_or_a_link_here_counts_as_an_edit(plain: Pair) -> None:
    plain.brought()
    (plain.here / VIRTUAL).unlink()
    (plain.here / VIRTUAL).symlink_to("elsewhere")
    (plain.here / "elsewhere").write_text(FIRST[VIRTUAL])
    (plain.here / QUOTAS).unlink(missing_ok=True)
    os.mkfifo(plain.here / QUOTAS)
    plain.put({ACCOUNTS: "b@x.com|{PLAIN}b\n", VIRTUAL: "new\n", QUOTAS: "q\n"})
    plain.overlay.update()
    assert (plain.here / VIRTUAL).readlink() == Path("elsewhere")
    assert (plain.here / VIRTUAL).read_text() == FIRST[VIRTUAL]
    assert stat.S_ISFIFO((plain.here / QUOTAS).stat().st_mode)
    assert (plain.here / ACCOUNTS).read_text() == "b@x.com|{PLAIN}b\n"
    assert plain.codes() == [(QUOTAS, "changed-in-both"), (VIRTUAL, "changed-in-both")]


def test_secrets_are_closed_and_other_files_have_the_mode_that_they_have_there(plain: Pair) -> None:
    plain.put({**FIRST, "dovecot.cf": "a\n", "run.sh": "b\n"})
    (plain.there / "dovecot.cf").chmod(0o440)
    (plain.there / "run.sh").chmod(0o755)
    plain.overlay.update()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in plain.here.iterdir()}
    assert modes == {
        ACCOUNTS: 0o600, VIRTUAL: 0o644, "dovecot.cf": 0o640, "run.sh": 0o755, RECORD: 0o600,
        LOCK_FILE: 0o600,
    }  # fmt: skip
    assert stat.S_IMODE(plain.here.stat().st_mode) == 0o700


def test_a_file_keeps_the_owner_and_the_mode_that_it_has_here(plain: Pair) -> None:
    plain.brought()
    os.chown(plain.here / ACCOUNTS, 1234, 4321)
    (plain.here / ACCOUNTS).chmod(0o640)
    plain.put({**FIRST, ACCOUNTS: "b@x.com|{PLAIN}b\n"})
    plain.overlay.update()
    status = (plain.here / ACCOUNTS).stat()
    assert (status.st_uid, status.st_gid) == (1234, 4321)
    assert stat.S_IMODE(status.st_mode) == 0o640


# -- files of one swap belong together


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "source", {"a": "1", "b": "1"})


def texts(volume: Volume) -> dict[str, bytes] | None:
    found = source.read_source(str(volume.folder))
    return None if found is None else {name: seen.content for name, seen in found.versions.items()}


def test_a_swap_in_the_middle_of_a_look_is_seen_as_a_whole(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [{"a": "2", "b": "2"}]

    opened = ConfigFolder.opened

    def opening(folder: ConfigFolder, file: str) -> FileIO:
        found = opened(folder, file)
        if left:
            volume.put(left.pop())
        return found

    monkeypatch.setattr(ConfigFolder, "opened", opening)
    assert texts(volume) == {"a": b"2", "b": b"2"}


def test_one_that_is_swapped_all_along_is_not_taken(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ConfigFolder.opened

    def opening(folder: ConfigFolder, file: str) -> FileIO:
        volume.put({"a": "x", "b": "x"})
        return opened(folder, file)

    monkeypatch.setattr(ConfigFolder, "opened", opening)
    assert texts(volume) is None


def test_each_step_of_kubelet_is_the_old_or_the_new(volume: Volume) -> None:
    old, new = {"a": b"1", "b": b"1"}, {"b": b"2", "c": b"2"}
    files = {"b": "2", "c": "2"}
    name = volume.write(files)
    assert texts(volume) == old
    volume.swap(name)
    assert texts(volume) == new
    volume.link(files)
    assert texts(volume) == new


def test_a_link_that_leads_nowhere_is_no_empty_folder(volume: Volume) -> None:
    volume.data.resolve().rename(volume.folder / "gone")
    with pytest.raises(FileNotFoundError):
        source.read_source(str(volume.folder))


def test_a_folder_that_is_a_link_itself_is_swapped_as_a_whole(tmp_path: Path) -> None:
    """As git-sync does."""
    for number in "12":
        (tmp_path / number).mkdir()
        (tmp_path / number / ACCOUNTS).write_text(f"{number}\n")
    (tmp_path / "current").symlink_to("1")
    overlay = Overlay(str(tmp_path / "current"), str(tmp_path / "overlay"))
    overlay.update()
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").rename(tmp_path / "current")
    overlay.update()
    assert (tmp_path / "overlay" / ACCOUNTS).read_text() == "2\n"


# -- the record, which may be of any bytes


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\0\xff", b"folder\n", b"folder 1-2-3-4-5\n", b"a b c d\n", b"a b 1-2-3 - f\n",
        "a b \u0661-\u0662-\u0663-\u0664 - f\n".encode(), b"folder x\na b - - \n",
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_not_known(raw: bytes) -> None:
    record = parse(raw)
    assert record.folder is None
    assert all(line.source is None for line in record.files.values())


def test_it_is_read_as_it_was_written() -> None:
    lines = {
        "a file": FileRecord("aa", "bb", Identity(1, 2, 3, 4), Identity(5, 6, 7, 8)),
        "b": FileRecord(),
    }
    record = OverlayState(Identity(9, 9, 9, 9), lines)
    assert parse(bytes(record)) == record


@pytest.mark.parametrize("raw", [None, b"", b"\xff\n" * 9], ids=["lost", "empty", "damaged"])
def test_without_it_nothing_that_was_changed_here_is_lost(
    raw: bytes | None, tmp_path: Path
) -> None:
    pair = Pair(tmp_path, volume=True)
    pair.brought()
    pair.edit(VIRTUAL, "mine\n")
    (pair.here / RECORD).unlink()
    if raw is not None:
        (pair.here / RECORD).write_bytes(raw)
    assert pair.brought() == {**FIRST, VIRTUAL: "mine\n"}
    assert pair.codes() == [(VIRTUAL, "changed-in-both")]
    pair.put({**FIRST, ACCOUNTS: "b@x.com|{PLAIN}b\n"})
    assert pair.brought()[ACCOUNTS] == "b@x.com|{PLAIN}b\n"


@pytest.fixture
def mounts() -> Iterator[None]:
    with own_mounts():
        yield


def test_an_overlay_that_can_not_be_written_is_refused_and_named(
    mounts: None, tmp_path: Path
) -> None:
    pair = Pair(tmp_path, volume=True)
    pair.brought()
    mount("--bind", pair.here, pair.here)
    mount("-o", "remount,bind,ro", pair.here)
    pair.put({**FIRST, VIRTUAL: "new\n"})
    with pytest.raises(Refused, match=r"Read-only file system; the overlay is not updated"):
        pair.overlay.update()
    assert pair.files() == FIRST
    assert pair.states() == {ACCOUNTS: FOLLOWS, VIRTUAL: BEHIND}
