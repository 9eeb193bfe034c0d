"""SRS: forwarded mail leaves with a sender of this server, and its bounces return to the author."""

import os
import re
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, free_ports, until
from tests.support.sink import Taken

ALICE, BOB, FRIEND = "alice@own.example", "bob@own.example", "friend@elsewhere.example"
AUTHOR = "author@other.example"
FORWARD = """\
require "vacation";
if header :contains "subject" "by a script" { redirect "friend@elsewhere.example"; }
if header :contains "subject" "are you there" { vacation "I am on the moon."; }
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    forward, reverse = free_ports(2)
    instance = Instance(
        hostname="mail.own.example", enable_srs=True, srs_forward_port=forward,
        srs_reverse_port=reverse, srs_exclude_domains="partner.example",
    )  # fmt: skip
    try:
        instance.file("postfix-accounts.cf").write_text(f"{ALICE}|{HASH}\n{BOB}|{HASH}\n")
        instance.file("postfix-virtual.cf").write_text(f"out@own.example {FRIEND}\n")
        classes = "smtpd_restriction_classes = other\nother = reject\n"
        instance.file("postfix-main.cf").write_text(classes)
        instance.file(f"{BOB}.dovecot.sieve").write_text(FORWARD)
        instance.start()
        until(lambda: ", live" in instance.setup("sieve", "list"))
        yield instance
    finally:
        instance.close()


def forwarded(server: Instance, sender: str, subject: str, to: str = "out@own.example") -> Taken:
    """A message from outside that is forwarded, as it arrives there."""
    with server.smtp() as session:
        text = f"From: {sender}\r\nSubject: {subject}\r\n\r\nHello.\r\n"
        session.sendmail(sender, [to], text)
    return taken(server, subject)


def taken(server: Instance, subject: str) -> Taken:
    def matches() -> list[Taken]:
        return [one for one in list(server.sink.taken) if subject.encode() in one.content]

    until(lambda: bool(matches()))
    return matches()[0]


def test_a_sender_of_another_domain_is_rewritten_and_its_header_is_not(server: Instance) -> None:
    message = forwarded(server, AUTHOR, "by an alias")
    assert re.fullmatch(
        r"SRS0=[^=]{4}=[^=]+=other\.example=author@mail\.own\.example", message.sender
    )
    assert f"From: {AUTHOR}".encode() in message.content


def test_a_script_forwards_with_the_same_sender(server: Instance) -> None:
    message = forwarded(server, AUTHOR, "by a script", to=BOB)
    assert message.sender.startswith("SRS0=")


def test_a_reply_of_a_script_reaches_the_author(server: Instance) -> None:
    with server.smtp() as session:
        text = f"From: {AUTHOR}\r\nTo: {BOB}\r\nSubject: are you there\r\n\r\nHello.\r\n"
        session.sendmail(AUTHOR, [BOB], text)
    assert taken(server, "on the moon").recipients == (AUTHOR,)


def test_a_bounce_returns_to_the_author(server: Instance) -> None:
    sender = forwarded(server, AUTHOR, "to be bounced").sender
    with server.smtp() as session:
        session.sendmail("", [sender], "Subject: it bounced\r\n\r\nNo such user.\r\n")
    assert taken(server, "it bounced").recipients == (AUTHOR,)


def test_an_address_that_this_server_did_not_make_is_refused(server: Instance) -> None:
    sender = forwarded(server, AUTHOR, "to be forged").sender
    forged = sender.replace("author@", "victim@")
    assert server.rcpt(forged)[0] == 550
    assert server.rcpt("SRS0=aaaa=bb=other.example=victim@own.example")[0] == 550


def test_a_rewritten_address_is_no_relay(server: Instance) -> None:
    """Each forwarded message shows one to its recipient, and postsrsd tells one to every user of
    the machine. A bounce has no sender."""
    sender = forwarded(server, AUTHOR, "to be used as a relay").sender
    for author in (AUTHOR, ALICE, sender):
        assert server.rcpt(sender, author)[0] == 550
        assert server.rcpt(f'"{sender.replace("@", chr(34) + "@")}', author)[0] == 550
    assert server.rcpt(sender, "")[0] == 250
    with server.smtp("submission") as session:  # a user may send anywhere
        session.login(ALICE, PASSWORD)
        session.sendmail(ALICE, [sender], "Subject: of a user\r\n\r\nHello.\r\n")
    assert taken(server, "of a user").recipients == (AUTHOR,)


def test_own_senders_are_not_rewritten_not_even_of_a_new_domain(server: Instance) -> None:
    server.setup("email", "add", "eve@new.example", PASSWORD)
    for sender in (ALICE, "eve@new.example"):
        with server.smtp("submission") as session:
            session.login(sender, PASSWORD)
            session.sendmail(sender, [FRIEND], f"Subject: of {sender}\r\n\r\nHello.\r\n")
        assert taken(server, f"of {sender}").sender == sender
    excluded = forwarded(server, "ann@partner.example", "of a partner")
    assert excluded.sender == "ann@partner.example"


def test_mail_of_own_senders_does_not_wait_for_postsrsd_and_it_is_restarted(
    server: Instance,
) -> None:
    path = server.state / "locks/postsrsd.pid"
    pid = int(path.read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        with server.smtp("submission") as session:
            session.login(ALICE, PASSWORD)
            session.sendmail(ALICE, [BOB], "Subject: meanwhile\r\n\r\nHello.\r\n")
        server.arrives(BOB, "meanwhile")
    finally:
        os.kill(pid, signal.SIGKILL)
    until(lambda: path.exists() and path.read_text().strip() not in ("", str(pid)))

    def is_forwarded() -> bool:
        try:
            return forwarded(server, AUTHOR, "after a restart").sender.startswith("SRS0=")
        except OSError:  # smtplib's errors are some, too
            return False

    until(is_forwarded)


def test_the_secret_stays(server: Instance) -> None:
    secret = server.state / "srs-secret"
    before = secret.read_text()
    assert secret.stat().st_mode & 0o777 == 0o600
    sender = forwarded(server, AUTHOR, "before a restart").sender
    server.stop()
    server.start()
    assert secret.read_text() == before
    assert server.rcpt(sender, "")[0] == 250


@pytest.fixture(scope="module")
def other() -> Iterator[Instance]:
    """A server with the variables of docker-mailserver, whose domain of SRS has no account."""
    forward, reverse = free_ports(2)
    instance = Instance(
        hostname="mail.own.example", enable_srs=True, srs_forward_port=forward,
        srs_reverse_port=reverse, srs_domain="bounces.example", srs_secret="first-secret",
        srs_sender_classes="envelope_sender, header_sender",
    )  # fmt: skip
    try:
        instance.file("postfix-accounts.cf").write_text(f"{ALICE}|{HASH}\n")
        instance.file("postfix-virtual.cf").write_text(f"out@own.example {FRIEND}\n")
        instance.start()
        yield instance
    finally:
        instance.close()


def test_the_domain_and_the_classes_are_settings(other: Instance) -> None:
    message = forwarded(other, AUTHOR, "of another domain")
    assert re.fullmatch(r"SRS0=.+=other\.example=author@bounces\.example", message.sender)
    assert f"From: {message.sender}".encode() in message.content
    with other.smtp() as session:
        session.sendmail("", [message.sender], "Subject: back again\r\n\r\nNo such user.\r\n")
    assert taken(other, "back again").recipients == (AUTHOR,)
    for forged in (message.sender.replace("author@", "victim@"), "info@bounces.example"):
        assert other.rcpt(forged, "")[0] == 550


def test_the_domain_may_get_accounts(other: Instance) -> None:
    sender = forwarded(other, AUTHOR, "before the account").sender
    other.setup("email", "add", "bob@bounces.example", PASSWORD)
    until(lambda: other.rcpt("bob@bounces.example")[0] == 250)
    other.send("bob@bounces.example", subject="to the account")
    other.arrives("bob@bounces.example", "to the account")
    assert other.rcpt(sender, "")[0] == 250
    assert other.rcpt("nobody@bounces.example")[0] == 550


def test_secrets_are_replaced_and_the_old_one_still_verifies(other: Instance) -> None:
    sender = forwarded(other, AUTHOR, "by the first secret").sender
    toml = other.file("mailroster.toml")
    other.stop()
    toml.write_text(toml.read_text().replace('"first-secret"', '"second-secret,first-secret"'))
    other.start()
    assert (other.state / "srs-secret").read_text() == "second-secret\nfirst-secret\n"
    assert other.rcpt(sender, "")[0] == 250
    other.stop()
    toml.write_text(toml.read_text().replace('"second-secret,first-secret"', '"second-secret"'))
    other.start()
    assert other.rcpt(sender, "")[0] == 550
    shown = other.log.read_text() + (other.state / "in-force").read_text()
    assert "-secret" not in shown


def test_a_port_that_another_program_has_is_named() -> None:
    """As that of Debian's own postsrsd, which its package starts."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port, (reverse,) = other.getsockname()[1], free_ports(1)
        instance = Instance(enable_srs=True, srs_forward_port=port, srs_reverse_port=reverse)
        try:
            instance.file("postfix-accounts.cf").write_text(f"{ALICE}|{HASH}\n")
            with pytest.raises(AssertionError, match="up ended"):
                instance.start()
            log = instance.log.read_text()
            assert f"postsrsd does not start: port {port} is in use by " in log
            assert "set srs_forward_port" in log
        finally:
            instance.close()
