"""Ports that are off, that a load balancer reaches, or that an override has changed: `up` is ready,
`health` asks those that are on, and other shells know with which settings it was started."""

import os
import socket
import stat
from collections.abc import Iterator

import pytest

from tests.support.instance import PASSWORD, Instance, message, until

_LARGE = 60_000


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


#: A machine without IPv6 can't listen there; with it, it is one address more.
ADDRESSES = ["127.0.0.1", *(["::1"] if has_ipv6() else [])]


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    """SMTP and IMAP are behind a balancer, POP3 and submission with STARTTLS are off. Spoof
    protection comes from the environment of `up`."""
    instance = Instance(
        listen=", ".join(ADDRESSES),
        pop3_port=0,
        pop3s_port=0,
        submission_port=0,
        proxy_protocol="smtp, imap",
        trusted_proxies="127.0.0.9, 203.0.113.0/24",
        message_size_limit=50_000,
    )
    os.environ["SPOOF_PROTECTION"] = "1"
    try:
        instance.start()
        del os.environ["SPOOF_PROTECTION"]
        instance.setup("email", "add", "u@x.com", PASSWORD)
        instance.setup("email", "add", "b@x.com", PASSWORD)
        yield instance
    finally:
        os.environ.pop("SPOOF_PROTECTION", None)
        instance.close()


def test_it_is_ready_and_healthy(server: Instance) -> None:
    p = server.ports
    said = (
        f"ready: SMTP {p['smtp']} (PROXY), submission {p['submissions']}, "
        f"IMAP {p['imap']} (PROXY) and {p['imaps']}, ManageSieve {p['sieve']} on "
        f"{', '.join(ADDRESSES)}\n"
    )
    assert said in server.log.read_text()
    done = server.run("health")
    assert (done.returncode, done.stderr) == (0, "")


def test_every_address_has_the_ports_that_are_on_and_no_other(server: Instance) -> None:
    for address in ADDRESSES:
        for name in ("imaps", "submissions", "sieve", "smtp"):
            socket.create_connection((address, server.ports[name]), 5).close()
    for name in ("pop3", "pop3s", "submission"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.ports[name]), 5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.9", server.ports["imaps"]), 5)


def test_the_client_is_the_one_that_a_trusted_balancer_names(server: Instance) -> None:
    line = b"PROXY TCP4 203.0.113.8 127.0.0.1 40000 143\r\n"
    at = ("127.0.0.1", server.ports["imap"])
    with socket.create_connection(at, 10, source_address=("127.0.0.9", 0)) as balancer:
        balancer.sendall(line)
        assert balancer.recv(100).startswith(b"* OK")
        balancer.sendall(b"a LOGOUT\r\n")
    until(lambda: "rip=203.0.113.8" in (server.home / "mail-logs/dovecot.log").read_text())
    with socket.create_connection(("127.0.0.1", server.ports["imap"]), 10) as other:
        other.sendall(line)
        try:
            assert other.recv(100) == b""
        except ConnectionResetError:
            pass
    with socket.create_connection(("127.0.0.1", server.ports["smtp"]), 10) as balancer:
        balancer.sendall(b"PROXY TCP4 203.0.113.9 127.0.0.1 40000 25\r\n")
        assert balancer.recv(100).startswith(b"220")
    until(lambda: "unknown[203.0.113.9]" in (server.home / "mail-logs/mail.log").read_text())


def test_a_client_uploads_no_larger_message_than_others_send(server: Instance) -> None:
    with server.imap("u@x.com") as session:
        large = message("large", "u@x.com", _LARGE).as_bytes()
        assert session.append("INBOX", "", "", large)[0] == "NO"
        small = message("small", "u@x.com", 30_000).as_bytes()
        assert session.append("INBOX", "", "", small)[0] == "OK"


def test_another_shell_knows_the_settings_in_force(server: Instance) -> None:
    """`SPOOF_PROTECTION=1 mailroster up`, then a command without that variable."""
    assert "SPOOF_PROTECTION" not in os.environ
    shown = server.setup("explain", "b@x.com")
    assert "spoof_protection is off" not in shown
    assert "Postfix and Dovecot say the same" in shown
    added = server.run("sender", "add", "u@x.com", "b@x.com")
    assert "spoof protection is off" not in added.stdout + added.stderr
    server.setup("sender", "del", "u@x.com", "b@x.com")
    note = server.state / "in-force"
    status = note.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o640)
    assert "set spoof_protection 1\n" in note.read_text()
    assert PASSWORD not in note.read_text()


def test_a_note_that_another_user_could_have_written_does_not_count(server: Instance) -> None:
    note = server.state / "in-force"
    try:
        for uid, mode in ((5000, 0o640), (0, 0o662)):
            os.chown(note, uid, 0)
            note.chmod(mode)
            assert "spoof_protection is off" in server.setup("explain", "b@x.com")
    finally:
        os.chown(note, 0, 0)
        note.chmod(0o640)
    assert "spoof_protection is off" not in server.setup("explain", "b@x.com")


def test_overrides_that_change_ports_leave_a_server_that_works() -> None:
    """Without quotas an upload has its limit all the same, the one that is in force."""
    instance = Instance(enable_quotas=False, message_size_limit=20_000)
    smtp = instance.ports["smtp"]
    instance.file("dovecot.cf").write_text(
        "service imap-login {\n  inet_listener imap {\n    port = 0\n  }\n}\n"
        "service pop3-login {\n  inet_listener pop3 {\n    haproxy = yes\n  }\n}\n"
    )
    instance.file("postfix-main.cf").write_text(
        f"master_service_disable = 127.0.0.1:{smtp}/inet\nmessage_size_limit = 50000\n"
    )
    instance.file("postfix-master.cf").write_text(
        "submission/inet/smtpd_upstream_proxy_protocol = haproxy\n"
    )
    try:
        instance.start()
        p = instance.ports
        said = (
            f"ready: submission {p['submission']} (PROXY) and {p['submissions']}, "
            f"IMAP {p['imaps']}, POP3 {p['pop3']} (PROXY) and {p['pop3s']}, ManageSieve"
        )
        assert said in instance.log.read_text()
        for port in (smtp, p["imap"]):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), 5)
        assert instance.run("health").returncode == 0
        instance.setup("email", "add", "u@x.com", PASSWORD)
        with instance.imap("u@x.com") as session:
            large = message("large", "u@x.com", _LARGE).as_bytes()
            assert session.append("INBOX", "", "", large)[0] == "NO"
            small = message("small", "u@x.com", 30_000).as_bytes()
            assert session.append("INBOX", "", "", small)[0] == "OK"
        assert instance.stop() == 0
        assert not (instance.state / "in-force").exists()
    finally:
        instance.close()


def test_an_address_that_the_machine_lacks_is_refused_by_name() -> None:
    instance = Instance(listen="127.0.0.1, 192.0.2.1")
    try:
        done = instance.run("up")
        assert done.returncode == 1
        assert "listen: 192.0.2.1 is no address of this machine" in done.stderr
    finally:
        instance.close()


def test_a_balancer_that_dovecot_does_not_know_is_refused_at_the_start() -> None:
    instance = Instance(proxy_protocol="imaps")
    try:
        done = instance.run("up")
        assert done.returncode == 1
        assert "set trusted_proxies to the addresses of the load balancers" in done.stderr
    finally:
        instance.close()
