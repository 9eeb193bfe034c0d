"""Every user of the machine can read the arguments of a command. On a terminal a password among
them is answered with a warning, once; and it gets no further than there."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mailroster.cli.commands import COMMANDS
from mailroster.store.history.log import HISTORY

SECRET = "s3cret-Passw0rd"
ACCOUNTS = "john@x.com|{PLAIN}x\n"
MASTERS = "admin|{PLAIN}x\n"
#: Every command that takes PASSWORD, with its other arguments.
TAKING: dict[tuple[str, ...], list[str]] = {
    ("email", "add"): ["new@x.com"],
    ("email", "update"): ["john@x.com"],
    ("dovecot-master", "add"): ["boss"],
    ("dovecot-master", "update"): ["admin"],
    ("relay", "add-auth"): ["x.com", "customer"],
}
WARNING = "warning: every user of this machine can see a password on the command line"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/postfix-accounts.cf").write_text(ACCOUNTS)
    (tmp_path / "config/dovecot-masters.cf").write_text(MASTERS)
    return tmp_path


def argv(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "mailroster", "--home", str(home), *words]


def on_a_terminal(home: Path, *words: str, typed: str = "") -> tuple[int, str]:
    """What a command prints on a terminal of its own, and its exit status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(sys.executable, argv(home, *words))
    said, left = b"", typed.splitlines(keepends=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(fd, 4096)
        except OSError:  # the other end is closed
            break
        said += piece
        if left and piece.rstrip().endswith(b":"):
            os.write(fd, left.pop(0).encode())
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), said.decode()


def test_the_table_names_every_command_that_takes_a_password() -> None:
    assert set(TAKING) == {c.words for c in COMMANDS if "[PASSWORD]" in c.arguments.split()}


@pytest.mark.parametrize("words", TAKING, ids=" ".join)
def test_a_password_among_the_arguments_is_warned_of_once_on_a_terminal(
    home: Path, words: tuple[str, ...]
) -> None:
    code, said = on_a_terminal(home, *words, *TAKING[words], SECRET)
    assert code == 0, said
    assert said.count(WARNING) == 1
    assert f"'setup {' '.join([*words, *TAKING[words]])}' to type it" in said
    assert "--password-stdin" in said
    assert SECRET not in said


@pytest.mark.parametrize("words", TAKING, ids=" ".join)
def test_a_script_and_who_types_it_get_no_warning(home: Path, words: tuple[str, ...]) -> None:
    command = (*words, *TAKING[words])
    done = subprocess.run(argv(home, *command, SECRET), capture_output=True, text=True)
    assert (done.returncode, WARNING in done.stderr) == (0, False)
    if words[-1] in ("update", "add-auth"):
        code, said = on_a_terminal(home, *command, typed=f"{SECRET}\n{SECRET}\n")
        assert (code, WARNING in said, SECRET in said) == (0, False, False), said


@pytest.mark.parametrize("words", TAKING, ids=" ".join)
def test_the_password_is_in_no_history_no_error_and_no_other_process(
    home: Path, words: tuple[str, ...]
) -> None:
    log = home / "processes"
    spy = f"import sys, os\nsys.path.insert(0, {os.fspath(home)!r})\n"
    (home / "spy.py").write_text(
        "import subprocess\n"
        "real = subprocess.Popen.__init__\n"
        "def spying(self, args, *rest, **named):\n"
        f"    print(args, named.get('env'), file=open({str(log)!r}, 'a'))\n"
        "    real(self, args, *rest, **named)\n"
        "subprocess.Popen.__init__ = spying\n"
    )
    program = f"{spy}import spy\nfrom mailroster.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = ["--home", str(home), *words, *TAKING[words], SECRET]
    run = [sys.executable, "-c", program]
    done = subprocess.run([*run, *command], capture_output=True, text=True)
    again = subprocess.run([*run, *command, "one too many"], capture_output=True, text=True)
    assert (done.returncode, again.returncode) == (0, 2)
    assert SECRET not in done.stdout + done.stderr + again.stdout + again.stderr
    assert not log.exists() or SECRET not in log.read_text()
    history = home / "config" / HISTORY
    assert not [x for x in history.read_text().splitlines() if "setup" in x and SECRET in x]
    # A relay wants its password in clear: the file has it, and the history what changed in it.
    keeps = {"postfix-sasl-password.cf", HISTORY} if words[0] == "relay" else set()
    for path in (home / "config").iterdir():
        assert (SECRET in path.read_text()) == (path.name in keeps), path
        assert path.name not in keeps or path.stat().st_mode & 0o077 == 0
