"""With `reject_forged_senders` no stranger sends as an address of a domain that is served here."""

from collections.abc import Iterator

import pytest

from tests.support.attacks.wire import Wire
from tests.support.instance import PASSWORD, Instance

SETTINGS = {"reject_forged_senders": True, "postmaster_address": "u@x.com"}
REFUSED = "a sender of this domain has to log in"
FORGED = (
    "u@x.com", "U@X.COM", "u+tag@x.com", '"u"@x.com', "nobody@x.com", "postmaster@x.com",
    "boss@aliases.test", "u@x.com.", "@elsewhere.test:u@x.com", '"a@elsewhere.test"@x.com',
    "u@elsewhere.test@x.com", "root@mail.example.test", "mailer-daemon@mail.example.test", "root",
    "u @x.com", "u@ x.com", "u@x .com", "a@müller.test", "a@MÜLLER.test", "a@xn--mller-kva.test",
    "=?utf-8?q?u=40x.com?=@x.com", "u!elsewhere.test@x.com", "u%elsewhere.test@x.com",
)  # fmt: skip
HONEST = (
    "", "a@elsewhere.test", "a@news.x.com", "a@notx.com", "a@x.com.elsewhere.test", "a@x.co",
    "x.com@elsewhere.test", '"u@x.com"@elsewhere.test', "u=x.com@elsewhere.test",
    "SRS0=abc=de=x.com=u@elsewhere.test", "prvs=123=u@elsewhere.test",
)  # fmt: skip


@pytest.fixture(scope="module")
def attacked(server: Instance) -> Instance:
    server.setup("email", "add", "u@x.com", PASSWORD)
    server.setup("email", "add", "a@müller.test", PASSWORD)
    server.setup("alias", "add", "info@aliases.test", "u@x.com")
    return server


@pytest.fixture(scope="module")
def usual() -> Iterator[Instance]:
    """A server with the default settings."""
    instance = Instance()
    try:
        instance.start()
        instance.setup("email", "add", "u@x.com", PASSWORD)
        yield instance
    finally:
        instance.close()


def _answer(server: Instance, sender: str, more: str = "", to: str = "u@x.com") -> str:
    """The answer to RCPT, or to MAIL if that is refused already."""
    with Wire(server.ports["smtp"]) as wire:
        wire.reply()
        wire.say("EHLO client.test")
        answer = wire.say(f"MAIL FROM:<{sender}>{more}")
        return wire.say(f"RCPT TO:<{to}>") if answer.startswith("250") else answer


@pytest.mark.parametrize("more", ["", " BODY=8BITMIME", " SMTPUTF8", " AUTH=u@x.com"])
@pytest.mark.parametrize("sender", FORGED)
def test_a_forged_sender_is_refused(attacked: Instance, sender: str, more: str) -> None:
    answer = _answer(attacked, sender, more)
    assert answer[0] == "5", answer


@pytest.mark.parametrize("sender", ["u@x.com", "nobody@x.com", "root", "boss@aliases.test"])
def test_the_refusal_says_what_to_do(attacked: Instance, sender: str) -> None:
    assert REFUSED in _answer(attacked, sender)


@pytest.mark.parametrize("to", ["u@x.com", "postmaster@mail.example.test", "info@aliases.test"])
@pytest.mark.parametrize("sender", HONEST)
def test_an_honest_sender_is_accepted(attacked: Instance, sender: str, to: str) -> None:
    assert _answer(attacked, sender, to=to).startswith("250")


@pytest.mark.parametrize("port", ["submission", "submissions"])
@pytest.mark.parametrize("sender", ["u@x.com", "nobody@x.com", "boss@aliases.test"])
def test_who_has_logged_in_is_not_concerned(attacked: Instance, port: str, sender: str) -> None:
    with attacked.smtp(port) as session:
        session.login("u@x.com", PASSWORD)
        session.mail(sender)
        assert session.rcpt("u@x.com")[0] == 250


def test_a_new_domain_is_protected_at_once_and_a_removed_one_no_more(attacked: Instance) -> None:
    assert _answer(attacked, "a@new.test").startswith("250")
    attacked.setup("email", "add", "a@new.test", PASSWORD)
    assert REFUSED in _answer(attacked, "a@new.test")
    attacked.setup("email", "del", "-y", "a@new.test")
    assert _answer(attacked, "a@new.test").startswith("250")


def test_a_notice_of_our_own_is_delivered(attacked: Instance) -> None:
    """Notices have no sender, so that none is refused."""
    with attacked.smtp("submissions") as session:
        session.login("u@x.com", PASSWORD)
        session.mail("u@x.com")
        assert session.rcpt("friend@elsewhere.test", ["NOTIFY=SUCCESS"])[0] == 250
        session.data(b"Subject: with a notice\r\n\r\nbody\r\n")
    attacked.arrives("u@x.com", "Successful Mail Delivery Report")


def test_it_is_off_by_default(usual: Instance) -> None:
    assert _answer(usual, "u@x.com").startswith("250")
