"""What holds on a host with Postfix and Dovecot of its own, once it is integrated: no message hides
another, submitted mail does not tell of the client, no stranger sends as one of its users."""

import json
import sys
from collections.abc import Iterator

import pytest

from tests.support.attacks.smuggling import VICTIM, WAYS
from tests.support.host import Host
from tests.support.instance import until


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    try:
        made.write("/etc/mailroster/mailroster.toml", "reject_forged_senders = true\n")
        done = made.setup("integrate", "--apply")
        assert done.returncode == 0, done.stderr
        made.start()
        made.watch()
        for address in (VICTIM, "john@x.com"):
            assert made.setup("email", "add", address, "secret").returncode == 0
        yield made
        made.stop_watch()
        made.stop()
    finally:
        made.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_hidden_message_is_never_delivered(host: Host, way: str) -> None:
    """Not even from 127.0.0.1, which is in mynetworks there."""
    done = host.inside(sys.executable, "-m", "tests.support.attacks.smuggling", "25", way)
    assert done.returncode == 0, done.stderr
    accepted = json.loads(done.stdout)
    _, allowed = WAYS[way]
    assert {name: count for name, count in accepted.items() if count > allowed} == {}
    assert "250 2.0.0 Ok" in host.send(VICTIM, "--header", f"Subject: last {way}")
    until(lambda: f"last {way}" in _subjects(host), evidence=host.evidence)
    assert not [subject for subject in _subjects(host) if subject.startswith("forged")]


def _subjects(host: Host) -> list[str]:
    """Those of all messages to the victim."""
    listed = host.run("doveadm", "fetch", "-u", VICTIM, "hdr.subject", "all")
    return [line.partition(": ")[2] for line in listed.splitlines() if ": " in line]


@pytest.mark.parametrize("port", ["465", "587"])
def test_submitted_mail_does_not_tell_of_the_client(host: Host, port: str) -> None:
    tls = "--tls-on-connect" if port == "465" else "-tls"
    login = ("--auth", "PLAIN", "--auth-user", VICTIM, "--auth-password", "secret")
    said = host.send(
        "john@x.com", "--port", port, tls, *login, "--from", VICTIM, "--helo", "secret-laptop",
        "--header", f"Subject: by {port}", "--add-header", "User-Agent: SecretMail",
    )  # fmt: skip
    assert "250 2.0.0 Ok: queued" in said, said
    until(lambda: f"Subject: by {port}" in host.mail("john@x.com"))
    stored = host.mail("john@x.com")
    assert "secret-laptop" not in stored and "SecretMail" not in stored
    assert "Received: from authenticated-user (host.example.test [127.0.0.1])" in stored


@pytest.mark.parametrize("sender", ["john@x.com", "nobody@x.com", "JOHN@X.COM", '"john"@x.com'])
def test_a_forged_sender_is_refused(host: Host, sender: str) -> None:
    """From a client that may not relay; those of mynetworks may."""
    host.run("postconf", "-e", "mynetworks = 127.0.0.9/32")
    host.run("postfix", "reload")  # which returns before every process has the new configuration
    refusal = "a sender of this domain has to log in"
    until(lambda: refusal in host.send(VICTIM, "--from", sender, "--quit-after", "RCPT"))
    assert "250 2.1.5" in host.send(VICTIM, "--quit-after", "RCPT")
    assert "250 2.1.5" in host.send(VICTIM, "--from", "<>", "--quit-after", "RCPT")


def test_strangers_are_offered_no_delivery_notices(host: Host) -> None:
    assert "250-DSN" not in host.send(VICTIM, "--quit-after", "EHLO")
    assert "250-DSN" in host.send(
        VICTIM, "--port", "587", "-tls", "--quit-after", "EHLO"
    ) or "DSN" in host.send(VICTIM, "--port", "587", "-tls", "--quit-after", "EHLO")


@pytest.mark.parametrize("port", ["25", "465", "587"])
@pytest.mark.parametrize("weak", ["-tls1_1", "-tls1", "aNULL"])
def test_weak_tls_is_refused(host: Host, port: str, weak: str) -> None:
    options = ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"]
    if weak != "aNULL":
        options = [weak, "-cipher", "ALL:@SECLEVEL=0"]
    begin = [] if port == "465" else ["-starttls", "smtp"]
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *begin]
    assert ", Cipher is (NONE)" in host.inside(*argv, *options).stdout
    assert ", Cipher is TLS_" in host.inside(*argv).stdout


def test_what_the_administrator_has_set_stays_and_is_named(host: Host) -> None:
    host.run(
        "postconf",
        "-e",
        "smtpd_forbid_bare_newline = no",
        "header_checks = pcre:{{/^X-A:/ IGNORE}}",
    )
    told = json.loads(host.setup("integrate", "--json").stdout)
    assert any("smtpd_forbid_bare_newline is 'no'" in warning for warning in told["warnings"])
    assert host.setup("integrate", "--apply").returncode == 0
    assert "= no\n" in host.run("postconf", "smtpd_forbid_bare_newline")
    checks = host.run("postconf", "-n", "mailroster_submission_header_checks")
    assert checks.endswith("pcre:{{/^X-A:/ IGNORE}}, $mailroster_hidden_headers\n"), checks
    host.run("postconf", "-X", "smtpd_forbid_bare_newline", "header_checks")


def test_turned_off_nothing_of_it_is_left(host: Host) -> None:
    host.write("/etc/mailroster/mailroster.toml", "hide_client = false\n")
    assert host.setup("integrate", "--apply").returncode == 0
    main, master = host.read("/etc/postfix/main.cf"), host.read("/etc/postfix/master.cf")
    assert "hidden" not in main and "helo_restrictions" not in main and "cleanup" not in main
    assert "mailroster-cleanup" not in master
    assert host.setup("integrate", "--check").returncode == 0
