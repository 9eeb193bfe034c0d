"""A server that can't start: `up` ends with the cause and what to do."""

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from mailroster.base.settings import Sources, load
from mailroster.servers.ports import ports_in_use
from tests.support.instance import PORTS, Instance, free_ports


@pytest.fixture
def instance() -> Iterator[Instance]:
    instance = Instance(enable_quotas=False)
    try:
        yield instance
    finally:
        instance.close()


@pytest.mark.parametrize(("name", "server"), [("submission", "postfix"), ("imaps", "dovecot")])
def test_a_port_in_use_is_named_with_its_process_and_its_setting(
    instance: Instance, name: str, server: str
) -> None:
    with socket.create_server(("127.0.0.1", instance.ports[name])):
        ended = instance.run("up")
    with open(f"/proc/{os.getpid()}/comm") as file:
        me = f"{file.read().strip()} (pid {os.getpid()})"
    port = f"port {instance.ports[name]} on 127.0.0.1 is in use by {me}"
    message = f"setup: {server} does not start: {port}: stop it, or set {name}_port"
    assert ended.returncode == 1
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()[-1]) < 1000, "not the same words again and again"
    instance.start()  # nothing is left behind that stops it


def test_postfix_does_not_start_without_a_log_file(instance: Instance) -> None:
    instance.file("postfix-main.cf").write_text("maillog_file = /dev/stdout\n")
    ended = instance.run("up")
    assert ended.returncode == 1
    assert (
        "postfix does not start: maillog_file = /dev/stdout: Postfix starts only with a file"
        in (ended.stderr)
    )


def test_a_full_disk_at_the_start_is_named_by_path(instance: Instance) -> None:
    instance.state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", instance.state], check=True)
    try:
        ended = instance.run("up")
    finally:
        subprocess.run(["umount", "-l", instance.state], check=True)
    last = ended.stderr.splitlines()[-1]
    assert ended.returncode in (1, 75), ended.stderr
    assert str(instance.state) in last
    assert "full; make room on that file system" in last or "No space left on device; make" in last
    assert "Traceback" not in ended.stderr


def test_every_way_to_listen_on_a_port() -> None:
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    options = {f"{name}_port": str(port) for name, port in ports.items()}

    def messages(server: str, listen: str, **more: str) -> list[str]:
        given = {"home": "/nonexistent", "listen": listen, **options, **more}
        return ports_in_use(server, load(Sources(given, {}, lambda path: b"", os.path.isdir)))

    smtp = ports["smtp"]
    for address, listen, found in (
        ("127.0.0.2", "127.0.0.2", "127.0.0.2"),
        ("127.0.0.2", "*", "127.0.0.2"),
        ("", "127.0.0.1", "*"),
        ("127.0.0.2", "127.0.0.1", ""),
    ):
        with socket.create_server((address, smtp)):
            words = messages("postfix", listen)
        assert [word.partition(" is in use")[0] for word in words] == (
            [f"port {smtp} on {found}"] if found else []
        )
        assert messages("dovecot", listen) == []
    assert messages("postfix", "*") == []
