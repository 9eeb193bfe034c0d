"""`setup debug` without a server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = (sys.executable, "-m", "mailroster")


def setup(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MAILROSTER_")}
    return subprocess.run(
        [*SETUP, "--home", str(home), *words],
        env={**kept, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/postfix-accounts.cf").write_text("a@x.com|{PLAIN}x\n")
    return tmp_path


def test_a_line_is_run_by_the_shell_with_the_folders_of_the_instance(home: Path) -> None:
    ran = setup(home, "debug", "login", "echo $MAILROSTER_CONFIG; exit 3")
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, f"{home}/config\n", "")
    again = f"{sys.executable} -m mailroster email list"
    assert setup(home, "debug", "login", again).stdout == "* a@x.com\n"
    assert setup(home, "debug", "login", "echo", "--", "-n", "--help").stdout == "-- -n --help\n"


def test_a_shell_that_a_signal_ends_has_the_status_that_shells_give(home: Path) -> None:
    assert setup(home, "debug", "login", "kill -TERM $$").returncode == 128 + 15


def test_without_a_command_the_shell_of_the_user_starts(home: Path) -> None:
    ran = setup(home, "debug", "login", SHELL="/bin/cat")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"The server of {home}/config does not run. 'exit' ends this shell.\n"
    ran = setup(home, "debug", "login", SHELL="/nowhere/sh")
    assert (ran.returncode, ran.stdout.count("\n")) == (1, 1)
    assert ran.stderr.startswith("setup: /nowhere/sh: No such file or directory;")


def test_logs_are_printed_byte_by_byte_each_file_once(home: Path) -> None:
    ran = setup(home, "debug", "show-mail-logs")
    assert (ran.returncode, ran.stdout) == (1, "")
    logs = home / "mail-logs"
    assert f"there is no log yet: {logs}/mail.log and {logs}/dovecot.log" in ran.stderr
    logs.mkdir()
    (logs / "mail.log").write_text("of Postfix: ü\n")
    assert setup(home, "debug", "show-mail-logs").stdout == "of Postfix: ü\n"
    (logs / "dovecot.log").write_text("of Dovecot\n")
    both = f"==> {logs}/mail.log <==\nof Postfix: ü\n==> {logs}/dovecot.log <==\nof Dovecot\n"
    assert setup(home, "debug", "show-mail-logs").stdout == both
    system = setup(home, "debug", "show-mail-logs", MAILROSTER_LAYOUT="system")
    assert system.stdout == "of Postfix: ü\n"
