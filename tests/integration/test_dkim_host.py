"""A host's own Postfix uses the signer that `watch` runs, once it is integrated."""

from collections.abc import Iterator

import pytest

from tests.support.dns import Dns
from tests.support.host import Host
from tests.support.instance import until
from tests.support.signed import signatures

OUTSIDE = "friend@elsewhere.example"


@pytest.fixture(scope="module")
def host(dns: Dns) -> Iterator[Host]:
    """It keeps mail to elsewhere in its queue; the records of its keys are in DNS."""
    found = Host()
    try:
        found.run("postconf", "-e", "defer_transports = smtp")
        for name in ("jane@example.com", "bob@example.com"):
            done = found.setup("email", "add", name, "secret")
            assert done.returncode == 0, done.stderr
        found.setup("tables")
        made = found.setup("config", "dkim")
        assert made.returncode == 0, made.stderr
        dns.publish(made.stdout)
        assert found.setup("integrate", "--apply").returncode == 0
        found.watch()
        found.start()
        yield found
        found.stop()
    finally:
        found.close()


def queued(host: Host, word: str) -> bytes:
    """The message in the queue whose text has a word."""
    found: list[str] = []

    def is_there() -> bool:
        ids = host.run("sh", "-c", 'postqueue -j | sed \'s/.*"queue_id": "\\([^"]*\\)".*/\\1/\'')
        texts = [host.inside("postcat", "-qhb", name).stdout for name in ids.split()]
        found[:] = [text for text in texts if word in text]
        return bool(found)

    until(is_there)
    return found[0].encode()


def test_it_is_integrated(host: Host) -> None:
    checked = host.setup("integrate", "--check")
    assert (checked.returncode, checked.stdout) == (0, "integrated\n")
    assert "mailroster_dkim" in host.run("postconf", "-h", "non_smtpd_milters")


def test_a_submission_is_signed(host: Host, dns: Dns) -> None:
    shown = host.send(
        OUTSIDE, "--from", "jane@example.com", "--port", "587", "-tls", "--auth", "PLAIN",
        "--auth-user", "jane@example.com", "--auth-password", "secret",
        "--header", "Subject: by submission",
    )  # fmt: skip
    assert "queued as" in shown
    assert signatures(queued(host, "by submission"), dns) == ["mail.example.com"]


def test_mail_of_programs_is_signed(host: Host, dns: Dns) -> None:
    """By sendmail(1), and by SMTP from the machine itself."""
    text = f"From: jane@example.com\nTo: {OUTSIDE}\nSubject: by sendmail\n\nHello.\n"
    done = host.inside("sendmail", "-f", "jane@example.com", OUTSIDE, stdin=text)
    assert done.returncode == 0, done.stderr
    assert signatures(queued(host, "by sendmail"), dns) == ["mail.example.com"]
    host.send(OUTSIDE, "--from", "jane@example.com", "--header", "Subject: by a program")
    assert signatures(queued(host, "by a program"), dns) == ["mail.example.com"]


def test_while_the_signer_is_down_submissions_are_refused_for_now(host: Host) -> None:
    pid = host.read("/var/lib/mailroster/locks/opendkim-rsa.pid").strip()
    host.run("kill", "-STOP", pid)
    try:
        shown = host.send(
            OUTSIDE, "--from", "jane@example.com", "--port", "587", "-tls", "--auth", "PLAIN",
            "--auth-user", "jane@example.com", "--auth-password", "secret",
            "--header", "Subject: unsigned",
        )  # fmt: skip
        assert "queued as" not in shown
    finally:
        host.run("kill", "-CONT", pid)


def test_an_undo_leaves_nothing(host: Host) -> None:
    """Also of keys that were removed: the next integration takes the milters out."""
    host.run("rm", "-r", "/etc/mailroster/opendkim")
    until(lambda: "example.com" not in host.read("/var/lib/mailroster/dkim/rsa/KeyTable"))
    host.stop_watch()
    done = host.setup("integrate", "--apply")
    assert done.returncode == 0, done.stderr
    assert "milter" not in host.run("postconf", "-n") + host.run("postconf", "-P")
    host.watch()
