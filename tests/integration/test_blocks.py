"""Clients that guess passwords are blocked, on real servers. Clients have addresses of their own by
the PROXY protocol, and by the addresses of the loopback network."""

import base64
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, free_ports, trusting, until

A, B, SPELT, SLOW = "a@x.com", "b@x.com", "u@müller.example", "slow@x.com"
#: Accounts that Dovecot reads from a passwd-file.
EXTRA, SPELT_EXTRA, BY_SERVICE = "extra@x.com", "extra@müller.example", "imap@x.com"
#: capabilities(7), linux/capability.h
_CAP_NET_ADMIN = 12
_PORTS = {"imap": "imaps", "pop3": "pop3s", "smtp": "submissions", "sieve": "sieve"}


class Unprivileged(Instance):
    """An instance that can't change the firewall, as in a rootless container."""

    def _program(self) -> list[str]:
        drop = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
        return [*drop, *super()._program()]


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    (port,) = free_ports(1)
    instance = Unprivileged(
        login_reports_port=port, block_guessing=True, never_blocked="198.51.100.0/24",
        proxy_protocol="submissions, imaps, pop3s, sieve", trusted_proxies="127.0.0.1",
    )  # fmt: skip
    instance.ports["reports"] = port
    try:
        lines = [f"{name}|{HASH}\n" for name in (A, B, SPELT)]
        field = "userdb_nice=3"
        lines += [f"{name}|{HASH}|{field}\n" for name in (EXTRA, SPELT_EXTRA)]
        lines.append(f"{BY_SERVICE}|{HASH}|{field} services=imap\n")
        instance.file("postfix-accounts.cf").write_text("".join(lines), encoding="utf-8")
        instance.file("dovecot-masters.cf").write_text(f"admin|{HASH}\n")
        instance.start()
        yield instance
    finally:
        instance.close()


class Client:
    """A client with an address of its own."""

    _numbers = iter(range(1, 250))

    def __init__(self, server: Instance, address: str = "") -> None:
        self.server = server
        self.address = address or f"203.0.113.{next(self._numbers)}"

    @contextmanager
    def session(self, service: str) -> Iterator[socket.socket]:
        """A TLS session, after the greeting."""
        raw = socket.create_connection(("127.0.0.1", self.server.ports[_PORTS[service]]), 60)
        family, server = ("TCP6", "::1") if ":" in self.address else ("TCP4", "127.0.0.1")
        raw.sendall(f"PROXY {family} {self.address} {server} 4000 993\r\n".encode())
        if service == "sieve":
            answer(raw, b"OK")
            raw.sendall(b"STARTTLS\r\n")
            answer(raw, b"OK")
        with trusting().wrap_socket(raw) as tls:
            answer(tls, {"imap": b"* OK", "pop3": b"+OK", "smtp": b"220", "sieve": b"OK"}[service])
            yield tls

    def logs_in(self, user: str, password: str = PASSWORD, service: str = "imap") -> bool:
        with self.session(service) as session:
            return log_in(session, user, password, service)

    def guess(self, count: int, user: str = A, service: str = "imap") -> None:
        """Tries wrong passwords, each another one, at once."""
        tries = [
            threading.Thread(
                target=self.logs_in, args=(user, f"wrong {number} {time.time()}", service)
            )
            for number in range(count)
        ]
        for each in tries:
            each.start()
        for each in tries:
            each.join()

    def is_blocked(self) -> bool:
        return any(row["client"] == self.address for row in listed(self.server)["clients"])


def slow_hash() -> str:
    """A hash of PASSWORD whose check takes seconds."""
    argv = ["doveadm", "pw", "-s", "SHA512-CRYPT", "-r", "4000000", "-p", PASSWORD]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def answer(session: socket.socket, end: bytes) -> bytes:
    """Reads up to a line that begins so."""
    raw = b""
    while not re.search(rb"^%b[^\n]*\n\Z" % re.escape(end), raw, re.M):
        part = session.recv(4096)
        assert part, raw
        raw += part
    return raw


_COMMANDS = {
    "imap": b"a AUTHENTICATE PLAIN %b\r\n", "pop3": b"AUTH PLAIN %b\r\n",
    "smtp": b"AUTH PLAIN %b\r\n", "sieve": b'AUTHENTICATE "PLAIN" "%b"\r\n',
}  # fmt: skip


def log_in(session: socket.socket, user: str, password: str, service: str) -> bool:
    words = base64.b64encode(f"\0{user}\0{password}".encode())
    if service == "smtp":
        session.sendall(b"EHLO x\r\n")
        answer(session, b"250 ")
    session.sendall(_COMMANDS[service] % words)
    raw = b""
    while not (found := re.search(rb"^(a OK|a NO|\+OK|-ERR|235|535|454|OK|NO)[^\n]*\n", raw, re.M)):
        part = session.recv(4096)
        if not part:
            return False
        raw += part
    return found[1] in (b"a OK", b"+OK", b"235", b"OK")


def listed(server: Instance) -> dict[str, list[dict[str, str | None]]]:
    blocks: dict[str, list[dict[str, str | None]]] = json.loads(
        server.setup("block", "list", "--json")
    )
    return blocks


@pytest.mark.parametrize("service", [*_PORTS])
def test_a_client_that_guesses_is_refused_everywhere_with_the_right_password(
    server: Instance, service: str
) -> None:
    client = Client(server)
    for name in _PORTS:
        assert client.logs_in(A, PASSWORD, name), name
    client.guess(5, A, service)
    until(client.is_blocked)
    for name in _PORTS:
        assert not client.logs_in(A, PASSWORD, name), name
    assert not client.logs_in(B)
    assert Client(server).logs_in(A), "other clients log in"


def test_guessing_over_50_connections_stops(server: Instance) -> None:
    client, log = Client(server), server.home / "mail-logs" / "dovecot.log"
    client.guess(50)
    until(client.is_blocked)
    assert not client.logs_in(A)
    before = len(reports(server, client.address))
    client.guess(20)
    assert len(reports(server, client.address)) == before
    assert log.exists()


def reports(server: Instance, address: str) -> list[str]:
    """The lines of `up` about a client."""
    return [line for line in server.log.read_text().splitlines() if f" {address} guesses" in line]


def test_a_64_is_one_client(server: Instance) -> None:
    for number in range(1, 6):
        assert not Client(server, f"2001:db8:0:7:{number}::1").logs_in(A, f"wrong {number}")
    until(lambda: "2001:db8:0:7::/64" in server.setup("block", "list"))
    assert not Client(server, "2001:db8:0:7:ffff:1:2:3").logs_in(A)
    assert not Client(server, "2001:db8:0:7::").logs_in(A)
    assert Client(server, "2001:db8:0:8::1").logs_in(A)
    assert Client(server, "2001:db8::7").logs_in(A)


@pytest.mark.parametrize("service", [*_PORTS])
def test_an_ipv4_client_is_blocked_if_a_load_balancer_sends_an_ipv6_address(
    server: Instance, service: str
) -> None:
    client = Client(server)
    mapped = Client(server, f"::ffff:{client.address}")
    mapped.guess(8, service=service)
    until(client.is_blocked)
    assert not mapped.logs_in(A, service=service)
    assert not client.logs_in(A, service=service)


@pytest.mark.parametrize("service", [*_PORTS])
def test_a_client_that_leaves_before_the_answer_has_guessed(server: Instance, service: str) -> None:
    """A right password is answered at once, a wrong one after two seconds."""
    client = Client(server)
    for number in range(8):
        with client.session(service) as session:
            words = base64.b64encode(f"\0{A}\0early {number}".encode())
            if service == "smtp":
                session.sendall(b"EHLO x\r\n")
                answer(session, b"250 ")
            session.sendall(_COMMANDS[service] % words)
            session.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            time.sleep(0.1)
    until(client.is_blocked)


def test_an_old_password_on_a_phone_blocks_nobody(server: Instance) -> None:
    phone = Client(server)
    for service in ("imap", "smtp", "imap", "pop3", "imap", "sieve", "imap", "smtp"):
        assert not phone.logs_in(A, "the old password", service)
    assert phone.logs_in(A)
    assert not phone.is_blocked()


def test_a_network_that_is_never_blocked(server: Instance) -> None:
    office = Client(server, "198.51.100.7")
    office.guess(12)
    assert office.logs_in(A)
    assert not office.is_blocked()


def test_a_master_is_blocked_and_gets_the_same_answer(server: Instance) -> None:
    client = Client(server)
    assert client.logs_in(f"{B}*admin")
    client.guess(5, f"{B}*admin")
    until(client.is_blocked)
    answers = set()
    for password in (PASSWORD, "wrong"):
        with client.session("imap") as session:
            words = base64.b64encode(f"\0{B}*admin\0{password}".encode())
            session.sendall(b"a AUTHENTICATE PLAIN " + words + b"\r\n")
            answers.add(answer(session, b"a NO"))
    assert len(answers) == 1, "it does not tell whether the password is right"
    assert not client.logs_in(f"{B}*admin")


@pytest.mark.parametrize("name", ["x" * 600, "é" * 600], ids=["long", "other letters"])
@pytest.mark.parametrize("service", ["imap", "smtp"])
def test_no_name_hides_guesses_of_the_password_of_a_master(
    server: Instance, service: str, name: str
) -> None:
    """Dovecot checks it before the name of the account, and its answer differs if it is right."""
    client = Client(server)
    client.guess(8, f"{name}@x.com*admin", service)
    until(client.is_blocked)


def test_an_account_under_attack_from_everywhere_is_open_to_its_owner(server: Instance) -> None:
    owner = Client(server)
    assert owner.logs_in(SPELT)
    assert Client(server, "198.51.100.9").logs_in(B), "a network that is never blocked is seen"
    tries = [
        threading.Thread(
            target=Client(server, f"192.0.2.{number // 4}").logs_in, args=(SPELT, f"x{number}")
        )
        for number in range(1, 121)
    ]
    for start in range(0, len(tries), 30):
        for each in tries[start : start + 30]:
            each.start()
        for each in tries[start : start + 30]:
            each.join()
    until(
        lambda: any(
            row["account"] == "u@xn--mller-kva.example" for row in listed(server)["accounts"]
        )
    )
    for spelling in (SPELT, "U@MÜLLER.example", "u@xn--mller-kva.example"):
        assert owner.logs_in(spelling), spelling
        assert not Client(server).logs_in(spelling), spelling
    assert Client(server, "198.51.100.9").logs_in(SPELT)
    assert Client(server).logs_in(A), "other accounts are open"


def test_commands_block_and_unblock_at_once_and_the_history_has_them(server: Instance) -> None:
    client = Client(server)
    assert server.setup("block", "add", client.address) == f"blocked: {client.address}\n"
    assert not client.logs_in(A)
    assert f"* {client.address}\n    [ without an end ]\n" in server.setup("block", "list")
    assert server.setup("block", "del", client.address) == f"unblocked: {client.address}\n"
    assert client.logs_in(A)
    server.setup("block", "add", client.address, "--until", "2s")
    assert not client.logs_in(A)
    until(lambda: client.logs_in(A))
    log = server.setup("log", client.address)
    assert f"block add {client.address}" in log
    assert f"block del {client.address}" in log
    refused = server.run("undo")
    assert refused.returncode == 1
    assert "has changed no config file" in refused.stderr
    assert server.run("block", "del", client.address).returncode == 1
    assert server.run("block", "add", "nonsense").returncode == 1


def test_an_unblocked_client_has_all_of_its_guesses(server: Instance) -> None:
    client = Client(server)
    client.guess(5)
    until(client.is_blocked)
    server.setup("block", "del", client.address)
    assert client.logs_in(A)
    assert not client.logs_in(A, "one more typing error")
    assert client.logs_in(A)
    assert not client.is_blocked()


def test_blocks_survive_a_restart_and_logins_go_on_without_the_listener(server: Instance) -> None:
    client, other = Client(server), Client(server)
    client.guess(5)
    until(client.is_blocked)
    assert server.up is not None
    os.kill(server.up.pid, signal.SIGSTOP)
    try:
        for _ in range(5):
            assert other.logs_in(A)
        assert not client.logs_in(A)
    finally:
        os.kill(server.up.pid, signal.SIGCONT)
    server.kill()
    assert other.logs_in(A)
    assert not client.logs_in(A)
    server.start()
    assert not client.logs_in(A)
    server.stop()
    server.start()
    assert not client.logs_in(A)
    assert other.logs_in(A)
    flood = [
        socket.create_connection(("127.0.0.1", server.ports["reports"]), 30) for _ in range(300)
    ]
    try:
        assert other.logs_in(A)
    finally:
        for each in flood:
            each.close()


@pytest.mark.parametrize("loss", ["removed", "damaged"])
def test_logins_go_on_with_a_lost_database_and_it_is_made_again(
    server: Instance, loss: str
) -> None:
    database = server.state / "sql" / "blocks.db"
    if loss == "removed":
        database.unlink()
    else:
        database.write_bytes(b"x" * 9000)
    other = Client(server)
    assert other.logs_in(A)
    client = Client(server)

    def is_made_again() -> bool:
        client.guess(5)
        return server.run("block", "list").returncode == 0 and client.is_blocked()

    until(is_made_again, 90)
    until(lambda: not client.logs_in(A), 60)
    assert other.logs_in(A)


def test_a_right_password_among_many_tries_at_once_does_not_count(server: Instance) -> None:
    slow = slow_hash()
    with server.file("postfix-accounts.cf").open("a") as file:
        file.write(f"{SLOW}|{slow}\n")
    other, client = Client(server), Client(server)
    until(lambda: other.logs_in(SLOW), 90)
    results: list[bool] = []
    late = threading.Thread(target=lambda: results.append(client.logs_in(SLOW)))
    late.start()
    time.sleep(0.3)
    client.guess(5)
    late.join()
    until(client.is_blocked)
    assert results == [False]


@pytest.mark.parametrize("account", [EXTRA, SPELT_EXTRA, BY_SERVICE])
def test_accounts_in_a_passwd_file_log_in_and_are_blocked(server: Instance, account: str) -> None:
    """Behind their passdbs the block is looked up again, so a login goes through more of them."""
    assert EXTRA in (server.state / "sql/exceptions").read_text()
    client = Client(server)
    assert client.logs_in(account)
    assert client.logs_in(account, service="pop3") == (account != BY_SERVICE)
    assert client.logs_in(f"{account}*admin", service="sieve")
    assert not client.logs_in(account, "wrong")
    assert not client.logs_in(f"{account}*admin", "wrong")
    app_password = server.setup("email", "app-password", "add", account, "phone").strip()
    assert client.logs_in(account, app_password, "pop3")
    client.guess(5, account)
    until(client.is_blocked)
    for password in (PASSWORD, app_password):
        assert not client.logs_in(account, password)
    assert not client.logs_in(f"{account}*admin")


def test_no_firewall_was_needed(server: Instance) -> None:
    assert server.up is not None
    status = Path(f"/proc/{server.up.pid}/status").read_text()
    (effective,) = re.findall(r"^CapEff:\s*([0-9a-f]+)$", status, re.M)
    assert not int(effective, 16) >> _CAP_NET_ADMIN & 1


def test_no_password_is_in_the_log_or_the_table(server: Instance) -> None:
    secret = "unlikely-wrong-password"
    Client(server).logs_in(A, secret)
    for path in (server.log, *Path(server.state, "sql").iterdir()):
        assert secret.encode() not in path.read_bytes()
