"""With `trust_config` off, a pushed override or mailroster.toml reaches no server and no command,
whether or not the command has the environment of `up`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.instance import PASSWORD, Instance, until

PUSHED = {
    "mailroster.toml": 'state = "{aim}"\nmail = "{aim}"\nlogs = "{aim}"\nspoof_protection = true\n',
    "postfix-main.cf": "smtpd_banner = pushed\nmynetworks = 0.0.0.0/0\n",
    "postfix-master.cf": "smtp/inet/smtpd_banner = pushed\n",
    "dovecot.cf": "login_greeting = pushed\n!include_try {aim}\n",
}


@pytest.fixture(scope="module")
def aim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of root's that the settings of the toml name."""
    return tmp_path_factory.mktemp("aim")


@pytest.fixture(scope="module")
def untrusting(aim: Path) -> Iterator[Instance]:
    """A server that was started with the setting off, on a folder with all four files."""
    instance = Instance()
    instance.setup("email", "add", "john@x.com", PASSWORD)
    push(instance, aim)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAILROSTER_TRUST_CONFIG", "0")
        patch.setenv("OVERRIDE_HOSTNAME", "mail.example.test")
        ports = [
            word
            for name, port in instance.ports.items()
            for word in (f"--{name.replace('_', '-')}-port", str(port))
        ]
        instance.start(*ports)
    try:
        yield instance
    finally:
        instance.stop()
        instance.close()


def push(instance: Instance, aim: Path) -> None:
    for name, text in PUSHED.items():
        (instance.config / name).write_text(text.format(aim=aim))


def test_the_servers_have_nothing_of_the_pushed_files(untrusting: Instance, aim: Path) -> None:
    with untrusting.smtp() as session:
        session.docmd("noop")
    assert untrusting.can_log_in("john@x.com")
    for folder in ("postfix", "dovecot", "overrides"):
        for path in (untrusting.state / folder).iterdir():
            assert b"pushed" not in path.read_bytes()
            assert str(aim).encode() not in path.read_bytes()
    shown = ["postconf", "-c", str(untrusting.state / "postfix"), "-h", "smtpd_banner"]
    assert "pushed" not in subprocess.run(shown, capture_output=True, text=True).stdout


def test_up_check_and_status_name_each_file_in_one_line(untrusting: Instance) -> None:
    lines = [f"{name} is ignored: the setting trust_config is off" for name in PUSHED]
    log = untrusting.log.read_text()
    status, check = untrusting.run("status"), untrusting.run("check")
    for line in lines:
        assert log.count(line) == 1
        assert status.stdout.count(f"note: {line}\n") == 1
        assert check.stderr.count(f"setup: {line}\n") == 1
    assert check.returncode == 0, check
    assert "in step: yes" in status.stdout
    assert f'"{lines[0]}"' in untrusting.run("status", "--json").stdout


def test_a_command_without_the_environment_trusts_it_no_more(
    untrusting: Instance, aim: Path
) -> None:
    assert "MAILROSTER_TRUST_CONFIG" not in os.environ
    untrusting.setup("email", "add", "jane@x.com", PASSWORD)
    assert untrusting.can_log_in("jane@x.com")  # so it wrote to the tables of the server
    untrusting.send("jane@x.com", subject="kept out")
    untrusting.arrives("jane@x.com", "kept out")
    untrusting.setup("email", "del", "-y", "jane@x.com")
    assert list(aim.iterdir()) == []


def test_what_is_pushed_while_it_runs_is_neither_judged_nor_waits(untrusting: Instance) -> None:
    (untrusting.config / "postfix-main.cf").write_text("no setting\n")
    (untrusting.config / "mailroster.toml").write_text("no = toml = at all")
    untrusting.setup("alias", "add", "info@x.com", "john@x.com")
    until(lambda: untrusting.rcpt("info@x.com")[0] == 250)
    status = untrusting.run("status").stdout
    assert "in step: yes" in status
    assert "waiting" not in status


def test_the_folder_can_not_trust_itself(tmp_path: Path) -> None:
    instance = Instance(trust_config=True)
    try:
        done = instance.run("email", "list")
        assert done.returncode == 2
        assert "'trust_config' can't be set in the config folder itself" in done.stderr
    finally:
        instance.close()
