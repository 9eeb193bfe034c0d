"""Headers by which a stranger says that a message was checked by this server (RFC 8601, 5)."""

from collections.abc import Iterator

import pytest

from tests.support.attacks.wire import Wire
from tests.support.instance import PASSWORD, Instance, until
from tests.support.spam import wait_for_filter

USER = "u@own.example"
FORGED = "Authentication-Results: mail.own.example; dkim=pass; spf=pass; dmarc=pass"


@pytest.fixture(scope="module")
def filtered() -> Iterator[Instance]:
    instance = Instance(
        hostname="mail.own.example", enable_rspamd=True, proxy_protocol="smtp",
        trusted_proxies="127.0.0.1",
    )  # fmt: skip
    try:
        instance.setup("email", "add", USER, PASSWORD)
        instance.start()
        wait_for_filter(instance)
        yield instance
    finally:
        instance.close()


def test_a_stranger_does_not_write_the_result_of_a_check(filtered: Instance) -> None:
    headers = [FORGED, FORGED.replace("mail.own", "MAIL.Own"), FORGED.lower().replace("s:", "s :")]
    with Wire(filtered.ports["smtp"]) as wire:
        wire.send(b"PROXY TCP4 203.0.113.5 127.0.0.1 40000 25\r\n")
        assert wire.reply().startswith("220")
        for line in ("EHLO x.test", "MAIL FROM:<a@elsewhere.test>", f"RCPT TO:<{USER}>", "DATA"):
            wire.say(line)
        text = "\r\n".join(
            [*headers, "From: a@elsewhere.test", "Subject: forged", "", "Hello.\r\n."]
        )
        assert "queued" in wire.say(text)

    def header() -> str:
        return filtered.doveadm("fetch", "-u", USER, "hdr", "ALL").lower()

    until(lambda: "subject: forged" in header())
    assert header().count("authentication-results") == 1
    assert "=pass" not in header()
