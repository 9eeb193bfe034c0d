"""Signatures, app passwords, blocks, SRS and certificates in the image: with a read-only root and
the capabilities of the manifests, which have no NET_ADMIN; and in a user namespace, as a rootless
engine makes it, in which root has no right on this machine."""

import os
import re
import smtplib
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import kubernetes
from tests.support.container import HOSTNAME, Container, Mount, container, runtime
from tests.support.dns import Dns
from tests.support.instance import PASSWORD, until
from tests.support.pki import Authority, Issued
from tests.support.signed import FRIEND, signers
from tests.support.sink import Sink, Taken

JOHN, JANE = "john@example.com", "jane@example.com"
#: capabilities(7), linux/capability.h
_CAP_NET_ADMIN = 12
#: The uid of root in a user namespace.
_ROOT = 100_000


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """The servers elsewhere."""
    made = Sink()
    yield made
    made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def certbot(folder: Path, number: int, issued: Issued) -> None:
    """Writes a certificate as certbot does: files in archive/, and links that lead to them."""
    live, archive = (folder / part / HOSTNAME for part in ("live", "archive"))
    for name, text in (("fullchain", issued.chain), ("privkey", issued.key)):
        archive.mkdir(parents=True, exist_ok=True)
        live.mkdir(parents=True, exist_ok=True)
        (archive / f"{name}{number}.pem").write_text(text)
        (live / "new").symlink_to(f"../../archive/{HOSTNAME}/{name}{number}.pem")
        (live / "new").rename(live / f"{name}.pem")


@pytest.fixture(scope="module", params=["few capabilities", "user namespace"])
def made(request: pytest.FixtureRequest, sink: Sink, authority: Authority) -> Iterator[Container]:
    limits = kubernetes.limits(kubernetes.render(kubernetes.KUBERNETES / "base"))
    if request.param == "user namespace":
        if not runtime():
            pytest.skip("podman can't run a container on this machine")
        limits = [f"--{kind}map=0:{_ROOT}:65536" for kind in ("uid", "gid")]
    sink.taken.clear()
    found = container(limits=limits)
    try:
        found.environment |= {
            "DEFAULT_RELAY_HOST": f"[{found.this_machine}]:{sink.port}",
            "ENABLE_FAIL2BAN": "1",
            # Clients of a published port have a private address.
            "NEVER_BLOCKED": "none",
            "ENABLE_SRS": "1",
            "SSL_TYPE": "letsencrypt",
        }
        (found.config / "postfix-virtual.cf").write_text(f"out@example.com {FRIEND}\n")
        certificates = found.folder / "letsencrypt"
        certbot(certificates, 1, authority.issue(HOSTNAME))
        letsencrypt = Mount(certificates, "/etc/letsencrypt", True)
        found.mounts = [Mount(None, "/tmp"), *found.mounts, letsencrypt]
        if request.param == "user namespace":
            for path in (found.folder, *found.folder.rglob("*")):
                os.chown(path, _ROOT, _ROOT, follow_symlinks=False)
        found.start()
        for name in (JOHN, JANE):
            found.bash(f"setup email add {name} {PASSWORD}")
        yield found
    finally:
        found.close()


def submit(made: Container, password: str, subject: str, kind: str = "submission") -> None:
    with made.smtp(kind) as session:
        session.login(JOHN, password)
        text = f"From: {JOHN}\r\nSubject: {subject}\r\n\r\nHello.\r\n"
        session.sendmail(JOHN, [FRIEND], text)


def taken(made: Container, sink: Sink, subject: str) -> Taken:
    """The message with a subject, once it is elsewhere."""

    def matches() -> list[Taken]:
        return [one for one in list(sink.taken) if f"Subject: {subject}\r".encode() in one.content]

    until(lambda: bool(matches()), 60, made.logs)
    return matches()[0]


def test_a_submission_is_signed_with_a_key_that_a_command_made(
    made: Container, sink: Sink, dns: Dns
) -> None:
    submit(made, PASSWORD, "before there is a key")
    dns.publish(made.bash("setup config dkim"))
    numbers = iter(range(100))

    def is_signed() -> bool:
        subject = f"with a key {next(numbers)}"
        submit(made, PASSWORD, subject)
        return signers(taken(made, sink, subject), dns) == ["mail.example.com"]

    until(is_signed, 60, made.logs)
    assert signers(taken(made, sink, "before there is a key"), dns) == []
    key = made.config / "opendkim/keys/example.com/mail.private"
    assert key.stat().st_mode & 0o777 == 0o600


def test_an_app_password_opens_its_protocol_and_its_last_use_is_listed(
    made: Container, sink: Sink
) -> None:
    word = made.bash(f"setup email app-password add {JOHN} printer --for smtp").strip()
    assert not made.can_log_in(JOHN, word)
    submit(made, word, "of the printer", "submissions")
    taken(made, sink, "of the printer")
    listed = f"setup email app-password list {JOHN}"
    until(lambda: "by smtp from" in made.bash(listed), 30, made.logs)


def test_forwarded_mail_has_a_sender_of_this_server(made: Container, sink: Sink) -> None:
    with made.smtp() as session:
        text = "From: author@other.example\r\nSubject: to forward\r\n\r\nHello.\r\n"
        session.sendmail("author@other.example", ["out@example.com"], text)
    sender = taken(made, sink, "to forward").sender
    assert re.fullmatch(rf"SRS0=.+=other\.example=author@{re.escape(HOSTNAME)}", sender)


def test_a_renewed_certificate_is_in_force_without_a_restart(
    made: Container, authority: Authority
) -> None:
    pid = made.pid("up")
    renewed = authority.issue(HOSTNAME)
    certbot(made.folder / "letsencrypt", 2, renewed)
    until(lambda: shown(made) == renewed.der(), 60, made.logs)
    assert made.pid("up") == pid
    assert "cert.pem" not in made.bash("setup status | grep certificate")


def shown(made: Container) -> bytes | None:
    """The certificate of the port for submission, in DER."""
    with made.smtp("submissions") as session:
        assert isinstance(session.sock, ssl.SSLSocket)
        return session.sock.getpeercert(True)


def test_a_client_that_guesses_is_blocked_without_a_firewall(made: Container) -> None:
    bounds = made.bash("grep CapBnd /proc/1/status").split()[1]
    assert not int(bounds, 16) >> _CAP_NET_ADMIN & 1
    with ThreadPoolExecutor(8) as guesses:  # Dovecot delays each one more than the one before
        words = [f"wrong {number}" for number in range(8)]
        assert not any(guesses.map(lambda word: made.can_log_in(JANE, word), words))
    until(lambda: not made.can_log_in(JANE), 30, made.logs)
    with made.smtp("submission") as session, pytest.raises(smtplib.SMTPAuthenticationError):
        session.login(JOHN, PASSWORD)
    (client,) = re.findall(r"^\* (\S+)$", made.bash("setup block list"), re.M)
    made.bash(f"setup block del {client}")
    assert made.can_log_in(JANE)
