"""`setup overlay`, and other commands in an overlay: on folders alone, with no server."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from mailroster.base.settings import FOLDERS, OVERLAY, SETTINGS
from mailroster.store.overlay.record import RECORD
from mailroster.system.folder_lock import LOCK_FILE
from tests.support.faulty import NOBODY, in_child, public_folder
from tests.support.folder import ACCOUNTS, QUOTAS, VIRTUAL, Folder, Ran
from tests.support.kubelet import Volume

H = "{SHA512-CRYPT}$6$abc$def"
FILES = {ACCOUNTS: f"john@x.com|{H}\n", VIRTUAL: "info@x.com john@x.com\n"}
SIEVE = "john@x.com.dovecot.sieve"
SECRET = "correct horse"


class Overlaid(Folder):
    """A home whose config folder is a volume of Kubernetes, and an overlay beside it."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(home, capsys)
        self.volume = Volume(self.config, FILES, mode=0o400)
        self.overlay = home / "overlay"

    def setup(self, *argv: str) -> Ran:
        return super().setup("--overlay", str(self.overlay), *argv)

    def here(self) -> dict[str, str]:
        paths = [path for path in self.overlay.iterdir() if path.name[0] != "."]
        return {path.name: path.read_text() for path in paths}

    def states(self) -> dict[str, str]:
        found = json.loads(self.setup("overlay", "list", "--json").out)
        return {each["file"]: each["state"] for each in found["files"]}


@pytest.fixture
def folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Overlaid:
    for setting in (*FOLDERS, OVERLAY, *SETTINGS):
        monkeypatch.delenv(setting.variable or "-", raising=False)
    return Overlaid(tmp_path, capsys)


def test_a_command_changes_the_overlay_and_not_its_source(folder: Overlaid) -> None:
    before = {path.name: path.read_bytes() for path in folder.volume.data.iterdir()}
    assert folder.setup("quota", "set", "john@x.com", "5G") == Ran(0, "", "")
    assert folder.here() == {**FILES, QUOTAS: "john@x.com:5G\n"}
    assert {path.name: path.read_bytes() for path in folder.volume.data.iterdir()} == before
    assert folder.states() == {ACCOUNTS: "follows", QUOTAS: "edited", VIRTUAL: "follows"}
    assert folder.setup("overlay", "list").out.splitlines()[::2] == [
        f"* {QUOTAS}, changed here",
        f"* {ACCOUNTS}, as in the source",
        f"* {VIRTUAL}, as in the source",
    ]


def test_what_is_new_in_the_source_is_there_for_the_next_command(folder: Overlaid) -> None:
    assert "jane" not in folder.setup("email", "list").out
    folder.volume.put({**FILES, ACCOUNTS: f"{FILES[ACCOUNTS]}jane@x.com|{H}\n"})
    assert "* jane@x.com" in folder.setup("email", "list").out


def test_settings_of_the_source_count_at_once(folder: Overlaid) -> None:
    folder.setup("email", "list")
    folder.volume.put({**FILES, "mailroster.toml": "password_min_length = 30\n"})
    ran = folder.setup("email", "add", "new@x.com", SECRET)
    assert (ran.code, "shorter than 30" in ran.err) == (1, True)
    folder.volume.put({**FILES, "mailroster.toml": "nonsense = 1\n"})
    assert folder.setup("email", "list").code == 2
    folder.volume.put(FILES)
    assert folder.setup("email", "list").code == 0, "fixed there, it is fixed here"


def test_a_path_in_the_settings_is_from_where_they_come(folder: Overlaid) -> None:
    (folder.home / "listed").write_text("secret\n")
    folder.volume.put({**FILES, "mailroster.toml": 'state = "../elsewhere"\n'})
    ran = folder.setup("apply")
    assert f"no server was ever started on {folder.home}" in ran.err


@pytest.mark.parametrize("command", ["list", "diff", "drop", "export"])
def test_without_an_overlay_that_is_said(folder: Overlaid, command: str) -> None:
    words = {"drop": (ACCOUNTS,), "export": ("out",)}.get(command, ())
    ran = Folder.setup(folder, "overlay", command, *words)
    assert ran.code == 1
    assert ran.err.startswith(f"setup: {folder.config} is no overlay; name a writable folder")


def test_a_diff_is_what_the_source_lacks_and_shows_no_hash(folder: Overlaid) -> None:
    folder.setup("email", "add", "new@x.com", SECRET)
    (folder.overlay / SIEVE).write_text("keep;\n")
    ran = folder.setup("overlay", "diff")
    assert ran.out.splitlines() == [
        f"--- a/{SIEVE}",
        f"+++ b/{SIEVE}",
        "@@ -0,0 +1 @@",
        "+keep;",
        f"--- a/{ACCOUNTS}",
        f"+++ b/{ACCOUNTS}",
        "@@ -1 +1,2 @@",
        " john@x.com|{SHA512-CRYPT}…",
        "+new@x.com|{SHA512-CRYPT}…",
    ]
    assert "$6$" not in ran.out
    assert folder.setup("overlay", "diff", ACCOUNTS).out.count("--- a/") == 1
    assert folder.setup("overlay", "diff", VIRTUAL) == Ran(0, "", "")


def test_an_unknown_file_is_refused(folder: Overlaid) -> None:
    for command in ("diff", "drop"):
        ran = folder.setup("overlay", command, "postfix-acounts.cf")
        assert (ran.code, ran.out) == (1, "")
        assert "'postfix-acounts.cf' is neither in the overlay nor in the source" in ran.err
    for path in ("../outside", "/etc/passwd", ".mailroster-source"):
        assert folder.setup("overlay", "drop", path).code == 1


def test_what_is_exported_makes_both_the_same(folder: Overlaid) -> None:
    folder.setup("email", "add", "new@x.com", SECRET)
    out = folder.home / "out"
    assert folder.setup("overlay", "export", str(out)) == Ran(0, f"2 files in {out}\n", "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    folder.volume.put({path.name: path.read_text() for path in out.iterdir()})
    assert set(folder.states().values()) == {"follows"}
    again = folder.setup("overlay", "export", str(out))
    assert (again.code, "exists already and is not empty" in again.err) == (1, True)


def test_a_secret_has_all_files_but_those_that_it_takes_no_names_of(folder: Overlaid) -> None:
    folder.setup("email", "list")
    (folder.overlay / SIEVE).write_text("keep;\n")
    ran = folder.setup("overlay", "export", "--secret", "mail")
    found = json.loads(ran.out)
    assert (found["kind"], found["metadata"]) == ("Secret", {"name": "mail"})
    data = {name: base64.b64decode(text).decode() for name, text in found["data"].items()}
    assert data == FILES
    assert ran.err.startswith(f"setup: warning: {SIEVE}: a Secret allows no such names")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param((), 2, id="nothing said"),
        pytest.param(("--secret", "mail", "out"), 2, id="both"),
        pytest.param(("--secret", ""), 2, id="no name"),
        pytest.param(("--secret", "My_Mail"), 2, id="a name that Kubernetes refuses"),
        pytest.param(("--secret", "a\nb"), 2, id="a line feed"),
    ],
)
def test_an_export_that_makes_no_sense_is_not_understood(
    folder: Overlaid, words: tuple[str, ...], code: int
) -> None:
    assert folder.setup("overlay", "export", *words).code == code
    assert not (folder.home / "out").exists()


def test_what_is_too_large_for_a_secret_is_refused(folder: Overlaid) -> None:
    folder.volume.put({**FILES, "list.txt": "x" * (1 << 20)})
    ran = folder.setup("overlay", "export", "--secret", "mail")
    assert (ran.code, ran.out, "1 MiB" in ran.err) == (1, "", True)
    assert folder.setup("overlay", "export", str(folder.home / "out")).code == 0


def test_what_is_dropped_follows_the_source_again_and_can_be_undone(folder: Overlaid) -> None:
    folder.setup("email", "add", "new@x.com", SECRET)
    (folder.overlay / SIEVE).write_text("discard;\n")
    shown = folder.setup("overlay", "drop", "--dry-run", ACCOUNTS, SIEVE)
    assert "-new@x.com|{SHA512-CRYPT}…" in shown.out
    assert "account new@x.com is removed" in shown.out
    assert "-discard;" in shown.out
    assert folder.states() == {ACCOUNTS: "edited", SIEVE: "edited", VIRTUAL: "follows"}
    assert folder.setup("overlay", "drop", ACCOUNTS, SIEVE) == Ran(0, "", "")
    assert folder.here() == FILES
    assert folder.setup("undo").code == 0
    assert "new@x.com" in folder.here()[ACCOUNTS]
    assert folder.states() == {ACCOUNTS: "edited", VIRTUAL: "follows"}


def test_a_file_that_only_the_overlay_has_can_be_dropped(folder: Overlaid) -> None:
    folder.setup("quota", "set", "john@x.com", "5G")
    assert folder.setup("overlay", "drop", QUOTAS).code == 0
    assert folder.here().get(QUOTAS, "") == ""
    assert set(folder.states().values()) == {"follows"}
    folder.volume.put({**FILES, QUOTAS: "john@x.com:1G\n"})
    assert folder.setup("overlay", "list").code == 0
    assert folder.here()[QUOTAS] == "john@x.com:1G\n"


def test_accounts_that_the_source_has_lost_can_be_let_go(folder: Overlaid) -> None:
    folder.setup("email", "list")
    folder.volume.put({VIRTUAL: FILES[VIRTUAL]})
    ran = folder.setup("check")
    assert "[no-source]" in ran.out
    assert folder.here() == FILES
    folder.setup("overlay", "drop", ACCOUNTS)
    assert folder.here().get(ACCOUNTS, "") == ""
    assert "[no-source]" not in folder.setup("check").out


def test_a_source_that_is_away_is_a_warning_and_the_overlay_goes_on(folder: Overlaid) -> None:
    folder.setup("email", "add", "new@x.com", SECRET)
    folder.config.rename(folder.home / "away")
    ran = folder.setup("email", "list")
    assert (ran.code, "* new@x.com" in ran.out) == (0, True)
    assert "[no-source]" in folder.setup("check").out
    assert folder.setup("email", "add", "more@x.com", SECRET).code == 0
    assert folder.setup("overlay", "list").code != 0


def test_where_nothing_was_ever_brought_a_source_that_is_away_is_refused(
    folder: Overlaid,
) -> None:
    folder.config.rename(folder.home / "away")
    ran = folder.setup("email", "add", "new@x.com", SECRET)
    assert (ran.code, "has no copy of it yet" in ran.err) == (1, True)
    assert not (folder.overlay / ACCOUNTS).exists()


def test_the_overlay_can_not_be_the_config_folder(folder: Overlaid) -> None:
    ran = Folder.setup(folder, "--overlay", str(folder.config), "email", "list")
    assert (ran.code, "is the config folder itself" in ran.err) == (2, True)


def test_somebody_who_may_not_write_the_overlay_reads_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mailroster.store.overlay.overlay import Overlay

    with public_folder() as root:
        volume = Volume(root / "source", FILES)
        overlay = Overlay(str(volume.folder), str(root / "overlay"))
        overlay.update()
        for path in (root / "overlay", *(root / "overlay").iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        (root / "overlay" / LOCK_FILE).chmod(0o600)
        volume.put({**FILES, VIRTUAL: "new@x.com john@x.com\n"})
        word = in_child(overlay.update, uid=NOBODY)
        assert word.startswith("Refused: ")
        assert "Permission denied" in word
        assert "the overlay is not updated from" in word
        assert (root / "overlay" / VIRTUAL).read_text() == FILES[VIRTUAL]
        assert sorted(os.listdir(root / "overlay")) == sorted([RECORD, LOCK_FILE, *FILES])
