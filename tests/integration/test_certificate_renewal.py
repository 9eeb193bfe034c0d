"""A new certificate is in force on every port within seconds, and no session ends for it; files
that can't be used change nothing."""

import imaplib
import itertools
import os
import shutil
import smtplib
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, trusting, until
from tests.support.pki import Authority, Issued

HOST, A = "mail.example.test", "a@x.com"
#: With the load of the machine; the goal is 5 s.
IN_FORCE_S = 60
PORTS = ("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "sieve")
_numbers = itertools.count(1)


class Certbot:
    """A folder as certbot keeps it: links in live/HOST to numbered files in archive/HOST."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.live, self.archive = self.folder / "live" / HOST, self.folder / "archive" / HOST
        for folder in (self.live, self.archive):
            folder.mkdir(parents=True)
        self.authority = Authority(self.folder / "ca")

    def renew(self, issued: Issued) -> None:
        """New files, then links to them, one after the other."""
        number = next(_numbers)
        for name, text in (("fullchain", issued.chain), ("privkey", issued.key)):
            file = self.archive / f"{name}{number}.pem"
            file.write_text(text)
            file.chmod(0o600)
            link = self.live / f"{name}.pem"
            new = self.live / "new"
            new.symlink_to(os.path.relpath(file, self.live))
            new.rename(link)


@pytest.fixture(scope="module")
def certbot() -> Iterator[Certbot]:
    with tempfile.TemporaryDirectory(prefix="mr-le-", dir="/tmp") as folder:
        yield Certbot(Path(folder))


@pytest.fixture(scope="module")
def instance(certbot: Certbot) -> Iterator[Instance]:
    certbot.renew(certbot.authority.issue(HOST))
    made = Instance(
        tls_certificate=str(certbot.live / "fullchain.pem"),
        tls_key=str(certbot.live / "privkey.pem"),
    )
    made.file("postfix-accounts.cf").write_text(f"{A}|{HASH}\n")
    try:
        made.start()
        yield made
    finally:
        made.close()


def shown(instance: Instance, port: str) -> bytes:
    """The certificate that a client sees on a port."""
    number = instance.ports[port]
    if port in ("smtp", "submission"):
        with smtplib.SMTP("127.0.0.1", number, timeout=30) as smtp:
            smtp.starttls(context=trusting())
            assert isinstance(smtp.sock, ssl.SSLSocket)
            return smtp.sock.getpeercert(binary_form=True) or b""
    begin = {"imap": b"a STARTTLS\r\n", "pop3": b"STLS\r\n", "sieve": b"STARTTLS\r\n"}.get(port)
    with socket.create_connection(("127.0.0.1", number), timeout=30) as plain:
        if begin:
            read_greeting(plain, port)
            plain.sendall(begin)
            plain.recv(1000)
        with trusting().wrap_socket(plain) as session:
            return session.getpeercert(binary_form=True) or b""


def read_greeting(plain: socket.socket, port: str) -> None:
    raw = b""
    end = b'"\r\nOK ' if port == "sieve" else b"\r\n"
    while end not in raw or not raw.endswith(b"\r\n"):
        raw += plain.recv(1000)


def in_force(instance: Instance, issued: Issued) -> bool:
    return all(shown(instance, port) == issued.der() for port in PORTS)


def test_a_renewed_pair_is_in_force_on_every_port_and_sessions_go_on(
    instance: Instance, certbot: Certbot
) -> None:
    issued = certbot.authority.issue(HOST)
    with instance.imap(A) as imap, instance.smtp("submission") as smtp:
        imap.select("INBOX")
        smtp.login(A, PASSWORD)
        smtp.mail(A)
        code, _ = smtp.rcpt(A)
        assert code == 250
        with instance.smtp() as outside:  # in the middle of a message
            outside.ehlo("client.test")
            outside.mail("somebody@elsewhere.test")
            assert outside.rcpt(A)[0] == 250
            assert outside.docmd("DATA")[0] == 354
            outside.send(b"Subject: half\r\n\r\n")
            certbot.renew(issued)
            began = time.monotonic()
            until(lambda: is_in_force(instance, issued), IN_FORCE_S, instance.log.read_text)
            took_s = time.monotonic() - began
            assert imap.noop()[0] == "OK"
            assert smtp.data(b"Subject: while it was renewed\r\n\r\nbody\r\n")[0] == 250
            outside.send(b"the other half\r\n.\r\n")
            assert outside.getreply()[0] == 250
        time.sleep(10)  # Dovecot kills clients 6 s after a reload, if it kills them
        assert imap.noop()[0] == "OK"
        assert smtp.noop()[0] == 250
    print(f"in force after {took_s:.1f} s")
    until(lambda: "fullchain.pem is in force, valid until 20" in instance.log.read_text())
    instance.arrives(A, "while it was renewed")
    instance.arrives(A, "half")


def test_a_lock_ends_a_session_that_has_outlived_a_renewal(
    instance: Instance, certbot: Certbot
) -> None:
    instance.setup("email", "add", "locked@x.com", "--password-stdin", stdin=PASSWORD)
    issued = certbot.authority.issue(HOST)
    with pytest.raises(imaplib.IMAP4.abort), instance.imap("locked@x.com") as session:
        certbot.renew(issued)
        until(lambda: is_in_force(instance, issued), IN_FORCE_S)
        assert session.noop()[0] == "OK"
        instance.setup("email", "lock", "locked@x.com")
        deadline = time.monotonic() + IN_FORCE_S
        while time.monotonic() < deadline:
            session.noop()
            time.sleep(0.1)


@pytest.mark.parametrize("fault", ["another key", "cut off", "expired", "another name", "disorder"])
def test_a_pair_that_cannot_be_used_is_reported_and_the_old_one_stays(
    instance: Instance, certbot: Certbot, fault: str
) -> None:
    good = certbot.authority.issue(HOST)
    certbot.renew(good)
    until(lambda: is_in_force(instance, good), IN_FORCE_S)
    bad, message = certbot.authority.issue(HOST), ""
    if fault == "another key":
        bad.key, message = certbot.authority.issue(HOST).key, "does not belong to the certificate"
    elif fault == "cut off":
        bad.intermediate, message = bad.intermediate[:200], "is cut off in the middle"
    elif fault == "expired":
        bad, message = certbot.authority.issue(HOST, days=-1), "fullchain.pem expired on"
    elif fault == "another name":
        bad, message = certbot.authority.issue("other.test"), f"is not for {HOST}"
    else:
        bad.intermediate, message = certbot.authority.root, "is not followed by its chain"
    said = instance.log.stat().st_size

    def log() -> str:
        return instance.log.read_text()[said:]

    certbot.renew(bad)
    until(lambda: message in log(), IN_FORCE_S)
    assert "the previous certificate stays in use" in log()
    status = instance.run("status")
    assert status.returncode == 1
    assert message in status.stdout
    assert in_force(instance, good)
    # The next one that is good replaces it.
    good = certbot.authority.issue(HOST)
    certbot.renew(good)
    until(lambda: is_in_force(instance, good), IN_FORCE_S)
    status = instance.run("status")
    assert status.returncode == 0, status.stdout
    assert "fullchain.pem, valid until 20" in status.stdout


def test_a_start_with_files_that_cannot_be_used_keeps_the_last_good_pair(
    instance: Instance, certbot: Certbot
) -> None:
    good = certbot.authority.issue(HOST)
    certbot.renew(good)
    until(lambda: is_in_force(instance, good), IN_FORCE_S)
    instance.stop()
    shutil.rmtree(certbot.live)
    instance.start()
    assert in_force(instance, good)
    assert f"warning: there is no TLS file {certbot.live}/fullchain.pem" in instance.log.read_text()
    certbot.live.mkdir()
    again = certbot.authority.issue(HOST)
    certbot.renew(again)
    until(lambda: is_in_force(instance, again), IN_FORCE_S)


def test_a_renewal_while_up_is_killed_is_in_force_after_the_next_start(
    instance: Instance, certbot: Certbot
) -> None:
    instance.kill()
    issued = certbot.authority.issue(HOST)
    certbot.renew(issued)
    instance.start()
    until(lambda: is_in_force(instance, issued), IN_FORCE_S, instance.log.read_text)


def test_a_copy_that_was_written_before_up_was_killed_is_loaded_by_the_next_one(
    instance: Instance, certbot: Certbot
) -> None:
    instance.kill()
    issued = certbot.authority.issue(HOST)
    certbot.renew(issued)
    active = instance.state / "tls/active.pem"
    first_line = active.read_text().split("\n")[0]
    active.write_text(f"{first_line}\n{issued.key}{issued.chain}")
    instance.start()
    until(lambda: is_in_force(instance, issued), IN_FORCE_S, instance.log.read_text)


def test_files_that_are_written_slowly_are_used_when_they_are_complete(
    instance: Instance, certbot: Certbot
) -> None:
    """In place, as a copy over a slow network does."""
    issued = certbot.authority.issue(HOST)
    said = instance.log.stat().st_size
    chain, key = (
        os.path.realpath(certbot.live / f"{name}.pem") for name in ("fullchain", "privkey")
    )
    with open(chain, "w", encoding="ascii") as file:
        for line in issued.chain.splitlines(keepends=True):
            file.write(line)
            file.flush()
            time.sleep(0.05)
    Path(key).write_text(issued.key)
    until(lambda: is_in_force(instance, issued), IN_FORCE_S)
    assert "stays in use" not in instance.log.read_text()[said:]


def test_nobody_else_can_read_the_copy(instance: Instance) -> None:
    for name in ("active.pem", "loaded"):
        status = (instance.state / "tls" / name).stat()
        assert (status.st_uid, status.st_mode & 0o777) == (0, 0o600)


def test_a_login_during_a_renewal_succeeds_at_the_second_try_at_the_latest(
    instance: Instance, certbot: Certbot
) -> None:
    """A reload of Dovecot may break off a login that is in progress; clients try again. Deliveries
    never fail."""
    failures, count, failed_before = list[str](), 0, False
    for _ in range(3):
        issued = certbot.authority.issue(HOST)
        certbot.renew(issued)
        deadline = time.monotonic() + IN_FORCE_S
        while not is_in_force(instance, issued) and time.monotonic() < deadline:
            count += 1
            try:
                log_in(instance)
                failed_before = False
            except (OSError, imaplib.IMAP4.error) as error:
                failures.append(repr(error))
                assert not failed_before, failures
                failed_before = True
            instance.send(A, subject="during a renewal")
    assert len(failures) < count / 4


def log_in(instance: Instance) -> None:
    port = instance.ports["imaps"]
    with imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=trusting(), timeout=30) as session:
        session.login(A, PASSWORD)


def is_in_force(instance: Instance, issued: Issued) -> bool:
    """As in_force; a connection that is broken off counts as not yet."""
    try:
        return in_force(instance, issued)
    except OSError:
        return False
