"""Who can push to the config folder makes links of its files to what only root can read. Nothing of
it is printed, served, mailed, copied or logged, unless the administrator has named its folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroster.roster.roster import Roster
from mailroster.servers.quota_warning import DEFAULT, text_of
from mailroster.store.links import ConfigFolder, Target
from mailroster.system.folder_lock import FolderLock
from tests.support.attacks.looking import ACCOUNTS, FOLDER, LOOKING, OWN, VIRTUAL, outputs
from tests.support.faulty import NOBODY, public_folder
from tests.support.instance import HASH, Instance, until

MARK = "TOPSECRET"
#: What a secret file may look like, so that any of our parsers would take some of its lines.
SECRETS = {
    "shadow": f"root:$y$j9T${MARK}:20000:0:99999:7:::\n{MARK}:x:1\n",
    "key": f"-----BEGIN PRIVATE KEY-----\n{MARK}AAAA\n-----END PRIVATE KEY-----\n",
    "lines": f"{MARK.lower()}@example.com|{{PLAIN}}{MARK}\n{MARK}@example.com {MARK}@example.com\n"
    f"/{MARK}/ {MARK}\n{MARK} = {MARK}\n# {MARK}\n",
}
FILES = tuple(document.format.file for _, document in Roster().documents())
OTHERS = (
    "quota-warning.txt",
    "a@example.com.dovecot.sieve",
    "before.dovecot.sieve",
    "after.dovecot.sieve",
    "postfix-main.cf",
    "postfix-master.cf",
    "dovecot.cf",
    "mailroster.toml",
    ".mailroster-history",
)
KINDS = ("whole path", "relative", "through a folder", "through /proc", "hard link")


class Place:
    """A config folder of another user, and a secret of root beside it."""

    def __init__(self, root: Path) -> None:
        self.folder, self.own, self.outside = root / "folder", root / "own", root / "outside"
        for path in (self.folder, self.own, self.outside):
            path.mkdir(mode=0o755)
        for path in (self.folder, self.own):
            (path / ACCOUNTS).write_text(f"a@example.com|{HASH}\n")
        self.secret = self.outside / "secret"
        os.chown(self.folder, NOBODY, NOBODY)

    def lead(self, file: str, kind: str) -> None:
        """Makes a file lead to the secret."""
        path = self.folder / file
        path.unlink(missing_ok=True)
        if kind == "whole path":
            path.symlink_to(self.secret)
        elif kind == "relative":
            path.symlink_to("../outside/secret")
        elif kind == "through a folder":
            data = self.folder / "..data"
            data.unlink(missing_ok=True)
            data.symlink_to(self.outside)
            path.symlink_to("..data/secret")
        elif kind == "through /proc":
            path.symlink_to(f"/proc/self/root{self.secret}")
        else:
            path.hardlink_to(self.secret)


@pytest.fixture
def place() -> Iterator[Place]:
    with public_folder() as root:
        yield Place(root)


@pytest.mark.parametrize("file", (*FILES, *OTHERS))
def test_no_command_prints_what_is_behind_a_link(place: Place, file: str) -> None:
    for kind in KINDS:
        for secret in SECRETS.values() if kind == "whole path" else [SECRETS["lines"]]:
            place.secret.unlink(missing_ok=True)
            place.secret.write_text(secret)
            place.secret.chmod(0o600)
            place.lead(file, kind)
            printed = outputs(LOOKING if kind == "whole path" else SOME, place.folder, place.own)
            leaking = [words for words, text in printed.items() if MARK.lower() in text.lower()]
            assert not leaking, (kind, leaking)


SOME = (
    ("--config", FOLDER, "check"),
    ("--config", FOLDER, "log", "--patch"),
    ("--config", FOLDER, "export", "--secrets"),
    ("--config", OWN, "diff", FOLDER),
)


@pytest.mark.parametrize("file", FILES)
def test_the_message_names_the_link_and_the_way_out(place: Place, file: str) -> None:
    place.secret.write_text(SECRETS["lines"])
    place.lead(file, "relative")
    (said,) = outputs([SOME[0]], place.folder, place.own).values()
    assert file in said
    assert str(place.secret) in said
    assert "linked_folders (MAILROSTER_LINKED_FOLDERS)" in said


def test_an_edit_does_not_write_behind_a_link(place: Place) -> None:
    place.secret.write_text("info@example.com a@example.com\n")
    place.lead(VIRTUAL, "whole path")
    before = place.secret.stat()
    words = ("--config", FOLDER, "alias", "add", "new@example.com", "a@example.com")
    (said,) = outputs([words], place.folder, place.own).values()
    assert "linked_folders" in said
    assert place.secret.stat().st_mtime_ns == before.st_mtime_ns
    assert place.secret.read_text() == "info@example.com a@example.com\n"


def test_a_folder_that_is_named_is_followed_for_reading_and_writing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.secret.write_text("info@example.com a@example.com\n")
    place.lead(VIRTUAL, "relative")
    monkeypatch.setenv("MAILROSTER_LINKED_FOLDERS", f"/nowhere:{place.outside}")
    add = ("--config", FOLDER, "alias", "add", "new@example.com", "a@example.com")
    outputs([add], place.folder, place.own)
    assert (place.folder / VIRTUAL).is_symlink()
    (said,) = outputs([("--config", FOLDER, "alias", "list")], place.folder, place.own).values()
    assert "new@example.com" in said and "info@example.com" in said


@pytest.mark.parametrize("value", ("..", "relative/path", "/", "//", "/tmp/.."))
def test_a_folder_that_would_be_any_folder_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("MAILROSTER_LINKED_FOLDERS", value)
    (said,) = outputs([SOME[0]], place.folder, place.own).values()
    assert "linked_folders:" in said


def test_the_folder_does_not_name_folders_itself(place: Place) -> None:
    (place.folder / "mailroster.toml").write_text(f'linked_folders = "{place.outside}"\n')
    (said,) = outputs([SOME[0]], place.folder, place.own).values()
    assert (
        "can't be set in the config folder itself" in said and "MAILROSTER_LINKED_FOLDERS" in said
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_list_of_refused_passwords_is_no_oracle(place: Place, kind: str) -> None:
    place.secret.write_text(f"{MARK}\n")
    place.lead("refused", kind)
    (place.folder / "mailroster.toml").write_text('password_refused = "refused"\n')
    words = ("--config", FOLDER, "email", "add", "b@example.com", MARK, "--dry-run")
    (said,) = outputs([words], place.folder, place.own).values()
    assert "can't be read" in said
    assert "on the list" not in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_warning_has_our_text_instead(
    place: Place, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place.secret.write_text(f"Subject: {MARK}\n")
    place.lead("quota-warning.txt", kind)
    assert text_of(ConfigFolder(str(place.folder))) == DEFAULT
    assert "quota-warning.txt is not used" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [*KINDS, "all of its files"])
def test_nothing_of_it_is_copied_into_an_overlay(place: Place, kind: str) -> None:
    place.secret.write_text(SECRETS["lines"])
    if kind == "all of its files":
        (place.folder / "..data").symlink_to(place.outside)
    else:
        place.lead(VIRTUAL, kind)
        place.lead("any-other-file", kind)
    overlay = place.own / "overlay"
    words = ("--config", FOLDER, "--overlay", str(overlay), "check")
    edit = ("--config", FOLDER, "--overlay", str(overlay), "alias", "add", "n@x.com", "m@x.com")
    printed = outputs([words], place.folder, place.own) | outputs([edit], place.folder, place.own)
    assert not [each for each, text in printed.items() if MARK.lower() in text.lower()]
    copied = [path for path in overlay.rglob("*") if path.is_file()] if overlay.exists() else []
    assert not [path for path in copied if MARK.encode() in path.read_bytes()]


def test_a_forged_record_of_an_overlay_touches_nothing_outside(place: Place) -> None:
    overlay = place.own / "overlay"
    overlay.mkdir()
    place.secret.write_text(SECRETS["lines"])
    from mailroster.store.overlay.source import digest

    brought = digest(place.secret.read_bytes())
    record = f"folder -\n{brought} {brought} - - ../../outside/secret\n"
    record += f"{brought} {brought} - - {place.secret}\n"
    (overlay / ".mailroster-source").write_text(record)
    words = ("--config", FOLDER, "--overlay", str(overlay), "alias", "add", "n@x.com", "m@x.com")
    outputs([words], place.folder, place.own)
    assert place.secret.read_text() == SECRETS["lines"]


def test_a_link_that_is_exchanged_all_the_time_never_shows_what_is_behind_it(place: Place) -> None:
    """By the thousand, as root reads it."""
    place.secret.write_text(SECRETS["lines"])
    inside = place.folder / "inside"
    inside.write_text("info@example.com a@example.com\n")
    path, other = place.folder / VIRTUAL, place.folder / "other"
    child = os.fork()
    if child == 0:
        try:
            while True:
                for target in ("inside", str(place.secret)):
                    os.symlink(target, other)
                    os.rename(other, path)
        finally:
            os._exit(0)
    try:
        until(path.is_symlink)  # before that, a file would be made at its own path
        seen = set()
        for _ in range(3000):
            try:
                seen.add(ConfigFolder(str(place.folder)).read(VIRTUAL))
            except OSError:
                seen.add(b"refused")
            try:
                with Target(ConfigFolder(str(place.folder)), VIRTUAL) as target:
                    assert os.path.realpath(target).startswith(str(place.folder))
            except OSError:
                pass
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert not [content for content in seen if MARK.encode() in content]


def test_a_folder_below_that_is_exchanged_does_not_lead_a_writer_out(place: Place) -> None:
    below, data = place.folder / "below", place.folder / "data"
    below.mkdir()
    (below / "file").write_text("")
    data.symlink_to("below")
    (place.folder / VIRTUAL).symlink_to("data/file")
    config = ConfigFolder(str(place.folder))
    with Target(config, VIRTUAL) as target:
        data.unlink()
        data.symlink_to(place.outside)
        Path(target).write_text("written")
    assert (below / "file").read_text() == "written"
    with pytest.raises(OSError, match="outside of the config folder"), Target(config, VIRTUAL):
        pass


@pytest.fixture(scope="module")
def running() -> Iterator[Instance]:
    instance = Instance(mailbox_size_limit=102_400, quota_warnings="80")
    try:
        instance.file(ACCOUNTS).write_text(f"a@example.com|{HASH}\n")
        instance.start()
        yield instance
    finally:
        instance.close()


def test_the_running_server_serves_mails_and_logs_nothing_of_it(
    running: Instance, place: Place
) -> None:
    place.secret.write_text(SECRETS["lines"])
    place.secret.chmod(0o600)
    place.folder.rename(place.folder.with_name("unused"))
    place.folder = running.file(ACCOUNTS).parent
    for file in (*FILES, *OTHERS):
        if file not in (ACCOUNTS, "mailroster.toml"):
            place.lead(file, "whole path")
    with (place.folder / ACCOUNTS).open("a") as accounts:
        accounts.write(f"b@example.com|{HASH}\n")
    until(lambda: "b@example.com" in running.users(), 60)
    running.send("a@example.com", subject="crosses 80", size=84_000)
    running.arrives("a@example.com", "Your mailbox is 80 % full")
    home = place.folder.parent
    holding = [
        str(path)
        for path in home.rglob("*")
        if path.is_file() and not path.is_symlink() and MARK.lower() in text(path).lower()
    ]
    assert not holding


def text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def test_a_lock_is_no_reason_to_follow_a_link(place: Place) -> None:
    (place.folder / ".mailroster.lock").symlink_to(place.outside / "new")
    with pytest.raises(OSError, match="remove it"), FolderLock(str(place.folder)):
        pass
    assert not (place.outside / "new").exists()
