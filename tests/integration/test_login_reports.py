"""Dovecot's reports of logins, and the last use of app passwords that they tell."""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, free_ports, until

A = "a@x.com"


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    (port,) = free_ports(1)
    instance = Instance(login_reports_port=port)
    instance.ports["reports"] = port
    try:
        instance.file("postfix-accounts.cf").write_text(
            f"{A}|{HASH}\nu@müller.example|{HASH}\n", encoding="utf-8"
        )
        instance.file("dovecot-masters.cf").write_text(f"admin|{HASH}\n")
        instance.start()
        yield instance
    finally:
        instance.close()


def added(server: Instance, address: str, label: str) -> str:
    return server.setup("email", "app-password", "add", address, label).strip()


def used(server: Instance, address: str, label: str) -> dict[str, str] | None:
    listed = json.loads(server.setup("email", "app-password", "list", address, "--json"))
    (entry,) = (each for each in listed if each["label"] == label)
    use: dict[str, str] | None = entry["last_use"]
    return use


def test_the_list_says_when_by_which_protocol_and_from_where(server: Instance) -> None:
    phone, other = added(server, A, "phone"), added(server, A, "other")
    assert used(server, A, "phone") is None
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with server.imap(A, phone) as session:
        assert session.noop()[0] == "OK"
        assert session.select("INBOX")[0] == "OK", "the report changes nothing in the session"
    until(lambda: used(server, A, "phone") is not None)
    use = used(server, A, "phone")
    assert use is not None
    assert (use["service"], use["remote"]) == ("imap", "127.0.0.1")
    assert before <= use["time"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with server.smtp("submission") as session:
        session.login("A@X.com", phone)
    until(lambda: (used(server, A, "phone") or {}).get("service") == "smtp")
    mailbox = server.pop3()
    mailbox.user(A)
    mailbox.pass_(phone)
    mailbox.quit()
    until(lambda: (used(server, A, "phone") or {}).get("service") == "pop3")
    assert used(server, A, "other") is None
    assert "[ used 20" in server.setup("email", "app-password", "list", A)
    with server.imap(A, other):
        until(lambda: used(server, A, "other") is not None)


def test_other_passwords_and_refused_logins_are_no_use(server: Instance) -> None:
    password = added(server, A, "unused")
    assert server.can_log_in(A, PASSWORD)
    assert server.can_log_in(f"{A}*admin", PASSWORD)
    assert not server.can_log_in(A, f"{password}x")
    with server.imap(A, added(server, A, "later")):
        until(lambda: used(server, A, "later") is not None)
    assert used(server, A, "unused") is None


def test_another_app_password_with_the_label_was_never_used(server: Instance) -> None:
    with server.imap(A, added(server, A, "again")):
        until(lambda: used(server, A, "again") is not None)
    server.setup("email", "app-password", "del", A, "again")
    added(server, A, "again")
    assert used(server, A, "again") is None


def test_a_spelling_of_the_domain_is_the_account(server: Instance) -> None:
    with server.imap("U@Müller.example", added(server, "u@müller.example", "phone")):
        until(lambda: used(server, "u@müller.example", "phone") is not None)


def report(server: Instance, key: str, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["reports"], timeout=20)
    try:
        connection.request("POST", "/?command=report", body, {"X-Mailroster-Key": key})
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_report_without_the_key_is_refused_and_the_key_is_closed(server: Instance) -> None:
    password = added(server, A, "forged")
    from mailroster.roster.formats.app_passwords import digest_of

    forged = {
        "login": A, "protocol": "imap", "remote": "6.6.6.6", "success": True,
        "app": digest_of(password)[-16:],
    }  # fmt: skip
    body = json.dumps(forged).encode()
    key_file = server.state / "locks" / "login-reports.key"
    key = key_file.read_text().strip()
    for wrong in ("", "x", key[:-1], key.upper()):
        assert report(server, wrong, body) == 403
    for path in (key_file, server.state / "dovecot" / "login-reports.conf"):
        assert path.stat().st_mode & 0o777 == 0o600
    with server.imap(A, added(server, A, "marker")):
        until(lambda: used(server, A, "marker") is not None)
    assert used(server, A, "forged") is None
    assert report(server, key, body) == 200
    until(lambda: (used(server, A, "forged") or {}).get("remote") == "6.6.6.6")
    assert (server.state / "locks" / "last-use.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"\0" * 20000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000, b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nX-Mailroster-Key: KEY\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nX-Mailroster-Key: KEY\r\nContent-Length: 99999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nX-Mailroster-Key: KEY\r\nContent-Length: 9\r\n\r\n[[[[[[[[[",
        b"POST / HTTP/1.1\r\nX-Mailroster-Key: KEY\r\nContent-Length: 16\r\n\r\n{\"success\": true",
    ],
)  # fmt: skip
def test_bytes_that_are_no_report_end_their_connection_and_nothing_else(
    server: Instance, sent: bytes
) -> None:
    key = (server.state / "locks" / "login-reports.key").read_bytes().strip()
    with socket.create_connection(("127.0.0.1", server.ports["reports"]), 30) as raw:
        raw.sendall(sent.replace(b"KEY", key))
        raw.shutdown(socket.SHUT_WR)
        raw.settimeout(30)
        try:
            while raw.recv(4096):
                pass
        except ConnectionResetError:
            pass
    label = f"after-{abs(hash(sent)) % 100000}"
    with server.imap(A, added(server, A, label)):
        until(lambda: used(server, A, label) is not None)


def test_idle_connections_keep_no_report_away(server: Instance) -> None:
    idle = [
        socket.create_connection(("127.0.0.1", server.ports["reports"]), 30) for _ in range(300)
    ]
    try:
        with server.imap(A, added(server, A, "crowded")):
            assert server.can_log_in(A, PASSWORD)
            until(lambda: used(server, A, "crowded") is not None, 90)
    finally:
        for each in idle:
            each.close()


def logs_in_again(server: Instance, password: str) -> bool:
    """Whether a login succeeds, at the second try at the latest: the restart reloads Dovecot, which
    may interrupt the first."""
    return server.can_log_in(A, password) or server.can_log_in(A, password)


def test_logins_go_on_while_the_listener_hangs_or_is_gone(server: Instance) -> None:
    password = added(server, A, "steady")
    assert server.up is not None
    os.kill(server.up.pid, signal.SIGSTOP)
    try:
        for _ in range(5):
            started = time.monotonic()
            assert server.can_log_in(A, password)
            assert time.monotonic() - started < 20
    finally:
        os.kill(server.up.pid, signal.SIGCONT)
    server.kill()
    for _ in range(5):
        assert server.can_log_in(A, password)
    server.start()

    def is_used() -> bool:
        assert logs_in_again(server, password)
        time.sleep(1)
        return used(server, A, "steady") is not None

    until(is_used, 150)


def test_after_a_kill_and_a_restart_reports_come_at_once(server: Instance) -> None:
    password = added(server, A, "again-at-once")
    with server.imap(A) as session:
        server.kill()
        end = time.monotonic() + 28  # now Dovecot would wait for 45 s and more
        while time.monotonic() < end:
            assert server.can_log_in(A, password)
            time.sleep(0.3)
        assert used(server, A, "again-at-once") is None
        server.start()

        def is_used() -> bool:
            assert logs_in_again(server, password)
            time.sleep(1)
            return used(server, A, "again-at-once") is not None

        until(is_used, 30)
        assert session.noop()[0] == "OK"


def test_a_damaged_record_is_made_again(server: Instance) -> None:
    (server.state / "locks" / "last-use.db").write_bytes(b"x" * 5000)
    password = added(server, A, "damaged")
    assert used(server, A, "damaged") is None

    def is_used() -> bool:
        assert server.can_log_in(A, password)
        time.sleep(1.5)
        return used(server, A, "damaged") is not None

    until(is_used, 60)


def test_no_password_and_no_key_is_in_a_log(server: Instance) -> None:
    password = added(server, A, "quiet")
    assert server.can_log_in(A, password)
    key = (server.state / "locks" / "login-reports.key").read_bytes().strip()
    for path in (*(server.home / "mail-logs").rglob("*"), server.log):
        if path.is_file():
            raw = path.read_bytes()
            assert password.encode() not in raw
            assert key not in raw


def test_a_port_that_another_program_has_stops_neither_the_start_nor_a_login() -> None:
    """As in a container with the network of its host."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        instance = Instance(login_reports_port=port)
        try:
            instance.file("postfix-accounts.cf").write_text(f"{A}|{HASH}\n")
            instance.start()
            until(lambda: f"port {port}: another program uses it" in instance.log.read_text())
            assert "logins are not affected" in instance.log.read_text()
            word = added(instance, A, "phone")
            assert instance.can_log_in(A, word)
            assert used(instance, A, "phone") is None
        finally:
            instance.close()
