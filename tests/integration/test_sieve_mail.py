"""What Sieve scripts send leaves through this instance: by its relays, to its mailboxes, and never
lost. Without spoof protection; test_sieve_mail_own.py is with it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.instance import HASH, Instance, until
from tests.support.sieve_mail import OUTSIDE, sent
from tests.support.sink import Sink

ACTIONS = """\
require ["vacation", "enotify", "reject", "copy"];
if header :contains "subject" "forward-out" { redirect "friend@elsewhere.example"; }
if header :contains "subject" "forward-in" { redirect "bob@own.example"; }
if header :contains "subject" "keep-copy" { redirect :copy "friend@elsewhere.example"; }
if header :contains "subject" "away" { vacation :from "alice@own.example" "I am away."; }
if header :contains "subject" "refused" { reject "I do not want it."; }
if header :contains "subject" "told" {
  notify :message "you have mail" "mailto:friend@elsewhere.example";
}
if header :contains "subject" "nobody" { redirect "nobody@own.example"; }
"""


@pytest.fixture(scope="module")
def relay() -> Iterator[Sink]:
    """The relay of one sender domain."""
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture(scope="module", autouse=True)
def scripts(server: Instance, relay: Sink) -> None:
    names = ("alice@own.example", "bob@own.example", "rita@relayed.example")
    server.file("postfix-accounts.cf").write_text("".join(f"{name}|{HASH}\n" for name in names))
    for name in names:
        text = ACTIONS.replace("alice@own.example", name)
        server.file(f"{name}.dovecot.sieve").write_text(text)
    server.setup("relay", "add-domain", "relayed.example", "127.0.0.1", str(relay.port))
    server.setup("apply")
    until(lambda: server.setup("sieve", "list").count(", live") == len(names))


def test_each_action_leaves_by_the_relay_for_all(server: Instance) -> None:
    for action in ("forward-out", "keep-copy", "away", "refused", "told"):
        server.send("alice@own.example", subject=f"{action} 1")
    sender = "somebody@elsewhere.test"
    until(lambda: bool(sent(server.sink, OUTSIDE, "forward-out 1")))
    until(lambda: bool(sent(server.sink, OUTSIDE, "keep-copy 1")))
    until(lambda: bool(sent(server.sink, sender, "I am away.")))
    until(lambda: bool(sent(server.sink, sender, "I do not want it.")))
    until(lambda: bool(sent(server.sink, OUTSIDE, "Auto-Submitted: auto-notified")))
    server.arrives("alice@own.example", "told 1")
    server.arrives("alice@own.example", "away 1")
    kept = server.subjects("alice@own.example")
    assert sorted(kept) == ["away 1", "keep-copy 1", "told 1"]
    assert sent(server.sink, OUTSIDE, "X-Sieve-Redirected-From: alice@own.example")


def test_it_reaches_an_own_mailbox(server: Instance) -> None:
    server.send("alice@own.example", subject="forward-in 1")
    server.arrives("bob@own.example", "forward-in 1")
    assert "forward-in 1" not in server.subjects("alice@own.example")


def test_the_relay_of_a_sender_domain_takes_what_its_account_sends(
    server: Instance, relay: Sink
) -> None:
    """By the envelope sender; a notice has none, and leaves by the relay for all."""
    with server.smtp() as session:
        mail = "Subject: forward-out by its relay\r\n\r\nhello\r\n"
        session.sendmail("anna@relayed.example", ["rita@relayed.example"], mail)
    until(lambda: bool(sent(relay, OUTSIDE, "by its relay")))
    assert not sent(server.sink, OUTSIDE, "by its relay")


def test_what_postfix_refuses_stays_in_the_mailbox_and_is_logged(server: Instance) -> None:
    server.send("alice@own.example", subject="nobody 1")
    server.arrives("alice@own.example", "nobody 1")
    log = (server.home / "mail-logs/dovecot.log").read_text()
    assert "not sent for alice@own.example: 550 5.1.1 <nobody@own.example>" in log


def test_a_circle_of_forwards_ends_in_a_mailbox(server: Instance) -> None:
    for name, other in (("x", "y"), ("y", "x")):
        server.setup("email", "add", f"{name}@circle.example", "--hash", HASH)
        script = server.file(f"{name}@circle.example.dovecot.sieve")
        script.write_text(f'redirect "{other}@circle.example";\n')
    until(lambda: server.setup("sieve", "list").count("@circle.example, live") == 2)
    server.send("x@circle.example", subject="round")

    def ends() -> bool:
        names = ("x@circle.example", "y@circle.example")
        return any("round" in server.subjects(name) for name in names)

    until(ends)


def test_who_is_away_answers_a_sender_once(server: Instance) -> None:
    server.setup("email", "add", "carla@own.example", "--hash", HASH)
    script = server.file("carla@own.example.dovecot.sieve")
    script.write_text('require "vacation"; vacation "Carla is away.";\n')
    until(lambda: "carla@own.example, live" in server.setup("sieve", "list"))
    for number in (1, 2):
        server.send("carla@own.example", subject=f"hello {number}")
        server.arrives("carla@own.example", f"hello {number}")
    until(lambda: bool(sent(server.sink, "somebody@elsewhere.test", "Carla is away.")))
    (answer,) = sent(server.sink, "somebody@elsewhere.test", "Carla is away.")
    log = (server.home / "mail-logs/mail.log").read_text()
    assert "from=<>" in log
    assert b"From: <carla@own.example>" in answer.content or b"carla@own.example" in answer.content


TRY = """\
import os, socket, sys
path, uid = sys.argv[1], int(sys.argv[2])
os.setgroups([]); os.setgid(uid); os.setuid(uid)
try:
    socket.socket(socket.AF_UNIX).connect(path)
except OSError as error:
    print(error.errno)
"""


def test_no_other_user_reaches_it_and_it_has_no_port(server: Instance) -> None:
    path = str(server.state / "sieve-mail/smtpd.socket")

    def tried(uid: int) -> str:
        argv = [sys.executable, "-c", TRY, path, str(uid)]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    assert tried(5000) == ""
    for uid in (65534, 4999):
        assert tried(uid) == "13"
    # Who reaches it, and names no account, can send nothing.
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(path)
        plain.sendall(b"own\n")  # what the program that connects says first
        said = plain.makefile("rb")
        said.readline()
        for command in ("HELO x", "MAIL FROM:<a@b.example>", "RCPT TO:<bob@own.example>"):
            plain.sendall(f"{command}\r\n".encode())
            answer = said.readline()
        assert answer.startswith(b"554 5.7.1")
    assert os.stat(path).st_uid == 0


def test_without_its_socket_a_message_waits_and_the_socket_is_made_again(server: Instance) -> None:
    (server.state / "sieve-mail/smtpd.socket").unlink()
    server.send("alice@own.example", subject="forward-out waiting")

    def leaves() -> bool:
        argv = ["postqueue", "-c", str(server.state / "postfix"), "-f"]
        subprocess.run(argv, check=True)
        return bool(sent(server.sink, OUTSIDE, "forward-out waiting"))

    until(leaves, 60)
    assert (server.state / "sieve-mail/smtpd.socket").exists()
    assert "forward-out waiting" not in server.subjects("alice@own.example")


def test_many_at_once_all_leave(server: Instance) -> None:
    with server.smtp() as session:
        for number in range(40):
            text = f"Subject: forward-out many {number:02}\r\n\r\nhello\r\n"
            session.sendmail("somebody@elsewhere.test", ["alice@own.example"], text)
    until(lambda: len(sent(server.sink, OUTSIDE, "forward-out many")) == 40, 60)
    lines = b".\r\n..\r\n.x\r\n" + "Grüße\r\n".encode()
    with server.smtp() as session:
        body = b"Subject: forward-out dots\r\n\r\n" + lines
        session.sendmail("somebody@elsewhere.test", ["alice@own.example"], body)
    until(lambda: bool(sent(server.sink, OUTSIDE, "forward-out dots")))
    (taken,) = sent(server.sink, OUTSIDE, "forward-out dots")
    assert taken.content.endswith(b"\r\n\r\n..\r\n...\r\n..x\r\n" + "Grüße\r\n".encode())
