"""`setup dkim rotate`: each signature can be verified while the selector changes."""

import time
from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.dns import Dns
from tests.support.instance import HASH, Instance, until
from tests.support.signed import FRIEND, publish, signers, submit, taken

ALICE = "alice@own.example"
DAY_S = 24 * 3600


@pytest.fixture(scope="module")
def server(dns: Dns) -> Iterator[Instance]:
    instance = Instance(dns_server=dns.place, hostname="mail.own.example")
    try:
        instance.file("postfix-accounts.cf").write_text(f"{ALICE}|{HASH}\n")
        publish(instance, dns)
        instance.start()
        yield instance
    finally:
        instance.close()


def signed(server: Instance, dns: Dns, subject: str) -> list[str]:
    submit(server, ALICE, FRIEND, subject)
    return signers(taken(server, subject), dns)


def test_the_new_key_signs_when_dns_has_its_record(server: Instance, dns: Dns) -> None:
    shown = server.setup("dkim", "rotate", "own.example", "--selector", "next")
    assert "mail signs until DNS has this record" in shown
    assert signed(server, dns, "rotation begins") == ["mail.own.example"]
    line = next(line for line in shown.split("\n") if " IN TXT " in line)
    old = dns.texts["mail._domainkey.own.example"]
    dns.texts["next._domainkey.own.example"] = old  # the wrong key
    assert "mail signs until" in server.setup("dkim", "rotate", "own.example")
    dns.texts["next._domainkey.own.example"] = None  # SERVFAIL
    done = server.run("dkim", "rotate", "own.example")
    assert "mail signs until" in done.stdout and "DNS does not answer" in done.stderr
    assert signed(server, dns, "wrong record") == ["mail.own.example"]
    dns.publish(line)
    until(lambda: "the DKIM key 'next' signs now" in server.log.read_text(), 150)
    until(lambda: "next" in (server.state / "dkim/rsa/SigningTable").read_text())
    tries = count()
    until(lambda: signed(server, dns, f"new key {next(tries)}") == ["next.own.example"])


def test_the_old_key_is_removed_after_seven_days(server: Instance, dns: Dns) -> None:
    keys = server.file("opendkim/keys/own.example")
    assert server.setup("dkim", "rotate", "own.example").startswith("next signs; the old key mail")
    rotation = keys / "rotation"
    for days, expected in ((6.9, True), (7.1, False)):
        since = int(time.time() - days * DAY_S)
        lines = rotation.read_text().split("\n")
        rotation.write_text("\n".join([*lines[:-2], f"since {since}", ""]))
        server.setup("dkim", "rotate", "own.example")
        assert (keys / "mail.private").exists() is expected
    assert sorted(path.name for path in keys.iterdir()) == ["next.private", "next.txt"]
    del dns.texts["mail._domainkey.own.example"]
    assert signed(server, dns, "old key is gone") == ["next.own.example"]


def test_a_rotation_is_refused_where_it_can_not_be(server: Instance) -> None:
    for domain, reason in (("other.example", "has no DKIM key"), ("own.example", "choose another")):
        done = server.run("dkim", "rotate", domain, "--selector", "next")
        assert done.returncode == 1
        assert reason in done.stderr


def test_without_a_selector_it_is_year_and_month(server: Instance) -> None:
    server.setup("dkim", "rotate", "own.example")
    keys = server.file("opendkim/keys/own.example")
    month = time.strftime("%Y%m", time.gmtime())
    assert any(path.name.startswith(month) for path in keys.glob("*.private"))
