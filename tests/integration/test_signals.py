"""Whatever ends `up`, but SIGKILL, ends its servers first; what does not end it leaves it at work:
signals, terminals that are closed, outputs that are closed or full."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.instance import Instance, save, trusting, until

STOP_S = 60
MASTER = re.compile("sbin/master|/dovecot -c")
_AGAIN = b"policy service runs again"


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    made = Instance()
    try:
        made.setup("email", "add", "a@x.com", "secret")
        yield made
    finally:
        made.close()


def started(instance: Instance) -> subprocess.Popen[bytes]:
    if instance.up is None:
        instance.start()
    assert instance.up is not None
    return instance.up


def ended(instance: Instance) -> int:
    """Asserts that `up` ends, and all that it has started; its exit code."""
    assert instance.up is not None
    code = instance.up.wait(STOP_S)
    instance.up = None
    processes.nothing_is_left(instance)
    return code


@pytest.mark.parametrize("name", ["TERM", "INT", "QUIT", "ABRT", "XCPU", "PWR"])
def test_a_signal_that_ends_up_ends_the_servers_first(instance: Instance, name: str) -> None:
    started(instance).send_signal(signal.Signals[f"SIG{name}"])
    assert ended(instance) == 0


@pytest.mark.parametrize("name", ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PIPE", "STKFLT"])
def test_a_signal_without_a_meaning_changes_nothing(instance: Instance, name: str) -> None:
    up, before = started(instance), processes.of(instance)
    up.send_signal(signal.Signals[f"SIG{name}"])
    if name != "PIPE":
        until(lambda: f"signal SIG{name} is ignored" in instance.log.read_text())
    works_on(instance, before)


def test_a_signal_of_real_time_changes_nothing(instance: Instance) -> None:
    up, before = started(instance), processes.of(instance)
    for number in (signal.SIGRTMIN, signal.SIGRTMIN + 4, signal.SIGRTMAX):
        up.send_signal(number)
        until(lambda number=number: f"signal {names(number)} " in instance.log.read_text())  # type: ignore[misc]
    works_on(instance, before)


def names(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def works_on(instance: Instance, before: dict[int, str]) -> None:
    assert instance.up is not None
    assert instance.up.poll() is None
    masters = {pid for pid, command in before.items() if MASTER.search(command)}
    assert masters <= processes.of(instance).keys()
    assert instance.can_log_in("a@x.com")


def serial(instance: Instance, port: str) -> bytes:
    """The certificate that a port shows."""
    import socket

    with (
        socket.create_connection(("127.0.0.1", instance.ports[port])) as plain,
        trusting().wrap_socket(plain) as session,
    ):
        return session.getpeercert(binary_form=True) or b""


def test_sighup_reloads_certificates_and_keeps_sessions(instance: Instance) -> None:
    up, tls = started(instance), instance.state / "tls"
    old = {port: serial(instance, port) for port in ("imaps", "submissions")}
    make_certificate(tls)
    with instance.imap("a@x.com") as session:
        session.select("INBOX")
        up.send_signal(signal.SIGHUP)
        until(lambda: "certificates are reloaded" in instance.log.read_text())
        for port, before in old.items():
            until(lambda port=port, before=before: serial(instance, port) != before)  # type: ignore[misc]
        time.sleep(10)  # Dovecot kills clients 6 s after a reload, if it kills them
        assert session.noop()[0] == "OK"
    assert instance.can_log_in("a@x.com")
    instance.send("a@x.com", subject="after a reload")
    instance.arrives("a@x.com", "after a reload")


def make_certificate(tls: os.PathLike[str], key: str = "key.pem") -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=new.test",
         "-days", "30", "-keyout", f"{os.fspath(tls)}/{key}", "-out", f"{os.fspath(tls)}/cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip


def test_a_certificate_that_does_not_fit_its_key_is_not_reloaded(instance: Instance) -> None:
    up, tls = started(instance), instance.state / "tls"
    good, before = (tls / "cert.pem").read_bytes(), serial(instance, "imaps")
    make_certificate(tls, key="another.pem")
    up.send_signal(signal.SIGHUP)
    until(lambda: "the certificate is not reloaded" in instance.log.read_text())
    assert serial(instance, "imaps") == before
    assert instance.can_log_in("a@x.com")
    (tls / "cert.pem").write_bytes(good)


def program(instance: Instance) -> list[str]:
    return [sys.executable, "-m", "mailroster", "--home", str(instance.home), "up"]


def test_a_terminal_that_is_closed_ends_everything(instance: Instance) -> None:
    instance.stop()
    master, slave = pty.openpty()

    def control() -> None:
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    instance.up = subprocess.Popen(
        program(instance), stdin=slave, stdout=slave, stderr=slave, preexec_fn=control
    )
    os.close(slave)
    read = b""
    while b"ready" not in read:
        read += os.read(master, 1000)
    os.close(master)  # the kernel sends SIGHUP, and stderr gives EIO from now on
    assert ended(instance) == 0


def test_a_terminal_that_goes_without_a_word_leaves_up_at_work(instance: Instance) -> None:
    """As for `up & disown`: no SIGHUP comes, only writing fails."""
    instance.stop()
    master, slave = pty.openpty()
    instance.up = subprocess.Popen(
        program(instance), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    read = b""
    while b"ready" not in read:
        read += os.read(master, 1000)
    os.close(master)
    goes_on(instance)
    assert instance.stop() == 0
    processes.nothing_is_left(instance)


def goes_on(instance: Instance) -> None:
    """Asserts that `up` works although it can't say so: an edit by hand makes it speak."""
    assert instance.up is not None
    with instance.file("postfix-accounts.cf").open("a") as accounts:
        accounts.write("nonsense\n")
    instance.setup(
        "email", "add", f"n{len(processes.of(instance))}-{os.urandom(3).hex()}@x.com", "x"
    )
    until(lambda: instance.can_log_in("a@x.com"))
    assert instance.up.poll() is None
    master = next(p for p, command in processes.of(instance).items() if "sbin/master" in command)
    os.kill(master, signal.SIGKILL)  # and `up` says so, and starts another
    until(lambda: "postfix: running" in instance.run("status").stdout)
    until(lambda: instance.rcpt("a@x.com")[0] == 250)
    path = instance.file("postfix-accounts.cf")
    save(path, path.read_text().replace("nonsense\n", ""))


@pytest.mark.parametrize("kind", ["full", "closed", "broken pipe", "pipe that is full"])
def test_an_output_that_takes_nothing_leaves_up_at_work(instance: Instance, kind: str) -> None:
    instance.stop()
    reader, writer = os.pipe()
    outputs = {
        "full": "exec >/dev/full 2>&1",
        "closed": "exec <&- >&- 2>&-",
        "broken pipe": "",
        "pipe that is full": "",
    }
    if kind == "broken pipe":
        os.close(reader)
    if kind == "pipe that is full":
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writer, True)
    environment = {**os.environ, "MAILROSTER_LOGS_TO_STDOUT": "1"}
    instance.up = subprocess.Popen(
        ["sh", "-c", f'{outputs[kind]}\nexec "$@"', "sh", *program(instance)],
        stdout=writer, stderr=writer, env=environment,
    )  # fmt: skip
    os.close(writer)
    until(lambda: instance.run("status").returncode == 0 and instance.can_log_in("a@x.com"), 60)
    goes_on(instance)
    assert no_table_was_written_into(instance)
    assert instance.stop() == 0
    if kind != "broken pipe":
        os.close(reader)
    processes.nothing_is_left(instance)


def no_table_was_written_into(instance: Instance) -> bool:
    """Whether the messages for a closed stderr went nowhere, not into a file with its number."""
    return "ready: SMTP" not in "".join(
        path.read_bytes().decode("latin-1")
        for path in instance.state.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


def test_a_stop_while_up_begins_leaves_nothing(instance: Instance) -> None:
    """At any moment of a start."""
    for wait_s in (0.3, 0.6, 0.9, 1.3):
        instance.up = subprocess.Popen(program(instance), stderr=subprocess.DEVNULL)
        try:
            instance.up.wait(wait_s)
        except subprocess.TimeoutExpired:
            instance.up.send_signal(signal.SIGTERM)
        instance.up.wait(STOP_S)  # before there are handlers it may end by the signal itself
        instance.up = None
        processes.nothing_is_left(instance)


def test_a_server_that_does_not_answer_is_killed_with_its_children(instance: Instance) -> None:
    started(instance)
    for pid, command in processes.of(instance).items():
        if "dovecot" in command:
            os.kill(pid, signal.SIGSTOP)
    assert instance.stop() == 0
    assert "does not stop; it is killed" in instance.log.read_text()
    processes.nothing_is_left(instance)


def test_without_descriptors_a_stop_leaves_nothing(instance: Instance) -> None:
    """As after a leak: `up` can open no file any more."""
    up = started(instance)
    limit = ["prlimit", "--pid", str(up.pid), "--nofile=9:9"]
    subprocess.run(limit, check=True)
    until(lambda: "Too many open files" in instance.log.read_text())
    assert up.poll() is None
    assert instance.can_log_in("a@x.com")
    assert instance.stop() == 0
    processes.nothing_is_left(instance)


def test_a_stop_while_a_server_hangs_at_its_start_leaves_nothing(
    instance: Instance, tmp_path: Path
) -> None:
    """Neither the program that starts it, nor what that has started."""
    instance.stop()
    hung = tmp_path / "postfix"
    hung.write_text(f"#!/bin/sh\n: {instance.home}\nsleep 600.5 &\ntouch {tmp_path}/began\nwait\n")
    hung.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    instance.up = subprocess.Popen(program(instance), stderr=subprocess.DEVNULL, env=environment)
    until((tmp_path / "began").exists, 60)
    instance.up.send_signal(signal.SIGTERM)
    assert ended(instance) == 0
    assert subprocess.run(["pgrep", "-f", "sleep 600[.]5"], check=False).returncode == 1


def test_the_policy_service_outlives_signals_without_a_meaning(instance: Instance) -> None:
    started(instance)
    policy = int((instance.state / "locks/policy.pid").read_text())
    for name in ("HUP", "USR1", "USR2", "PIPE", "ALRM"):
        os.kill(policy, signal.Signals[f"SIG{name}"])
    until(lambda: instance.rcpt("a@x.com")[0] == 250)
    assert policy in processes.of(instance)
    for name in ("TERM", "QUIT", "INT"):
        before = instance.log.stat().st_size
        pid = int((instance.state / "locks/policy.pid").read_text())
        os.kill(pid, signal.Signals[f"SIG{name}"])
        until(lambda before=before: _AGAIN in instance.log.read_bytes()[before:])  # type: ignore[misc]


def test_sigkill_leaves_the_servers_to_the_next_up(instance: Instance) -> None:
    started(instance)
    before = {pid for pid, command in processes.of(instance).items() if "sbin/master" in command}
    instance.kill()
    assert instance.can_log_in("a@x.com")
    instance.start()
    assert before <= processes.of(instance).keys()
    assert instance.stop() == 0
    processes.nothing_is_left(instance)
