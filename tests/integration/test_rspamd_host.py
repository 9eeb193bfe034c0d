"""A host's own Postfix uses the spam filter that `watch` runs, once it is integrated."""

from collections.abc import Iterator

import pytest

from tests.support.host import Host
from tests.support.instance import until
from tests.support.spam import MARKED, REFUSED, TESTABLE

JANE = "jane@example.com"
TOML = "/etc/mailroster/mailroster.toml"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    found = Host()
    try:
        found.run("postconf", "-e", "defer_transports = smtp")
        found.run("mkdir", "-p", "/etc/mailroster/rspamd/override.d")
        found.write("/etc/mailroster/rspamd/override.d/options.inc", TESTABLE)
        found.write(TOML, "enable_rspamd = true\n")
        done = found.setup("email", "add", JANE, "secret")
        assert done.returncode == 0, done.stderr
        found.setup("tables")
        done = found.setup("integrate", "--apply")
        assert done.returncode == 0, done.stderr
        found.watch()
        found.start()
        until(lambda: "Rspamd filters" in found.log.read_text(), 180, found.log.read_text)
        yield found
        found.stop()
    finally:
        found.close()


def test_it_is_integrated(host: Host) -> None:
    checked = host.setup("integrate", "--check")
    assert (checked.returncode, checked.stdout) == (0, "integrated\n")
    assert host.run("postconf", "-h", "smtpd_milters").strip() == "$mailroster_rspamd"


def test_spam_is_refused_or_filed(host: Host) -> None:
    assert "554 5.7.1" in host.send(JANE, "--body", REFUSED)
    assert "queued as" in host.send(JANE, "--body", MARKED, "--header", "Subject: marked")
    assert "queued as" in host.send(JANE, "--header", "Subject: plain")
    until(lambda: "Subject: plain" in host.mail(JANE), evidence=host.evidence)
    until(lambda: host.run("doveadm", "search", "-u", JANE, "mailbox", "Junk", "all") != "")
    assert "Subject: marked" not in host.mail(JANE)


def test_a_submission_does_not_pass_the_filter(host: Host) -> None:
    shown = host.send(
        "friend@elsewhere.example", "--from", JANE, "--port", "587", "-tls", "--auth", "PLAIN",
        "--auth-user", JANE, "--auth-password", "secret", "--body", REFUSED,
    )  # fmt: skip
    assert "queued as" in shown


def test_without_the_setting_the_next_integration_takes_it_out(host: Host) -> None:
    pid = host.read("/var/lib/mailroster/rspamd/data/rspamd.pid").strip()
    host.stop_watch()
    assert host.inside("kill", "-0", pid).returncode != 0
    host.run("postconf", "-e", "smtpd_milters = inet:127.0.0.1:9, $mailroster_rspamd")
    host.run("postconf", "-e", "milter_default_action = accept")
    host.write(TOML, "")
    done = host.setup("integrate", "--apply")
    assert done.returncode == 0, done.stderr
    shown = host.run("postconf", "-n") + host.run("postconf", "-P")
    assert "rspamd" not in shown
    assert host.run("postconf", "-h", "smtpd_milters").strip() == "inet:127.0.0.1:9"
    assert "spam-sieve" not in host.run("doveconf", "-n")
