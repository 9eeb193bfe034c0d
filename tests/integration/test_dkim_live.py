"""Keys that appear, change and go while the servers run, and a signer that does not answer."""

import os
import shutil
import signal
import smtplib
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dns import Dns
from tests.support.instance import HASH, Instance, until
from tests.support.signed import FRIEND, STRANGER, publish, signers, submit, taken

ALICE, CARA = "alice@own.example", "cara@second.example"


@pytest.fixture(scope="module")
def live(dns: Dns) -> Iterator[Instance]:
    """An instance that was started without a key."""
    instance = Instance(dns_server=dns.place, hostname="mail.own.example")
    try:
        names = (ALICE, CARA, "dora@third.example", "emil@fourth.example", "fay@fifth.example")
        instance.file("postfix-accounts.cf").write_text("".join(f"{n}|{HASH}\n" for n in names))
        instance.file("postfix-virtual.cf").write_text("nowhere@own.example refuse@else.example\n")
        instance.start()
        yield instance
    finally:
        instance.close()


def signer(instance: Instance) -> int:
    """The pid of its OpenDKIM."""
    path = instance.state / "locks/opendkim-rsa.pid"
    until(lambda: path.exists() and path.read_text().strip().isdigit())
    return int(path.read_text())


def is_signed(instance: Instance, dns: Dns, sender: str, subject: str) -> list[str]:
    submit(instance, sender, FRIEND, subject)
    return signers(taken(instance, subject), dns)


def becomes_signed(instance: Instance, dns: Dns, sender: str, name: str, *expected: str) -> None:
    """Sends messages until one is accepted and has exactly these signatures."""
    tries = iter(range(1000))

    def is_right() -> bool:
        try:
            return is_signed(instance, dns, sender, f"{name} {next(tries)} end") == [*expected]
        except smtplib.SMTPException:
            return False

    until(is_right)


def test_without_a_key_there_is_no_process_and_no_line(live: Instance) -> None:
    submit(live, ALICE, FRIEND, "without a key")
    assert b"DKIM-Signature" not in taken(live, "without a key").content
    assert not (live.state / "dkim").exists()
    assert "milter" not in (live.state / "postfix/main.cf").read_text()
    assert "milter" not in (live.state / "postfix/master.cf").read_text()


def test_the_first_key_signs_without_a_restart(live: Instance, dns: Dns) -> None:
    master = (live.state / "spool/pid/master.pid").read_text()
    with live.imap(ALICE) as session:
        publish(live, dns, "domain", "own.example")
        becomes_signed(live, dns, ALICE, "first key", "mail.own.example")
        assert session.noop()[0] == "OK"
    assert (live.state / "spool/pid/master.pid").read_text() == master


def test_only_root_and_the_signer_can_read_a_key(live: Instance) -> None:
    key = live.file("opendkim/keys/own.example/mail.private")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for copy in (live.state / "dkim/keys").iterdir():
        assert stat.S_IMODE(copy.stat().st_mode) == 0o400
        assert copy.owner() == "opendkim"
    done = subprocess.run(["setpriv", "--reuid=postfix", "--clear-groups", "cat", copy])
    assert done.returncode != 0


def test_the_key_of_another_domain_signs_at_once(live: Instance, dns: Dns) -> None:
    assert is_signed(live, dns, CARA, "no key yet") == []
    publish(live, dns)
    assert is_signed(live, dns, CARA, "with a key") == ["mail.second.example"]


def test_a_key_that_is_copied_by_hand_signs(live: Instance, dns: Dns) -> None:
    """In both places of docker-mailserver, and the one that its SigningTable names."""
    keys = live.file("opendkim/keys")
    for name in ("third", "fourth"):
        shutil.rmtree(keys / f"{name}.example", ignore_errors=True)
    until(lambda: "third.example" not in (live.state / "dkim/rsa/SigningTable").read_text())
    live.file("opendkim/SigningTable").write_text("*@third.example late._domainkey.third.example\n")
    for selector in ("early", "late"):
        publish(live, dns, "domain", f"copied-{selector}.example", "selector", selector)
        key = keys / f"copied-{selector}.example/{selector}.private"
        (keys / "third.example").mkdir(exist_ok=True)
        shutil.copy(key, keys / f"third.example/{selector}.private")
        dns.texts[f"{selector}._domainkey.third.example"] = dns.texts[
            f"{selector}._domainkey.copied-{selector}.example"
        ]
    becomes_signed(live, dns, "dora@third.example", "by hand", "late.third.example")
    rspamd = live.file("rspamd/dkim")
    rspamd.mkdir(parents=True)
    shutil.copy(
        keys / "third.example/late.private",
        rspamd / "rsa-2048-mail-fourth.example.private.txt",
    )
    dns.texts["mail._domainkey.fourth.example"] = dns.texts["late._domainkey.third.example"]
    becomes_signed(live, dns, "emil@fourth.example", "of rspamd", "mail.fourth.example")


def test_a_domain_may_have_a_key_of_each_kind(live: Instance, dns: Dns) -> None:
    publish(live, dns, "domain", "fifth.example")
    zone = publish(live, dns, "keytype", "ed25519", "domain", "fifth.example")
    assert zone[0].startswith("mail-ed25519._domainkey.fifth.example. ")
    both = ("mail-ed25519.fifth.example", "mail.fifth.example")
    becomes_signed(live, dns, "fay@fifth.example", "both kinds", *both)


def test_a_damaged_key_file_does_not_stop_the_signing(live: Instance, dns: Dns) -> None:
    key = live.file("opendkim/keys/second.example/mail.private")
    before = key.read_bytes()
    key.write_bytes(before[:700])
    until(lambda: "second.example/mail.private: error" in live.log.read_text())
    assert is_signed(live, dns, CARA, "damaged key") == ["mail.second.example"]
    checked = live.run("check")
    assert "[bad-dkim-key]" in checked.stdout + checked.stderr
    assert "PRIVATE" not in live.log.read_text()
    key.write_bytes(before)


def test_a_removed_key_no_longer_signs(live: Instance, dns: Dns) -> None:
    live.file("opendkim/keys/second.example/mail.private").unlink()
    until(lambda: "second.example" not in (live.state / "dkim/rsa/KeyTable").read_text())
    becomes_signed(live, dns, CARA, "removed key")


def test_a_killed_signer_is_started_again(live: Instance, dns: Dns) -> None:
    pid = signer(live)
    os.kill(pid, signal.SIGKILL)
    until(lambda: signer(live) != pid)

    becomes_signed(live, dns, ALICE, "after the kill", "mail.own.example")


def test_while_the_signer_hangs_nothing_unsigned_leaves_and_mail_from_outside_arrives(
    live: Instance, dns: Dns
) -> None:
    pid = signer(live)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(smtplib.SMTPException) as refused:
            submit(live, ALICE, FRIEND, "by a hung signer")
        assert str(refused.value).startswith("(4")
        live.send(ALICE, subject="from outside 1")
        live.arrives(ALICE, "from outside 1")
        with live.smtp() as session:
            text = "Subject: to be returned\r\n\r\nHello.\r\n"
            session.sendmail(STRANGER, ["nowhere@own.example"], text)
        log = live.home / "mail-logs/mail.log"
        until(lambda: "no such user" in log.read_text())
        time.sleep(1)
        sent = [one for one in live.sink.taken if b"to be returned" in one.content]
        assert sent == []
    finally:
        os.kill(pid, signal.SIGCONT)
    subprocess.run(["postqueue", "-c", live.state / "postfix", "-f"], check=True)
    until(lambda: any(b"to be returned" in one.content for one in live.sink.taken), 120)
    assert signers(taken(live, "to be returned"), dns) == ["mail.own.example"]
    assert not any(b"by a hung signer" in one.content for one in live.sink.taken)


def test_a_lost_state_folder_is_restored(live: Instance, dns: Dns) -> None:
    for path in ("dkim", "locks/opendkim-rsa.pid", "locks/opendkim-ed25519.pid"):
        lost = live.state / path
        shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    until(lambda: (live.state / "dkim/run/rsa").exists())
    becomes_signed(live, dns, ALICE, "restored", "mail.own.example")


def test_a_restart_continues_and_the_setting_switches_it_off(live: Instance, dns: Dns) -> None:
    live.kill()
    live.start()
    assert is_signed(live, dns, ALICE, "after a restart") == ["mail.own.example"]
    pid = signer(live)
    live.stop()
    until(lambda: not Path(f"/proc/{pid}").exists())
    toml = live.file("mailroster.toml")
    toml.write_text(toml.read_text() + "enable_opendkim = false\n")
    live.start()
    assert is_signed(live, dns, ALICE, "switched off") == []
    assert not list((live.state / "dkim/keys").iterdir())
