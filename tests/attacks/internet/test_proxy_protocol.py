"""Behind a load balancer that speaks the PROXY protocol: the client is the one that the balancer
names, with limits of its own, and no name makes a client trusted."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.attacks.wire import Wire
from tests.support.instance import PASSWORD, Instance, until


@pytest.fixture(scope="module")
def balanced() -> Iterator[Instance]:
    instance = Instance()
    instance.file("postfix-master.cf").write_text(
        "smtp/inet/smtpd_upstream_proxy_protocol=haproxy\n"
    )
    instance.file("dovecot.cf").write_text(
        "haproxy_trusted_networks = 127.0.0.0/8\n"
        "service imap-login {\n  inet_listener imap {\n    haproxy = yes\n  }\n}\n"
    )
    try:
        instance.start()
        instance.setup("email", "add", "u@x.com", PASSWORD)
        yield instance
    finally:
        instance.close()


def _connect(server: Instance, named: str) -> Wire:
    wire = Wire(server.ports["smtp"])
    wire.send(f"PROXY TCP4 {named} 127.0.0.1 40000 25\r\n".encode())
    assert wire.reply().startswith("220")
    wire.say("EHLO client.test")
    return wire


def test_mail_arrives_with_the_address_of_the_client(balanced: Instance) -> None:
    with _connect(balanced, "203.0.113.5") as wire:
        wire.say("MAIL FROM:<a@elsewhere.test>")
        wire.say("RCPT TO:<u@x.com>")
        wire.say("DATA")
        assert "queued" in wire.say("Subject: balanced\r\n\r\nbody\r\n.")
    balanced.arrives("u@x.com", "balanced")
    log = (balanced.home / "mail-logs/mail.log").read_text()
    assert "client=unknown[203.0.113.5]" in log


@pytest.mark.parametrize("named", ["127.0.0.1", "127.0.0.2", "10.0.0.1", "203.0.113.5"])
def test_no_address_may_relay(balanced: Instance, named: str) -> None:
    with _connect(balanced, named) as wire:
        wire.say("MAIL FROM:<a@elsewhere.test>")
        assert wire.say("RCPT TO:<victim@elsewhere.test>").startswith("554")


def test_a_client_behind_it_has_a_limit_of_its_own(balanced: Instance) -> None:
    opened = [_connect(balanced, "203.0.113.6") for _ in range(20)]
    try:
        with Wire(balanced.ports["smtp"]) as wire:
            wire.send(b"PROXY TCP4 203.0.113.6 127.0.0.1 40000 25\r\n")
            assert wire.reply().startswith("421")
        with _connect(balanced, "203.0.113.7") as wire:
            assert wire.say("NOOP").startswith("250")
    finally:
        for one in opened:
            one.__exit__()


def test_imap_sees_the_client_too(balanced: Instance) -> None:
    with socket.create_connection(("127.0.0.1", balanced.ports["imap"]), 10) as connection:
        connection.sendall(b"PROXY TCP4 203.0.113.8 127.0.0.1 40000 143\r\n")
        assert connection.recv(100).startswith(b"* OK")
        connection.sendall(b"a LOGOUT\r\n")
    until(lambda: "rip=203.0.113.8" in (balanced.home / "mail-logs/dovecot.log").read_text())


def test_the_server_is_healthy_all_the_same(balanced: Instance) -> None:
    """`health` asks for a greeting as a client does, and says the line if there is none."""
    done = balanced.run("health")
    assert done.returncode == 0, done.stderr
