"""A file of the config folder that can't be read: its path, the cause, and what still works."""

import importlib
import io
import os
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from mailroster.base.findings import Refused
from mailroster.base.settings import FOLDERS, SETTINGS
from mailroster.cli import main
from mailroster.roster.roster import Roster
from tests.support.faulty import NOBODY, in_child, public_folder

H = "{SHA512-CRYPT}$6$abc$def"
FILES = {field: document.format.file for field, document in Roster().documents()}
#: A command that answers from one file alone.
LOOKS = {
    "accounts": ["email", "list"],
    "virtual": ["alias", "list"],
    "regexp": ["regexp", "list"],
    "masters": ["dovecot-master", "list"],
    "send_access": ["email", "restrict", "list", "send"],
    "receive_access": ["email", "restrict", "list", "receive"],
    "sender_logins": ["sender", "list"],
    "relaymap": ["relay", "list"],
    "sasl_passwords": ["relay", "list"],
    "quotas": ["quota", "list"],
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for setting in (*FOLDERS, *SETTINGS):
        monkeypatch.delenv(setting.variable or "-", raising=False)
    (tmp_path / "config").mkdir()
    return tmp_path


def setup(home: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["--home", str(home), *words])
    return code, *capsys.readouterr()


@pytest.mark.parametrize("field", FILES)
def test_a_directory_in_the_place_of_a_file_stops_what_needs_the_file_alone(
    home: Path, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "config" / FILES[field]
    for file in {"postfix-accounts.cf", "postfix-virtual.cf"} - {path.name}:
        text = f"a@x.com|{H}\n" if "accounts" in file else "b@x.com a@x.com\n"
        (home / "config" / file).write_text(text)
    path.mkdir()
    if field in LOOKS:
        code, out, err = setup(home, capsys, *LOOKS[field])
        assert (code, out, err) == (1, "", f"setup: {path}: not a regular file\n")
    needed, command = (
        ("virtual", ["email", "list"]) if field != "accounts" else ("accounts", ["alias", "list"])
    )
    code, out, err = setup(home, capsys, *command)
    assert code == 0, (needed, err)
    assert out.startswith("* ")
    assert f"setup: warning: {path}: not a regular file; this command ignores it" in err
    code, out, err = setup(home, capsys, "check")
    assert code == 1
    assert f"{path.name}: error: the file can't be read (not a regular file)" in out
    assert "[unreadable-file]" in out
    before = {entry.name for entry in (home / "config").iterdir()}
    code, out, err = setup(home, capsys, "email", "add", "new@x.com", "pw")
    assert (code, err) == (1, f"setup: {path}: not a regular file\n"), "an edit needs every file"
    assert {entry.name for entry in (home / "config").iterdir()} - before <= {".mailroster.lock"}


@pytest.mark.parametrize(
    "file",
    ["postfix-main.cf", "postfix-master.cf", "dovecot.cf", "a@x.com.dovecot.sieve",
     "before.dovecot.sieve", "after.dovecot.sieve", "user-patches.sh"],
)  # fmt: skip
def test_a_directory_in_the_place_of_a_file_for_the_servers(
    home: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "config" / "postfix-accounts.cf").write_text(f"a@x.com|{H}\n")
    (home / "config" / file).mkdir()
    code, out, err = setup(home, capsys, "check")
    if file.endswith(".sh"):
        assert (code, err) == (0, ""), "it is never read"
    else:
        assert code == 1, err
        assert f"{file}: error: the file can't be read (not a regular file)" in out
    assert setup(home, capsys, "email", "list")[:2] == (0, "* a@x.com\n")


def test_a_directory_in_the_place_of_the_settings(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "config" / "mailroster.toml"
    path.mkdir()
    code, out, err = setup(home, capsys, "email", "list")
    assert (code, out, err) == (2, "", f"setup: {path}: not a regular file\n")


def as_nobody(home: Path, *words: str) -> str:
    """The exit status of a command of another user, and what it writes to standard error."""

    def run() -> None:
        err = io.StringIO()
        with redirect_stderr(err):
            code = main(["--home", str(home), *words])
        raise Refused(f"{code}: {err.getvalue()}")

    return in_child(run, uid=NOBODY).removeprefix("Refused: ")


def test_another_user_gets_the_path_and_what_to_do() -> None:
    with public_folder() as home:
        (home / "config").mkdir(mode=0o755)
        path = home / "config" / "postfix-accounts.cf"
        path.write_text(f"a@x.com|{H}\n")
        path.chmod(0o600)
        refused = f"1: setup: {path}: Permission denied; run it as root (sudo)\n"
        for words in (["email", "list"], ["email", "show", "a@x.com"], ["explain", "a@x.com"]):
            assert as_nobody(home, *words) == refused
        assert as_nobody(home, "email", "add", "b@x.com", "pw") == refused
        path.chmod(0o644)
        said = as_nobody(home, "email", "add", "b@x.com", "pw")
        assert said.startswith(f"1: setup: {home}/config")
        assert said.endswith("nothing was changed; run it as root (sudo)\n")
        assert os.listdir(home / "config") == ["postfix-accounts.cf"]
        (home / "config").chmod(0o700)
        said = as_nobody(home, "email", "list")
        assert said == refused.replace("postfix-accounts.cf", "mailroster.toml")


def test_a_server_needs_root_and_says_so() -> None:
    importlib.import_module("mailroster.daemons.up")  # that user may not be able to read Python
    with public_folder() as home:
        (home / "config").mkdir()
        (home / "config/postfix-accounts.cf").write_text("")
        assert as_nobody(home, "up") == (
            "1: setup: only root can start Postfix; run it as root (sudo)\n"
        )
