"""Mailboxes to begin with, and what a server has of them."""

import base64
import email
import email.policy
import random
from collections import Counter
from email.message import EmailMessage
from functools import cache
from pathlib import Path

from tests.support.instance import HASH, Instance
from tests.support.mailboxes import give_to_mail_user


def account(server: Instance, user: str, count: int = 0, *, lines: int = 1, quota: str = "") -> str:
    """A new account with some messages, each of which has a subject of its own."""
    server.setup("email", "add", user, "--hash", HASH)
    if quota:
        server.setup("quota", "set", user, quota)
    name, domain = user.split("@")
    cur = server.mail / domain / name / "cur"
    cur.mkdir(parents=True)
    for number in range(count):
        path = cur / f"{1700000000 + number}.M{number}P1.mail:2,"
        path.write_text(text(f"message {number}", lines))
    give_to_mail_user(server.mail)
    return user


def text(subject: str, lines: int = 1) -> str:
    """A message of some lines of 69 octets."""
    name = subject.replace(" ", ".")
    return (
        f"From: sender@elsewhere.test\nTo: reader@x.test\nSubject: {subject}\n"
        f"Date: Mon, 30 Nov 2026 10:00:00 +0000\nMessage-ID: <{name}@elsewhere.test>\n\n"
        + _body(lines)
    )


@cache
def _body(lines: int) -> str:
    """Lines that COMPRESS (RFC 4978) makes hardly shorter."""
    octets = random.Random(lines).randbytes(lines * 51)
    return "".join(
        base64.b64encode(octets[at : at + 51]).decode() + "\n" for at in range(0, len(octets), 51)
    )


def put(maildir: Path, subjects: list[str], lines: int = 1) -> None:
    """New messages in a Maildir of a client."""
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True, exist_ok=True)
    for number, subject in enumerate(subjects):
        (maildir / "cur" / f"1800000000.{number}_1.client:2,S").write_text(text(subject, lines))


def subjects_of(paths: list[Path]) -> Counter[str]:
    """How often each subject is in some files."""
    lines = (line for path in paths for line in path.read_text().splitlines())
    return Counter(line.removeprefix("Subject: ") for line in lines if line.startswith("Subject:"))


def on_server(server: Instance, user: str) -> Counter[str]:
    """How often each subject is in the INBOX."""
    return Counter(server.subjects(user))


def mailbox_name(name: str) -> str:
    """A folder as IMAP writes it: modified UTF-7 (RFC 3501, 5.1.3), quoted."""
    parts, other = [], ""
    for letter in f"{name}\0":
        if " " <= letter <= "~" or letter == "\0":
            if other:
                coded = base64.b64encode(other.encode("utf-16-be")).decode().rstrip("=")
                parts.append(f"&{coded.replace('/', ',')}-")
                other = ""
            parts.append("&-" if letter == "&" else letter.rstrip("\0"))
        else:
            other += letter
    return f'"{"".join(parts)}"'


def state(server: Instance, user: str, folder: str = "INBOX") -> dict[str, set[str]]:
    """The flags of each message of a folder, by its subject."""
    found: dict[str, set[str]] = {}
    with server.imap(user) as session:
        session.select(mailbox_name(folder), readonly=True)
        _, parts = session.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        for part in parts:
            if isinstance(part, tuple):
                flags = part[0].decode().partition("FLAGS (")[2].partition(")")[0]
                subject = part[1].decode().strip().removeprefix("Subject: ")
                found[subject] = set(flags.split()) - {"\\Recent"}
    return found


def last(server: Instance, user: str, folder: str = "INBOX") -> EmailMessage:
    """The newest message of a folder."""
    with server.imap(user) as session:
        session.select(mailbox_name(folder), readonly=True)
        _, parts = session.fetch("*", "(BODY.PEEK[])")
        assert isinstance(parts[0], tuple), parts
        message = email.message_from_bytes(parts[0][1], policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message
