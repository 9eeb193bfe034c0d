"""Outgoing mail is signed by OpenDKIM. An independent program (dkimpy) verifies each signature, by
the records that `setup config dkim` prints, in a DNS server of the test."""

from collections.abc import Iterator

import pytest

from tests.support.dns import Dns
from tests.support.instance import HASH, Instance, until
from tests.support.signed import FRIEND, STRANGER, publish, signers, submit, taken

ALICE, BOB, CARA = "alice@own.example", "bob@own.example", "cara@second.example"
SIEVE = """\
require ["vacation", "enotify", "reject", "copy"];
if header :contains "subject" "forward-out" { redirect "friend@elsewhere.example"; }
if header :contains "subject" "away" { vacation :from "bob@own.example" "I am away."; }
if header :contains "subject" "refused" { reject "I do not want it."; }
if header :contains "subject" "told" {
  notify :from "bob@own.example" :message "you have mail" "mailto:friend@elsewhere.example";
}
"""


@pytest.fixture(scope="module")
def signing(dns: Dns) -> Iterator[Instance]:
    """An instance that signs; its DNS has the records."""
    instance = Instance(dns_server=dns.place, hostname="mail.own.example")
    try:
        names = (ALICE, BOB, CARA)
        instance.file("postfix-accounts.cf").write_text("".join(f"{n}|{HASH}\n" for n in names))
        instance.file("postfix-virtual.cf").write_text(f"out@own.example {FRIEND}\n")
        instance.file(f"{BOB}.dovecot.sieve").write_text(SIEVE)
        publish(instance, dns)
        instance.start()
        until(lambda: ", live" in instance.setup("sieve", "list"))
        yield instance
    finally:
        instance.close()


@pytest.mark.parametrize("kind", ["submission", "submissions"])
def test_a_submission_is_signed(signing: Instance, dns: Dns, kind: str) -> None:
    submit(signing, ALICE, FRIEND, f"by {kind}", kind=kind)
    assert signers(taken(signing, f"by {kind}"), dns) == ["mail.own.example"]


def test_each_domain_has_its_own_key(signing: Instance, dns: Dns) -> None:
    submit(signing, CARA, FRIEND, "by the second")
    assert signers(taken(signing, "by the second"), dns) == ["mail.second.example"]


def test_an_author_elsewhere_has_no_signature(signing: Instance, dns: Dns) -> None:
    submit(signing, ALICE, FRIEND, "for another", author="x@foreign.example")
    assert signers(taken(signing, "for another"), dns) == []


def test_mail_through_an_alias_to_elsewhere_is_signed_if_it_was_submitted(
    signing: Instance, dns: Dns
) -> None:
    submit(signing, ALICE, "out@own.example", "by the alias")
    assert signers(taken(signing, "by the alias"), dns) == ["mail.own.example"]


def test_a_stranger_gets_no_signature(signing: Instance, dns: Dns) -> None:
    """Neither through an alias nor through a Sieve script, whatever the header claims."""
    for to, subject in (("out@own.example", "forged 1"), (BOB, "forged 2 forward-out")):
        with signing.smtp() as session:
            text = f"From: {ALICE}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nHello.\r\n"
            session.sendmail(STRANGER, [to], text)
        assert signers(taken(signing, subject), dns) == []


def test_a_message_of_a_user_keeps_its_signature_when_a_script_forwards_it(
    signing: Instance, dns: Dns
) -> None:
    submit(signing, ALICE, BOB, "own forward-out")
    assert signers(taken(signing, "own forward-out"), dns) == ["mail.own.example"]


@pytest.mark.parametrize(
    "subject, word",
    [("away", "I am away."), ("refused", "I do not want it."), ("told", "you have")],
)
def test_what_a_script_writes_is_signed(
    signing: Instance, dns: Dns, subject: str, word: str
) -> None:
    signing.send(BOB, subject=subject)
    assert signers(taken(signing, word), dns) == ["mail.own.example"]


def test_a_bounce_is_signed_by_the_domain_above_the_server(signing: Instance, dns: Dns) -> None:
    signing.file("postfix-virtual.cf").write_text(
        f"out@own.example {FRIEND}\nnowhere@own.example refuse@elsewhere.example\n"
    )
    signing.setup("apply")
    with signing.smtp() as session:
        session.sendmail(STRANGER, ["nowhere@own.example"], "Subject: to nowhere\r\n\r\nHello.\r\n")
    bounce = taken(signing, "Undelivered Mail Returned to Sender")
    assert b"MAILER-DAEMON@mail.own.example" in bounce.content
    assert signers(bounce, dns) == ["mail.own.example"]
