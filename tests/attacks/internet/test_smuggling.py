"""Only CRLF.CRLF ends a message, and only a client that waits for answers is served, so that no
message can hide another."""

import smtplib

import pytest

from tests.support.attacks.smuggling import ENDS, ENVELOPE, VICTIM, WAYS, hidden, message, queued
from tests.support.attacks.wire import Wire
from tests.support.instance import PASSWORD, Instance, until


@pytest.fixture(scope="module")
def attacked(server: Instance) -> Instance:
    server.setup("email", "add", VICTIM, PASSWORD)
    return server


@pytest.mark.parametrize("way", WAYS)
def test_a_hidden_message_is_never_delivered(attacked: Instance, way: str) -> None:
    _, allowed = WAYS[way]
    accepted = queued(attacked.ports["smtp"], way)
    assert {name: count for name, count in accepted.items() if count > allowed} == {}
    if allowed:
        assert set(accepted.values()) == {1}, "an honest message with such a line is delivered"
    attacked.send(VICTIM, subject=f"last {way}")
    attacked.arrives(VICTIM, f"last {way}")
    until(lambda: _mail_is_delivered(attacked))
    subjects = [s for s in attacked.subjects(VICTIM) if way in s]
    assert not [s for s in subjects if s.startswith("forged")]
    assert len([s for s in subjects if s.startswith("outer")]) == sum(accepted.values())


def _mail_is_delivered(attacked: Instance) -> bool:
    spool = attacked.state / "spool"
    return not any(
        p for name in ("incoming", "active") for p in (spool / name).rglob("*") if p.is_file()
    )


def test_a_chunk_ends_where_its_size_says(attacked: Instance) -> None:
    """BDAT (RFC 3030) knows no dot; what is behind the chunk are commands, and here none."""
    for number, end in enumerate(ENDS.values()):
        content = hidden(f"chunk {number}", end)
        with Wire(attacked.ports["smtp"]) as wire:
            wire.reply()
            wire.say("EHLO c.test")
            wire.say("MAIL FROM:<a@elsewhere.test>")
            wire.say(f"RCPT TO:<{VICTIM}>")
            wire.send(b"BDAT %d LAST\r\n" % len(content) + content)
            assert wire.reply()[0] in "245"
            assert wire.say("QUIT")[:3] in ("221", "")
    attacked.send(VICTIM, subject="last chunk")
    attacked.arrives(VICTIM, "last chunk")
    assert not [s for s in attacked.subjects(VICTIM) if s.startswith("forged chunk")]


@pytest.mark.parametrize("port", ["submission", "submissions"])
def test_a_user_hides_no_message_either(attacked: Instance, port: str) -> None:
    """With a login, to elsewhere: the next server gets one message, with no odd line in it."""
    before = len(attacked.sink.taken)
    for number, end in enumerate(ENDS.values()):
        with attacked.smtp(port) as session:
            session.login(VICTIM, PASSWORD)
            session.mail(VICTIM)
            session.rcpt("friend@elsewhere.test")
            session.docmd("DATA")
            session.send(message(f"outer {port} {number}") + end + b"tail\r\n.\r\n")
            assert session.getreply()[0] == 250
    until(lambda: len(attacked.sink.taken) == before + len(ENDS), 60)
    for taken in attacked.sink.taken[before:]:
        assert b"tail" in taken.content
        text = taken.content.replace(b"\r\n", b"")
        assert b"\r" not in text and b"\n" not in text


@pytest.mark.parametrize("port", ["smtp", "submission"])
def test_what_is_sent_before_the_handshake_is_not_a_command_behind_it(
    attacked: Instance, port: str
) -> None:
    """STARTTLS and a command in one packet: the command must not count inside TLS."""
    with Wire(attacked.ports[port]) as wire:
        wire.reply()
        wire.say("EHLO c.test")
        wire.send(b"STARTTLS\r\nMAIL FROM:<injected@elsewhere.test>\r\n")
        answer = wire.reply()
        if answer.startswith("220"):
            wire.wrap()
            wire.say("EHLO c.test")
            assert wire.say(f"RCPT TO:<{VICTIM}>").startswith("503")
        else:
            assert answer.startswith("554")


def test_an_honest_client_may_pipeline(attacked: Instance) -> None:
    """As smtplib and others do it: several messages in a session, envelopes in one packet."""
    with Wire(attacked.ports["smtp"]) as wire:
        wire.reply()
        wire.say("EHLO c.test")
        for number in range(2):
            wire.send(ENVELOPE % (b"a@elsewhere.test", VICTIM.encode()))
            assert [wire.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
            wire.send(message(f"honest {number}") + b"\r\n.\r\n")
            assert "queued as" in wire.reply()
        assert wire.say("QUIT").startswith("221")
    attacked.arrives(VICTIM, "honest 1")


def test_bare_line_feeds_in_a_message_are_repaired(attacked: Instance) -> None:
    """A message from an old program arrives as long as its end is a right one."""
    with attacked.smtp() as session:
        session.mail("a@elsewhere.test")
        session.rcpt(VICTIM)
        session.docmd("DATA")
        session.send(b"Subject: bare\nFrom: a@elsewhere.test\n\nbody\n.. two dots\n\r\n.\r\n")
        assert session.getreply()[0] == 250
    attacked.arrives(VICTIM, "bare")


def test_the_errors_of_a_web_browser_are_cut_off(attacked: Instance) -> None:
    """A page that makes a browser send SMTP commands in a request."""
    with Wire(attacked.ports["smtp"]) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO c.test\r\n" + hidden("browser", b""))
        assert "queued as" not in wire.rest()


def test_smtplib_itself_is_served(attacked: Instance) -> None:
    with smtplib.SMTP("127.0.0.1", attacked.ports["smtp"]) as session:
        session.sendmail("a@elsewhere.test", [VICTIM], message("by smtplib"))
    attacked.arrives(VICTIM, "by smtplib")
