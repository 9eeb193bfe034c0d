"""What Sieve scripts send with spoof protection on: an account may only write itself, and the
addresses that lead to it."""

import pytest

from tests.support.instance import HASH, Instance, until
from tests.support.sieve_mail import OUTSIDE, sent

SETTINGS = {"spoof_protection": True}
SENDER = "somebody@elsewhere.test"
#: By account: what its script does.
SCRIPTS = {
    "own@x.example": 'vacation :from "own+away@x.example" "from my own address";',
    "alias@x.example": 'vacation :from "info@x.example" "from my alias";',
    "pattern@x.example": 'vacation :from "team7@x.example" "from my pattern";',
    "boss@x.example": 'vacation :from "own@x.example" "from another account";',
    "named@x.example": r'vacation :from "\"own@x.example\" <named@x.example>" "a name only";',
    "mime@x.example": (
        'vacation :mime :from "mime@x.example" text:\nFrom: own@x.example\n'
        "X-Sieve-Redirected-From: a@b.example\nAuto-Submitted: auto-replied (rejected)\n"
        "Content-Type: text/plain\n\nby a second header\n.\n;"
    ),
    "notifier@x.example": (
        f'notify :from "own@x.example" :message "from another account" "mailto:{OUTSIDE}";'
    ),
    "header@x.example": (
        'notify :from "own@x.example" :message "from another account" '
        f'"mailto:{OUTSIDE}?Auto-Submitted=auto-replied%20(rejected)&X-Sieve-Redirected-From=a@b";'
    ),
    "resent@x.example": (
        f'notify :message "from another account" "mailto:{OUTSIDE}?Resent-From=own@x.example";'
    ),
    "told@x.example": f'notify :message "to be told" "mailto:{OUTSIDE}";',
    "forward@x.example": f'redirect "{OUTSIDE}";',
    "mute@x.example": f'redirect "{OUTSIDE}";',
    "refuser@x.example": 'reject "not wanted";',
    "mute-refuser@x.example": 'reject "not wanted by who must not send";',
}


@pytest.fixture(scope="module", autouse=True)
def scripts(server: Instance) -> None:
    server.file("postfix-accounts.cf").write_text("".join(f"{name}|{HASH}\n" for name in SCRIPTS))
    server.file("postfix-virtual.cf").write_text("info@x.example alias@x.example\n")
    server.file("postfix-regexp.cf").write_text("/^team[0-9]+@x\\.example$/ pattern@x.example\n")
    send = "mute@x.example REJECT\nmute-refuser@x.example REJECT\n"
    server.file("postfix-send-access.cf").write_text(send)
    for name, action in SCRIPTS.items():
        script = f'require ["vacation", "enotify", "reject"];\n{action}\n'
        server.file(f"{name}.dovecot.sieve").write_text(script)
    server.setup("apply")
    until(lambda: server.setup("sieve", "list").count(", live") == len(SCRIPTS))


def log(server: Instance) -> str:
    return (server.home / "mail-logs/dovecot.log").read_text()


def test_an_answer_has_the_address_of_the_account_or_of_what_leads_to_it(server: Instance) -> None:
    for name, text in (
        ("own", "from my own address"),
        ("alias", "from my alias"),
        ("pattern", "from my pattern"),
    ):
        server.send(f"{name}@x.example", subject="hello")
        until(lambda text=text: bool(sent(server.sink, SENDER, text)))  # type: ignore[misc]
        server.arrives(f"{name}@x.example", "hello")


@pytest.mark.parametrize("name", ["boss", "mime", "notifier"])
def test_nothing_leaves_in_the_name_of_another_account(server: Instance, name: str) -> None:
    server.send(f"{name}@x.example", subject="forged")
    server.arrives(f"{name}@x.example", "forged")
    why = "<own@x.example>: Sender address rejected: not owned by user"
    assert f"not sent for {name}@x.example: 553 5.7.1 {why} {name}@x.example" in log(server)
    assert not sent(server.sink, SENDER, "from another account")
    assert not sent(server.sink, SENDER, "by a second header")
    assert not sent(server.sink, OUTSIDE, "from another account")


@pytest.mark.parametrize("sender", ["", SENDER])
def test_no_header_of_a_notice_gives_another_name(server: Instance, sender: str) -> None:
    """Whatever Pigeonhole makes of headers in the URI."""
    for name in ("header", "resent"):
        with server.smtp() as session:
            mail = f"Subject: by uri {sender}\r\n\r\nhello\r\n"
            session.sendmail(sender, [f"{name}@x.example"], mail)
        server.arrives(f"{name}@x.example", f"by uri {sender}".strip())
    for taken in sent(server.sink, OUTSIDE, "from another account"):
        assert b"own@x.example" not in taken.content


def test_a_notice_is_from_the_account(server: Instance) -> None:
    server.send("told@x.example", subject="news")
    until(lambda: bool(sent(server.sink, OUTSIDE, "to be told")))
    server.arrives("told@x.example", "news")


def test_a_forward_leaves_with_the_account_as_sender(server: Instance) -> None:
    """A stranger may have claimed to be another account: that must not leave from here."""
    for number, sender in enumerate(("own@x.example", "stranger@elsewhere.test", "")):
        with server.smtp() as session:
            mail = f"From: own@x.example\r\nSubject: forward {number}\r\n\r\nhello\r\n"
            session.sendmail(sender, ["forward@x.example"], mail)
    for number in range(3):
        text = f"forward {number}"
        until(lambda text=text: bool(sent(server.sink, OUTSIDE, text)))  # type: ignore[misc]
    lines = (server.home / "mail-logs/mail.log").read_text().splitlines()
    ids = {line.split(": ")[1] for line in lines if "/sieve/smtpd" in line and "client=" in line}
    senders = {
        line.partition("from=")[2].split(">")[0].strip("<")
        for line in lines
        if "qmgr" in line and "from=<" in line and line.split(": ")[1] in ids
    }
    assert "forward@x.example" in senders
    assert senders.isdisjoint({"own@x.example", "stranger@elsewhere.test"})


def test_who_must_not_send_forwards_nothing_and_keeps_it(server: Instance) -> None:
    server.send("mute@x.example", subject="stays")
    server.arrives("mute@x.example", "stays")
    assert "not sent for mute@x.example: 554 5.7.1" in log(server)
    assert not sent(server.sink, OUTSIDE, "stays")


@pytest.mark.parametrize("name", ["refuser", "mute-refuser"])
def test_a_rejection_comes_from_the_postmaster(server: Instance, name: str) -> None:
    server.send(f"{name}@x.example", subject="unwanted")
    until(lambda: bool(sent(server.sink, SENDER, f"{name}@x.example")))
    (notice,) = sent(server.sink, SENDER, f"{name}@x.example")
    assert b"postmaster@" in notice.content
    assert server.subjects(f"{name}@x.example") == []


def test_a_name_in_quotes_is_no_address(server: Instance) -> None:
    server.send("named@x.example", subject="by name")
    until(lambda: bool(sent(server.sink, SENDER, "a name only")))
