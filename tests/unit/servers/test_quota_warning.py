"""The text of a quota warning: what stands in it, and what can't get into its head."""

from email import message_from_bytes
from email.policy import default

import pytest

from mailroster.servers.quota_warning import DEFAULT, main, message, script
from mailroster.store.links import ConfigFolder

VALUES = {"address": "a@x.com", "percent": "80", "used": "82K", "limit": "100K"}


def sent(text: str, **values: str) -> tuple[str, str, list[str]]:
    """Subject, body and the names of all headers."""
    raw = message(text, "postmaster@x.com", {**VALUES, **values})
    found = message_from_bytes(raw, policy=default)
    return str(found["Subject"]), found.get_content(), sorted(found.keys())


USUAL = [
    "Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "MIME-Version",
    "Message-ID", "Subject", "To",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "subject", "body"),
    [
        pytest.param("Subject: {percent}!\n\nHi {address}\n", "80!", "Hi a@x.com\n", id="both"),
        pytest.param("subject:x\nbody", "x", "body\n", id="no empty line, no line feed"),
        pytest.param("Subject: x\r\n\r\nb\r\n", "x", "b\n", id="CRLF"),
        pytest.param("\ufeffSubject: x\n\nb\n", "x", "b\n", id="a byte order mark"),
        pytest.param(
            "{used} of {limit}\n", "Your mailbox is 80 % full", "82K of 100K\n", id="a body alone"
        ),
        pytest.param("Subject: Über\n\nvoll: ü\n", "Über", "voll: ü\n", id="other letters"),
        pytest.param(
            "Subject: {x} {0} {percent.real} %s\n\n{{\n", "{x} {0} {percent.real} %s", "{{\n",
            id="braces that are no names",
        ),
        pytest.param("Subject: x\nBcc: b@x.com\n\nb\n", "x", "Bcc: b@x.com\n\nb\n", id="a header"),
        pytest.param("Subject: x\rBcc: b@x.com\n\nb\n", "x\\rBcc: b@x.com", "b\n", id="a bare CR"),
        pytest.param("Subject: x\0\x1b[2J\n\nb\n", "x\\x00\\x1b[2J", "b\n", id="escapes"),
    ],
)  # fmt: skip
def test_a_text_becomes_a_message_and_no_header_but_its_subject(
    text: str, subject: str, body: str
) -> None:
    assert sent(text) == (subject, body, USUAL)


def test_our_own_text_names_everything() -> None:
    subject, body, headers = sent(DEFAULT)
    assert subject == "Your mailbox is 80 % full"
    assert all(VALUES[name] in body for name in VALUES)
    assert headers == USUAL


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["80", "../../etc@x.com"], id="no address"),
        pytest.param(["80", "-d@x.com"], id="an option"),
        pytest.param(["80", "a@x.com\nBcc: b@x.com"], id="a line break"),
        pytest.param(["80%", "a@x.com"], id="no number"),
        pytest.param(["80"], id="too few"),
    ],
)
def test_what_is_no_user_or_percentage_is_told_and_sends_nothing(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["/nowhere", "/nowhere/dovecot.conf", "postmaster@x.com", *arguments]) == 1
    assert capsys.readouterr().err.startswith("quota-warning: ")


def test_the_script_quotes_what_it_is_given() -> None:
    assert " '/a folder; rm x' " in script(
        ConfigFolder("/a folder; rm x"), "/d.conf", "p@x.com", "x=y"
    )
