"""`setup status` and `setup health` with the processes of options, and blocked clients."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.instance import HASH, Instance, free_ports, until

A = "a@own.example"


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    forward, reverse, reports = free_ports(3)
    instance = Instance(
        hostname="mail.own.example", enable_srs=True, srs_forward_port=forward,
        srs_reverse_port=reverse, block_guessing=True, login_reports_port=reports,
    )  # fmt: skip
    try:
        instance.file("postfix-accounts.cf").write_text(f"{A}|{HASH}\n")
        for kind in ("rsa", "ed25519"):
            instance.setup("config", "dkim", "--keytype", kind, "--selector", kind)
        instance.start()
        until(lambda: instance.run("status").returncode == 0)
        yield instance
    finally:
        instance.close()


def running(server: Instance) -> dict[str, int | None]:
    pids: dict[str, int | None] = json.loads(server.run("status", "--json").stdout)["running"]
    return pids


@contextmanager
def dead(server: Instance, name: str) -> Iterator[None]:
    """The process is dead, and `up` does not start it again meanwhile."""
    pid = running(server)[name]
    assert pid is not None
    assert server.up is not None
    server.up.send_signal(signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        yield
    finally:
        server.up.send_signal(signal.SIGCONT)
    until(lambda: running(server)[name] not in (None, pid))


def test_status_lists_the_processes_of_options_that_are_on(server: Instance) -> None:
    text = server.setup("status")
    for name in ("opendkim", "opendkim-ed25519", "postsrsd"):
        assert re.search(rf"^{name}: running, pid \d+$", text, re.M), text
    assert [*running(server)] == [
        "up", "postfix", "dovecot", "policy", "opendkim", "opendkim-ed25519", "postsrsd",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["opendkim", "opendkim-ed25519", "postsrsd"])
def test_a_dead_process_of_an_option_is_a_fault_but_no_reason_for_a_restart(
    server: Instance, name: str
) -> None:
    with dead(server, name):
        done = server.run("status")
        assert f"\n{name}: not running\n" in done.stdout
        assert done.returncode == 1
        health = server.run("health")
        assert health.returncode == 0, "a restart of the container would stop all mail"
        assert f"not running: {name}" in health.stderr
    until(lambda: server.run("status").returncode == 0)
    assert server.run("health").stderr == ""


def test_status_counts_the_blocked_clients(server: Instance) -> None:
    assert "\nblocked: 0 clients\n" in server.setup("status")
    for address in ("192.0.2.1", "2001:db8::1"):
        server.setup("block", "add", address)
    try:
        assert "\nblocked: 2 clients\n" in server.setup("status")
        blocked = json.loads(server.setup("status", "--json"))["blocked"]
        assert blocked == {"clients": 2, "accounts": 0}
    finally:
        for address in ("192.0.2.1", "2001:db8::1"):
            server.setup("block", "del", address)


def test_without_the_options_nothing_is_listed(server: Instance) -> None:
    server.stop()
    toml = server.file("mailroster.toml")
    lines = re.sub(r"^(enable_srs|block_guessing) = .*\n", "", toml.read_text(), flags=re.M)
    toml.write_text(f"{lines}enable_opendkim = false\n")
    server.start()
    until(lambda: server.run("status").returncode == 0)
    assert [*running(server)] == ["up", "postfix", "dovecot", "policy"]
    assert "blocked" not in server.setup("status")
    assert json.loads(server.setup("status", "--json"))["blocked"] is None
