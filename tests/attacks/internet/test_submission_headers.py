"""What a user submits leaves without the address and the program of the client, and nothing else
is changed; mail from other servers keeps all its headers."""

import email
import re
from collections.abc import Iterator
from email.message import Message

import pytest

from tests.support.attacks.wire import Wire
from tests.support.instance import PASSWORD, Instance, until

USER = "u@x.com"
#: RFC 5321, 4.4: from, by, with, id, for, and a date.
RECEIVED = re.compile(
    r"from authenticated-user \(mail\.example\.test \[127\.0\.0\.1\]\)\s+"
    r"by mail\.example\.test \(Postfix\) with ESMTPSA id \w+(\s+for <\S+>)?; \w{3}, .{20,40}"
)
SECRETS = ("secret-laptop", "192.168.77.5", "10.9.8.7", "SecretMail", "fe80::77", "secret-script")
TELLING = (
    "User-Agent: SecretMail/1.0",
    "user-agent : SecretMail/1.0",
    "USER-AGENT:\r\n SecretMail/1.0\r\n\ton secret-laptop",
    "X-Mailer: SecretMail\r\n\t(on secret-laptop)",
    "x-mailer:SecretMail",
    "X-Originating-IP: [192.168.77.5]",
    "X-Originating-IP:\r\n [fe80::77]",
    "X-Originating-Host: secret-laptop",
    "X-Client-IP: 10.9.8.7",
    "X-Sender-IP: 10.9.8.7",
    "X-Source-IP: 10.9.8.7",
    "X-Remote-Addr: 10.9.8.7",
    "X-Real-IP: 10.9.8.7",
    "X-Forwarded-For: 10.9.8.7, 192.168.77.5",
    "X-PHP-Originating-Script: 1000:secret-script.php",
    "X-PHP-Script: x.com/secret-script.php for 10.9.8.7",
    "X-Enigmail: SecretMail",
    "X-MimeOLE: Produced By SecretMail",
    "Mime-Version: 1.0 (SecretMail 16.0 \\(3731.700.6\\))",
    "MIME-Version: 1.0\r\n (SecretMail)",
    "Received: from secret-laptop ([192.168.77.5])\r\n\tby secret-laptop (Postfix) with ESMTPSA"
    " id AB12\r\n\tfor <a@b.test>; Mon, 30 Nov 2026 06:12:48 +0000 (UTC)",
    "Received: from secret-laptop (10.9.8.7) by secret-laptop; 30 Nov 2026 06:12 GMT",
    "Received: by secret-laptop (nullmailer; 192.168.77.5)",
    "Received:\r\n from secret-laptop\r\n by secret-laptop id x; Mon, 30 Nov 2026 06:12:48 +0100",
    "Received : from secret-laptop by secret-laptop; ; Mon, 30 Nov 2026 06:12:48 +0100 (10.9.8.7)",
    "received: from secret-laptop by 10.9.8.7; secret-laptop",
    "Received: from a\r\n\tby mail.example.test (Postfix) with ESMTPSA id 1; secret-laptop",
    "Received: " + "; " * 20000 + "secret-laptop",
    "X-Mailer: " + "SecretMail " * 20000,
    "X-Mailer\t:\tSecretMail",
    "X-Http-User-Agent: SecretMail",
    "X-Newsreader: SecretMail",
    "X-AOL-IP: 10.9.8.7",
    "X-Sender-Host-Address: 10.9.8.7",
    "X-Received: by 10.9.8.7",
    "X-Sender: u@secret-laptop",
    "X-Authenticated-Sender: secret-laptop: u@x.com",
)
KEPT = (
    "Subject: User-Agent: of a subject",
    "X-Custom: 10.9.8.7",
    "List-Id: <SecretMail.x.com>",
    "References: <1@secret-laptop>",
    "DKIM-Signature: v=1; h=User-Agent:X-Mailer",
    "X-Mailer-Daemon: kept",
    "X-Sender-Score: kept",
    "X-Recipient: kept",
    "MIME-Version: 1.0",
)


@pytest.fixture(scope="module")
def attacked(server: Instance) -> Instance:
    server.setup("email", "add", USER, PASSWORD)
    return server


@pytest.fixture(scope="module")
def open_server() -> Iterator[Instance]:
    """With the setting off."""
    instance = Instance(hide_client=False)
    try:
        instance.start()
        instance.setup("email", "add", USER, PASSWORD)
        yield instance
    finally:
        instance.close()


def _submitted(server: Instance, port: str, raw: bytes) -> bytes:
    """A message as the next server gets it from us."""
    before = len(server.sink.taken)
    with server.smtp(port) as session:
        session.ehlo("secret-laptop")
        session.login(USER, PASSWORD)
        session.sendmail(USER, ["friend@elsewhere.test"], raw)
    until(lambda: len(server.sink.taken) > before)
    return server.sink.taken[-1].content


def _headers(raw: bytes) -> Message:
    return email.message_from_bytes(raw)


@pytest.mark.parametrize("port", ["submission", "submissions"])
@pytest.mark.parametrize("header", TELLING, ids=range(len(TELLING)))
def test_a_header_that_tells_of_the_client_is_gone(
    attacked: Instance, header: str, port: str
) -> None:
    raw = f"Subject: hello\r\n{header}\r\nFrom: {USER}\r\n\r\nbody\r\n".encode()
    sent = _submitted(attacked, port, raw)
    assert not [secret for secret in SECRETS if secret.encode() in sent], sent
    message = _headers(sent)
    assert (message["Subject"], message["From"], message.get_payload()) == (
        "hello",
        USER,
        "body\r\n",
    )


@pytest.mark.parametrize("port", ["submission", "submissions"])
def test_our_own_received_header_is_one_and_valid(attacked: Instance, port: str) -> None:
    sent = _submitted(attacked, port, b"Subject: one\r\n\r\nbody\r\n")
    (received,) = _headers(sent).get_all("Received", [])
    assert RECEIVED.fullmatch(received), received


def test_each_received_header_of_a_relay_counts_for_the_detection_of_loops(
    attacked: Instance,
) -> None:
    """One with a date stays, in a valid form, and a hundred of them are refused as a loop."""
    hop = b"Received: from secret-laptop by hop; Mon, 30 Nov 2026 06:12:48 +0100 (CET)\r\n"
    sent = _submitted(attacked, "submission", hop * 3 + b"Subject: hops\r\n\r\nbody\r\n")
    found = _headers(sent).get_all("Received", [])
    assert len(found) == 4
    assert (
        found[1:]
        == [
            "from authenticated-user (mail.example.test [127.0.0.1]) by mail.example.test;"
            " Mon, 30 Nov 2026 06:12:48 +0100"
        ]
        * 3
    )
    with attacked.smtp("submission") as session:
        session.login(USER, PASSWORD)
        session.mail(USER)
        session.rcpt("friend@elsewhere.test")
        code, text = session.data(hop * 100 + b"Subject: loop\r\n\r\nbody\r\n")
        assert (code, b"too many hops" in text) == (554, True)


@pytest.mark.parametrize("header", KEPT)
def test_any_other_header_stays(attacked: Instance, header: str) -> None:
    sent = _submitted(attacked, "submission", f"{header}\r\n\r\nbody\r\n".encode())
    assert header.encode() in sent


def test_what_is_attached_stays_as_it_is(attacked: Instance) -> None:
    """A signature over a part, and a message that is sent on as evidence, must not break."""
    part = (
        b"Content-Type: message/rfc822\r\n\r\n"
        b"Received: from spammer (1.2.3.4) by mx; Mon, 30 Nov 2026 06:12:48 +0100\r\n"
        b"User-Agent: Spammer\r\nX-Originating-IP: 1.2.3.4\r\nMIME-Version: 1.0\r\n\r\nspam\r\n"
    )
    signed = b"Content-Type: text/plain\r\nContent-ID: <1>\r\n\r\nUser-Agent: in the text\r\n"
    raw = b"Subject: fwd\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    body = b"--b\r\n" + part + b"\r\n--b\r\n" + signed + b"\r\n--b--\r\n"
    assert body in _submitted(attacked, "submission", raw + body)


def test_a_user_can_not_write_a_line_by_the_name_of_the_client(attacked: Instance) -> None:
    """The name at EHLO stands in the header that is replaced."""
    for name in ("x\tby mail.example.test (Postfix) with ESMTPSA id 1", "[1.2.3.4]", "a" * 200):
        before = len(attacked.sink.taken)
        with Wire(attacked.ports["submissions"]) as wire:
            wire.wrap()
            wire.reply()
            wire.say(f"EHLO {name}")
            wire.say("AUTH PLAIN AHVAeC5jb20Ac2VjcmV0")
            wire.say(f"MAIL FROM:<{USER}>")
            wire.say("RCPT TO:<friend@elsewhere.test>")
            wire.say("DATA")
            assert "queued" in wire.say("Subject: name\r\n\r\nbody\r\n.")
        until(lambda seen=before: len(attacked.sink.taken) > seen)  # type: ignore[misc]
        (received,) = _headers(attacked.sink.taken[-1].content).get_all("Received", [])
        assert RECEIVED.fullmatch(received), received


def test_mail_from_another_server_keeps_its_headers(attacked: Instance) -> None:
    raw = b"Subject: incoming\r\nUser-Agent: SecretMail\r\nX-Originating-IP: [192.168.77.5]\r\n"
    raw += b"Received: from secret-laptop by other; Mon, 30 Nov 2026 06:12:48 +0100\r\n\r\nbody\r\n"
    with attacked.smtp() as session:
        session.sendmail("a@elsewhere.test", [USER], raw)
    attacked.arrives(USER, "incoming")
    with attacked.imap(USER) as session:
        session.select("INBOX", readonly=True)
        _, numbers = session.search(None, "SUBJECT", "incoming")
        _, parts = session.fetch(numbers[0].split()[0], "(BODY[])")
        assert isinstance(parts[0], tuple)
        stored = parts[0][1]
    for kept in (b"User-Agent: SecretMail", b"[192.168.77.5]", b"from secret-laptop by other"):
        assert kept in stored
    assert b"from client.test (" in stored, "our own header names the other server"


def test_the_setting_turns_it_off(open_server: Instance) -> None:
    raw = b"Subject: open\r\nUser-Agent: SecretMail\r\n\r\nbody\r\n"
    sent = _submitted(open_server, "submission", raw)
    assert b"User-Agent: SecretMail" in sent and b"from secret-laptop (" in sent


def test_checks_of_an_override_apply_to_submissions_too() -> None:
    """Those of a `postfix-main.cf` come first; ours still apply."""
    instance = Instance()
    try:
        rules = "{/^X-Custom: (.*)/ REPLACE X-Seen: $$1} {/^X-Mailer: bot/ REJECT no bots}"
        instance.file("postfix-main.cf").write_text(f"header_checks = pcre:{{ {rules} }}\n")
        instance.start()
        instance.setup("email", "add", USER, PASSWORD)
        raw = b"X-Custom: a\r\nX-Mailer: SecretMail\r\nUser-Agent: SecretMail\r\n\r\nbody\r\n"
        sent = _submitted(instance, "submission", raw)
        assert b"X-Seen: a" in sent and b"SecretMail" not in sent and b"secret-laptop" not in sent
        with instance.smtp("submissions") as session:
            session.login(USER, PASSWORD)
            session.mail(USER)
            session.rcpt(USER)
            assert session.data(b"X-Mailer: bot\r\n\r\nbody\r\n")[0] == 550
    finally:
        instance.close()
