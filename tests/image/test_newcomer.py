"""The first seven steps of who knows this system as a container, one after the other."""

from collections.abc import Iterator

import pytest

from tests.support.container import Container, container
from tests.support.instance import until


@pytest.fixture(scope="module")
def new() -> Iterator[Container]:
    """A container that has just been started, without any account."""
    fresh = container()
    try:
        fresh.start()
        yield fresh
    finally:
        fresh.close()


def test_it_starts_without_an_account(new: Container) -> None:
    until(lambda: "ready: SMTP" in new.logs())
    assert new.bash("setup email list") == ""


def test_accounts_an_alias_and_a_quota_are_made_in_a_shell_in_it(new: Container) -> None:
    new.bash(
        "setup email add john.doe@example.com secret\n"
        "setup email add jane.doe@example.com other-secret\n"
        "setup alias add info@example.com john.doe@example.com,jane.doe@example.com\n"
        "setup quota set jane.doe@example.com 5G\n"
    )
    assert "john.doe@example.com|{SHA512-CRYPT}" in (new.config / "postfix-accounts.cf").read_text()


def test_who_is_outside_logs_in_and_mail_gets_in_through_a_published_port(new: Container) -> None:
    assert new.can_log_in("john.doe@example.com", "secret")
    assert not new.can_log_in("john.doe@example.com", "wrong")
    new.send("info@example.com", subject="from elsewhere")
    new.arrives("john.doe@example.com", "from elsewhere", "secret")
    new.arrives("jane.doe@example.com", "from elsewhere", "other-secret")


def test_mail_is_sent_with_a_password_on_both_ports_of_submission(new: Container) -> None:
    for kind in ("submission", "submissions"):
        with new.smtp(kind) as session:
            session.login("john.doe@example.com", "secret")
            text = f"Subject: by {kind}\n\nhello\n"
            session.sendmail("john.doe@example.com", ["jane.doe@example.com"], text)
        new.arrives("jane.doe@example.com", f"by {kind}", "other-secret")


def test_what_a_sieve_script_sends_leaves_by_this_postfix(new: Container) -> None:
    """The world is out of reach here: the log tells for whom Postfix has tried."""
    script = new.config / "jane.doe@example.com.dovecot.sieve"
    script.write_text(
        'require ["vacation", "enotify", "copy"];\nredirect :copy "john.doe@example.com";\n'
        'redirect :copy "friend@elsewhere.invalid";\nredirect :copy "nobody@example.com";\n'
        'vacation "away";\nnotify "mailto:pager@elsewhere.invalid";\n'
    )
    until(lambda: "jane.doe@example.com, live" in new.bash("setup sieve list"))
    new.send("jane.doe@example.com", subject="by Sieve")
    new.arrives("john.doe@example.com", "by Sieve", "secret")
    for address in ("friend@elsewhere.invalid", "pager@elsewhere.invalid", "somebody@elsewhere"):
        until(lambda address=address: f"to=<{address}" in new.logs())  # type: ignore[misc]
    new.arrives("jane.doe@example.com", "by Sieve", "other-secret")
    assert "not sent for jane.doe@example.com: 550 5.1.1 <nobody@example.com>" in new.logs()
    script.unlink()
    new.bash("postsuper -d ALL")
    until(lambda: "live" not in new.bash("setup sieve list"))


def test_the_servers_programs_need_no_flag(new: Container) -> None:
    said = new.bash(
        "postconf -h myhostname\nmailq\ndoveadm user '*'\ndoveconf -h auth_cache_size\n"
        "postmap -q info@example.com lmdb:/var/mail-state/tables/aliases\n"
        "su -s /bin/sh vmail -c mailq\n"
    )
    assert said.splitlines()[:2] == ["mail.example.com", "Mail queue is empty"]
    assert "jane.doe@example.com\njohn.doe@example.com\n" in said
    assert "john.doe@example.com,jane.doe@example.com" in said.replace(", ", ",")
    assert "Warning" not in new.run("doveconf", "-n").stderr


def test_what_the_servers_log_is_printed_and_kept_in_the_folder(new: Container) -> None:
    kept = (new.folder / "mail-logs/mail.log").read_text()
    for words in ("postfix/smtpd", "dovecot: ", "status=sent"):
        assert words in kept
        assert words in new.logs()


def test_it_stops_within_five_seconds_and_starts_again_with_everything(new: Container) -> None:
    listed = new.bash("setup email list --json\nsetup alias list\n")
    certificate = (new.folder / "mail-state/tls/cert.pem").read_bytes()
    took_s = new.stop()
    assert new.exit_code() == 0
    # How long that takes is measured in the benchmarks; no stop may need the patience of podman.
    assert took_s < 30
    new.start()
    assert new.bash("setup email list --json\nsetup alias list\n") == listed
    assert (new.folder / "mail-state/tls/cert.pem").read_bytes() == certificate
    assert new.subjects("jane.doe@example.com", "other-secret")[0] == "from elsewhere"
    new.send("info@example.com", subject="after the start")
    new.arrives("john.doe@example.com", "after the start", "secret")
