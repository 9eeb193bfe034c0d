"""`--dry-run` and `setup diff` at the command line: what is shown, as text and as JSON."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mailroster.base.layout import Layout
from mailroster.cli.commands import COMMANDS
from mailroster.publish.destinations import targets_of
from mailroster.publish.live_tables import LiveTables
from mailroster.publish.reconcile import reconcile
from mailroster.store.config_folder import Store
from mailroster.system.stability import Settling
from tests.support.folder import ACCOUNTS, MASTERS, QUOTAS, VIRTUAL, Folder, H, folder

__all__ = ["folder"]  # the fixture

NAMES = "a@x.com", "b@x.com", "c@x.com"
EDITING = [c for c in COMMANDS if any(option.name == "--dry-run" for option in c.options)]


@pytest.fixture
def filled(folder: Folder) -> Folder:
    folder.write(ACCOUNTS, "".join(f"{name}|{H}\n" for name in NAMES))
    folder.write(VIRTUAL, "info@x.com a@x.com\nall@x.com a@x.com,b@x.com\n")
    folder.write(QUOTAS, "a@x.com:1G\n")
    return folder


@pytest.fixture
def other(filled: Folder) -> Path:
    """Another folder, which is the same so far."""
    path = filled.home / "other"
    path.mkdir()
    for file, content in filled.state().items():
        (path / file).write_bytes(content)
    return path


def test_a_dry_run_shows_the_effect_below_the_files(filled: Folder) -> None:
    ran = filled.setup("email", "del", "-n", "a@x.com", "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith(
        "\n\nThe effect:\n"
        "  account a@x.com is removed: no login, no mail\n"
        "  alias info@x.com is removed; it led to a@x.com\n"
        "  a@x.com no longer receives mail to all@x.com\n"
    )


def test_what_changes_no_mail_and_no_login_says_so(filled: Folder) -> None:
    filled.write("postfix-send-access.cf", "d@x.com REJECT\nd@x.com REJECT\n")
    (filled.home / "other").mkdir()
    (filled.home / "other" / "postfix-send-access.cf").write_text("d@x.com REJECT\n")
    for file in (ACCOUNTS, VIRTUAL, QUOTAS):
        (filled.home / "other" / file).write_bytes(filled.state()[file])
    out = filled.setup("diff", str(filled.home / "other")).out
    assert out.endswith("The effect:\n  none: no login and no mail changes\n")


def test_an_edit_without_any_change_says_so(filled: Folder) -> None:
    ran = filled.setup("alias", "del", "--dry-run", "none@x.com", "a@x.com")
    assert ran == (0, "no file would change\n", "")


def test_the_mail_that_would_go_is_named(filled: Folder) -> None:
    mail = filled.mail / "x.com" / "a"
    mail.mkdir(parents=True)
    words = ("email", "del", "-y", "a@x.com", "--dry-run")
    assert filled.setup(*words).out.endswith(f"\nwould delete {mail}\n")
    assert json.loads(filled.setup(*words, "--json").out)["deletes"] == [str(mail)]
    assert mail.is_dir()


def test_a_dry_run_as_json(filled: Folder) -> None:
    before = filled.state()
    ran = filled.setup("email", "update", "a@x.com", "secret", "--dry-run", "--json")
    shape: dict[str, Any] = json.loads(ran.out)
    assert list(shape) == ["files", "effects", "deletes"]
    assert [file["file"] for file in shape["files"]] == [ACCOUNTS]
    assert [(e["kind"], e["subject"]) for e in shape["effects"]] == [
        ("password-changed", "a@x.com")
    ]
    assert "$6$" not in ran.out
    assert filled.state() == before


@pytest.mark.parametrize("command", EDITING, ids=lambda command: command.name())
def test_json_without_a_dry_run_is_not_understood(filled: Folder, command: Any) -> None:
    before = filled.state()
    words = [{"send|receive": "send", "SIZE": "1G"}.get(w, "n@x.com")
             for w in command.arguments.split() if w[0] != "["]  # fmt: skip
    ran = filled.setup(*command.words, *words, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert "--dry-run" in ran.err
    assert filled.state() == before


def test_who_may_send_as_whom_is_told_with_spoof_protection_only(
    filled: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("alias", "del", "all@x.com", "a@x.com", "--dry-run")
    assert "send as" not in filled.setup(*words).out
    monkeypatch.setenv("SPOOF_PROTECTION", "1")
    assert "a@x.com may no longer send as all@x.com" in filled.setup(*words).out


def test_an_import_shows_its_effect(filled: Folder) -> None:
    source = filled.home / "people.csv"
    rows = "".join(f"n{number}@x.com,secret,1G,,\n" for number in range(20))
    source.write_text(f"address,password,quota,alias,recipients\n{rows}")
    out = filled.setup("import", "--dry-run", str(source)).out
    assert out.endswith("\n  20 accounts are added: n0@x.com, n10@x.com, n11@x.com and 17 more\n")


# -- diff


def test_the_same_folder_differs_in_nothing(filled: Folder, other: Path) -> None:
    for words in (["diff", str(other)], ["diff", "--exit-code", str(other)]):
        assert filled.setup(*words) == (0, "no file would change\n", "")
    assert filled.setup("diff", str(filled.config)).out == "no file would change\n"


def test_the_direction_is_from_here_to_there(filled: Folder, other: Path) -> None:
    (other / QUOTAS).write_text("a@x.com:5G\n")
    ran = filled.setup("diff", str(other))
    assert ran.code == 0
    assert ran.out == (
        f"--- a/{QUOTAS}\n+++ b/{QUOTAS}\n@@ -1 +1 @@\n-a@x.com:1G\n+a@x.com:5G\n\n"
        "The effect:\n  a@x.com quota 1G -> 5G\n"
    )
    assert filled.setup("diff", "--exit-code", str(other)) == (1, ran.out, "")


def test_a_missing_file_is_one_without_entries(filled: Folder, other: Path) -> None:
    (other / VIRTUAL).unlink()
    out = filled.setup("diff", str(other)).out
    line = "2 aliases lose their last recipient and are removed: all@x.com and info@x.com"
    assert line in out


def test_an_error_that_comes_is_exit_1_and_one_that_was_there_is_not(
    filled: Folder, other: Path
) -> None:
    bad = "nobody\n" + filled.read(ACCOUNTS)
    (other / ACCOUNTS).write_text(bad)
    ran = filled.setup("diff", str(other))
    assert ran.code == 1
    assert f"\nNew findings:\n  {ACCOUNTS}:1: error: " in ran.out
    filled.write(ACCOUNTS, "\n\n" + bad)
    ran = filled.setup("diff", str(other))
    assert ran.code == 0
    assert "Wrong" not in ran.out


def test_patterns_with_an_error_are_not_followed(filled: Folder, other: Path) -> None:
    (other / "postfix-regexp.cf").write_text("/^a@/ c@x.com\n/(/ c@x.com\n")
    ran = filled.setup("diff", str(other))
    assert ran.code == 1
    assert "The effect:\n  none" in ran.out
    assert "bad-pattern" in ran.out


def test_no_hash_is_shown(filled: Folder, other: Path) -> None:
    (other / ACCOUNTS).write_text("a@x.com|{PLAIN}s3cret|pass=s3cret2\nbad {PLAIN}s3cret\n")
    (other / MASTERS).write_text("m|{PLAIN}s3cret\n")
    for options in ([], ["--json"]):
        out = filled.setup("diff", str(other), *options).out
        assert "m|{PLAIN}…" in out
        assert "s3cret" not in out
        assert "$abc" not in out


def test_what_is_not_in_force_yet(filled: Folder) -> None:
    layout, store = Layout(str(filled.home / "mail-state")), Store(str(filled.config))
    for path in (layout.tables, layout.sql):
        Path(path).mkdir(parents=True)
    tables = LiveTables(layout, targets_of(layout))
    tables.begin("mail.example.test", "2.3", "/srv/mail")
    reconcile(store, tables, layout, Settling(0))
    assert filled.setup("diff", "--served").out == "no file would change\n"
    filled.write(QUOTAS, "a@x.com:2G\n")
    ran = filled.setup("diff", "--served")
    assert ran.out.endswith("The effect:\n  a@x.com quota 1G -> 2G\n")
    assert filled.setup("diff", str(filled.config), "--served") == ran
    assert filled.setup("diff", str(filled.config)).out == "no file would change\n"


def test_json_has_files_effects_and_findings(filled: Folder, other: Path) -> None:
    (other / QUOTAS).write_text("z@x.com:5G\n")
    shape = json.loads(filled.setup("diff", "--json", str(other)).out)
    assert list(shape) == ["files", "effects", "findings"]
    assert [f["code"] for f in shape["findings"]] == ["quota-without-account"]
    assert shape["effects"][0]["kind"] == "quota-changed"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(["diff"], 2, "FOLDER", id="nothing to compare with"),
        pytest.param(["diff", "nix"], 1, "no folder", id="no such folder"),
        pytest.param(["diff", "empty"], 1, "no config folder", id="no config folder"),
        pytest.param(["diff", "config/" + ACCOUNTS], 1, "no folder", id="a file"),
        pytest.param(["diff", "--served"], 1, "served", id="no server was ever started"),
        pytest.param(["diff", "a", "b"], 2, "too many", id="two folders"),
    ],
)
def test_what_makes_no_sense_is_said(
    filled: Folder, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    (filled.home / "empty").mkdir()
    monkeypatch.chdir(filled.home)
    ran = filled.setup(*words)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_an_edit_that_is_made_loads_nothing_of_this(filled: Folder) -> None:
    program = (
        "import sys; from mailroster.cli import main; main(sys.argv[1:]);"
        "print([name for name in sys.modules if 'effect' in name or 'hunks' in name])"
    )
    words = ["--home", str(filled.home), "alias", "add", "info@x.com", "b@x.com"]
    for options, loaded in (["--dry-run"], True), ([], False):
        argv = [sys.executable, "-c", program, *words, *options]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
        assert ("mailroster.analysis.effects" in done.stdout) == loaded
        assert loaded or done.stdout == "[]\n"
