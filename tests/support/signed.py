"""Signed mail: keys and their records for a test, and signatures as an independent program (dkimpy)
verifies them."""

import re

import dkim

from tests.support.dns import Dns
from tests.support.instance import PASSWORD, Instance, until
from tests.support.sink import Taken

FRIEND = "friend@elsewhere.example"
STRANGER = "somebody@elsewhere.test"


def publish(instance: Instance, dns: Dns, *words: str) -> list[str]:
    """Makes keys, and publishes their records; the zone lines."""
    shown = instance.setup("config", "dkim", *words)
    dns.publish(shown)
    return [line for line in shown.split("\n") if " IN TXT " in line]


def submit(
    instance: Instance,
    sender: str,
    to: str,
    subject: str,
    author: str = "",
    kind: str = "submission",
) -> None:
    text = f"From: {author or sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nHello.\r\n.\r\n"
    with instance.smtp(kind) as session:
        session.login(sender, PASSWORD)
        session.sendmail(sender, [to], text)


def taken(instance: Instance, word: str) -> Taken:
    """The message outside whose text has a word."""

    def matches() -> list[Taken]:
        return [one for one in list(instance.sink.taken) if word.encode() in one.content]

    until(lambda: bool(matches()))
    return matches()[0]


def signers(message: Taken, dns: Dns) -> list[str]:
    """The signatures of a message as a client of SMTP sent it."""
    return signatures(re.sub(rb"(?m)^\.\.", b".", message.content), dns)


def signatures(content: bytes, dns: Dns) -> list[str]:
    """SELECTOR.DOMAIN of each signature that dkimpy verifies; asserts that it verifies all."""
    verifier = dkim.DKIM(content)
    names = []
    for index in range(
        content.lower().count(b"\ndkim-signature:") + content[:15].lower().count(b"dkim-signature:")
    ):
        assert verifier.verify(index, dnsfunc=dns.txt), content.decode()
        fields = verifier.signature_fields
        names.append(f"{fields[b's'].decode()}.{fields[b'd'].decode()}")
    return sorted(names)
