"""Every command whose results can't be written: one line on standard error, exit 75."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest

from mailroster.base.settings import FOLDERS, SETTINGS
from mailroster.cli import main, streams
from mailroster.cli.commands import COMMANDS

H = "{SHA512-CRYPT}$6$abc$def"
FILES = {
    "postfix-accounts.cf": f"a@x.com|{H}\nb@x.com|{H}\n",
    "postfix-virtual.cf": "info@x.com a@x.com\n",
    "postfix-regexp.cf": "/^test[0-9]+@x\\.com$/ a@x.com\n",
    "postfix-send-access.cf": "a@x.com REJECT\nghost@x.com REJECT\n",
    "postfix-sender-logins.cf": "news@x.com a@x.com\n",
    "postfix-relaymap.cf": "@x.com [relay.example]:25\n",
    "dovecot-masters.cf": f"root|{H}\n",
    "dovecot-app-passwords.cf": f"a@x.com|phone|{{SHA256.HEX}}{'0123456789abcdef' * 4}\n",
    "dovecot-quotas.cf": "a@x.com:1G\n",
    "a@x.com.dovecot.sieve": "keep;\n",
}
#: The arguments of each command that write something to standard output, if it ever does so.
ARGUMENTS = {
    "email add": ["n@x.com", "--generate"],
    "email update": ["a@x.com", "--generate"],
    "email del": ["a@x.com", "--dry-run"],
    "email forward": ["a@x.com", "x@y.com", "--dry-run"],
    "email rename": ["a@x.com", "c@x.com", "--dry-run"],
    "email password-check": ["a@x.com", "--password-stdin"],
    "email lock": ["a@x.com", "--dry-run"],
    "email unlock": ["a@x.com", "--dry-run"],
    "email show": ["a@x.com"],
    "email list": [],
    "email app-password add": ["a@x.com", "pc"],
    "email app-password del": ["a@x.com", "phone", "--dry-run"],
    "email app-password list": [],
    "email restrict add": ["send", "b@x.com", "--dry-run"],
    "email restrict del": ["send", "a@x.com", "--dry-run"],
    "email restrict list": ["send"],
    "alias add": ["s@x.com", "a@x.com", "--dry-run"],
    "alias del": ["info@x.com", "a@x.com", "--dry-run"],
    "alias list": [],
    "regexp add": ["/^z@x\\.com$/", "a@x.com", "--dry-run"],
    "regexp del": ["/^test[0-9]+@x\\.com$/", "--dry-run"],
    "regexp list": [],
    "regexp test": ["test1@x.com"],
    "sender add": ["a@x.com", "c@x.com", "--dry-run"],
    "sender del": ["a@x.com", "news@x.com", "--dry-run"],
    "sender list": [],
    "quota set": ["b@x.com", "1G", "--dry-run"],
    "quota del": ["a@x.com", "--dry-run"],
    "quota list": [],
    "dovecot-master add": ["chief", "--generate"],
    "dovecot-master update": ["root", "--generate"],
    "dovecot-master del": ["root", "--dry-run"],
    "dovecot-master list": [],
    "relay add-domain": ["y.com", "relay.example", "--dry-run"],
    "relay add-auth": ["x.com", "user", "pw", "--dry-run"],
    "relay exclude-domain": ["y.com", "--dry-run"],
    "relay del": ["x.com", "--dry-run"],
    "relay list": [],
    "block add": ["192.0.2.1"],
    "block del": ["192.0.2.1"],
    "block list": [],
    "sieve list": [],
    "import": ["ROWS", "--dry-run"],
    "export": [],
    "explain": ["a@x.com"],
    "map": ["--dot"],
    "log": [],
    "undo": ["--dry-run"],
    "check": ["--info"],
    "dns": ["x.com", "--hostname", "mail.x.com"],
    "diff": ["OTHER"],
    "apply": [],
    "adopt": ["HOME"],
    "integrate": [],
    "health": [],
    "status": [],
    "completion": ["bash"],
    "version": [],
    "config dkim": ["--domain", "x.com", "--keytype", "ed25519"],
    "dkim rotate": ["x.com"],
}
#: Runs without an end, or as root only, and writes messages on standard error alone.
SERVERS = {"up", "filter", "watch", "tables", "debug login", "debug show-mail-logs"}
#: Wants an overlay, and writes then as `email list` does.
OVERLAYS = {"overlay list", "overlay diff", "overlay export", "overlay drop"}
#: Exits without any result on a folder that no server was started on.
SILENT = {"email password-check", "apply", "health", "block add", "block del", "block list"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for setting in (*FOLDERS, *SETTINGS):
        monkeypatch.delenv(setting.variable or "-", raising=False)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    (tmp_path / "config").mkdir()
    (tmp_path / "other").mkdir()
    for file, text in FILES.items():
        (tmp_path / "config" / file).write_text(text)
    (tmp_path / "other" / "postfix-accounts.cf").write_text(f"c@x.com|{H}\n")
    (tmp_path / "rows.csv").write_text("address,password\nr@x.com,pw\n")
    assert main(["--home", str(tmp_path), "quota", "set", "a@x.com", "2G"]) == 0
    key = ["config", "dkim", "domain", "x.com", "keytype", "ed25519"]
    assert main(["--home", str(tmp_path), *key]) == 0
    return tmp_path


@contextmanager
def full() -> Iterator[None]:
    """Standard output on a device that takes no byte."""
    with open("/dev/full", "w") as device, redirect_stdout(streams.output(device)):
        yield


def words(home: Path, command: str) -> list[str]:
    places = {"ROWS": "rows.csv", "OTHER": "other", "HOME": "."}
    arguments = (
        str(home / places[word]) if word in places else word for word in ARGUMENTS[command]
    )
    return ["--home", str(home), *command.split(), *arguments]


def test_every_command_of_the_grammar_is_tried() -> None:
    assert {command.name() for command in COMMANDS} == {*ARGUMENTS, *SERVERS, *OVERLAYS}


@pytest.mark.parametrize("command", ARGUMENTS)
def test_results_on_a_full_device_are_one_line_and_exit_75(
    home: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with full():
        code = main(words(home, command))
    err = capsys.readouterr().err
    if command in SILENT:
        assert code == 1
        assert "standard output" not in err
        return
    lost = [line for line in err.splitlines() if "standard output" in line]
    assert code == 75, err
    assert lost == [
        "setup: standard output: No space left on device; some results were not written"
    ]
    assert err.endswith(lost[0] + "\n")


@pytest.mark.parametrize("command", [command.name() for command in COMMANDS])
def test_the_help_of_every_command_on_a_full_device(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with full():
        assert main([*command.split(), "--help"]) == 75
    assert capsys.readouterr().err.count("\n") == 1


def test_an_account_whose_password_is_not_shown_is_made_all_the_same(home: Path) -> None:
    with full():
        assert main(words(home, "email add")) == 75
    assert "n@x.com|" in (home / "config/postfix-accounts.cf").read_text()


@pytest.mark.parametrize(
    ("line", "code", "err"),
    [
        pytest.param("email list >/dev/full", 75, ["No space left on device"], id="full"),
        pytest.param("email list >&-", 75, ["Bad file descriptor"], id="closed"),
        pytest.param("email lock a@x.com >&-", 0, [], id="closed, and nothing to write"),
        pytest.param("email list </dev/null >/dev/full 2>&1", 75, [], id="both full"),
        pytest.param("email show z@x.com 2>&-", 1, [], id="no standard error"),
        pytest.param("email show z@x.com 2>/dev/full", 1, [], id="standard error full"),
        pytest.param("export | head -c 1 >/dev/null", 0, [], id="a pipe that closes early"),
    ],
)
def test_a_process_of_its_own(home: Path, line: str, code: int, err: list[str]) -> None:
    (home / "config/postfix-accounts.cf").open("a").write(f"q@x.com|{H}\n" * 4000)
    setup = f"'{sys.executable}' -m mailroster --home '{home}'"
    script = f"set -o pipefail; {setup} {line}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    lines = [found for found in done.stderr.splitlines() if "standard output" in found]
    assert done.returncode == code, done.stderr
    assert [words in found for words, found in zip(err, lines, strict=True)] == [True] * len(err)
    assert "Traceback" not in done.stderr + done.stdout
    assert "setup:" not in done.stdout, "a message is no result"


def test_large_results_are_lost_as_small_ones_are() -> None:
    with full(), pytest.raises(OSError, match="No space") as caught:
        print("x" * (1 << 20), flush=True)
    assert caught.value.filename == streams.OUTPUT
    assert os.strerror(caught.value.errno or 0) == caught.value.strerror
