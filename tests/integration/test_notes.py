"""Locks and end dates, as a user and his mail client see them."""

import imaplib
import poplib
import smtplib
import subprocess
import time

import pytest

from mailroster.app.passwords.hashing import hash_password
from mailroster.roster.formats.credentials import locked
from mailroster.roster.formats.hash_cost import SCHEMES
from tests.support.instance import HASH, PASSWORD, Instance, save, until

ACCOUNTS, ALIASES = "postfix-accounts.cf", "postfix-virtual.cf"


@pytest.fixture(scope="module")
def live(server: Instance) -> Instance:
    for user in ("keep", "bob", "guest"):
        server.setup("email", "add", f"{user}@x.com", "--hash", HASH)
    server.setup("dovecot-master", "add", "admin", "master")
    return server


def test_a_locked_account_is_refused_everywhere_and_gets_its_mail(live: Instance) -> None:
    with live.imap("bob@x.com") as goes, live.imap("keep@x.com") as stays:
        live.setup("email", "lock", "bob@x.com", "--comment", "laptop stolen")
        with pytest.raises(imaplib.IMAP4.abort):
            for _ in range(100):
                goes.noop()
        assert stays.noop()[0] == "OK"
    assert "bob@x.com|{SHA512-CRYPT}!$6$" in live.file(ACCOUNTS).read_text()
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"), live.imap("bob@x.com"):
        pass
    pop3 = live.pop3()
    pop3.user("bob@x.com")
    with pytest.raises(poplib.error_proto, match="AUTH"):
        pop3.pass_(PASSWORD)
    with live.smtp("submission") as smtp:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            smtp.login("bob@x.com", PASSWORD)
        assert refused.value.smtp_code == 535
    live.send("bob@x.com", subject="while locked")
    assert live.can_log_in("bob@x.com*admin", "master")
    assert "bob@x.com" in live.doveadm("user", "*@x.com")
    said = (live.home / "mail-logs/dovecot.log").read_text()
    assert "Error" not in said, said
    live.setup("email", "update", "bob@x.com", "another")
    live.setup("email", "unlock", "bob@x.com")
    live.arrives("bob@x.com", "while locked", "another")


def test_what_is_over_is_put_into_effect(live: Instance) -> None:
    live.setup("email", "restrict", "add", "receive", "keep@x.com")
    live.setup("alias", "add", "fair@x.com", "guest@x.com,keep@x.com")
    assert live.rcpt("fair@x.com")[0] == 250
    assert live.rcpt("keep@x.com")[0] == 554
    live.setup("email", "lock", "bob@x.com", "--until", "2s")
    live.setup("email", "restrict", "add", "receive", "keep@x.com", "--until", "2s")
    live.setup("alias", "add", "fair@x.com", "guest@x.com", "--until", "2s")
    soon = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 2))
    accounts = live.file(ACCOUNTS)
    text = accounts.read_text().replace("guest@", f"# mine\n# mailroster: until {soon}\nguest@")
    save(accounts, text)  # at once: accounts that seem to vanish are held back, and that is told
    until(lambda: live.rcpt("fair@x.com")[0] == 550)
    until(lambda: live.rcpt("keep@x.com")[0] == 250)
    until(lambda: "guest@x.com|{SHA512-CRYPT}!$6$" in accounts.read_text())
    until(lambda: "bob@x.com|{SHA512-CRYPT}$6$" in accounts.read_text())
    live.setup("apply")
    assert live.can_log_in("bob@x.com", "another")
    assert not live.can_log_in("guest@x.com")
    assert live.file(ALIASES).read_text() == ""
    assert f"# mine\n# mailroster: comment locked: expired on {soon}\nguest@x.com|" in (
        accounts.read_text()
    )
    assert "'fair@x.com' has expired" in live.log.read_text()
    assert "held" not in live.log.read_text()
    assert "root: mailroster up\n" in live.setup("log")


def test_an_end_date_that_cannot_be_read_is_told_by_line(live: Instance) -> None:
    with live.file(ALIASES).open("a") as file:
        file.write("# mailroster: until next week\nnext@x.com keep@x.com\n")
    until(lambda: f"{ALIASES}:1: error: 'next week' is not a date" in live.log.read_text())
    assert live.rcpt("next@x.com")[0] == 250


@pytest.mark.parametrize("scheme", [*SCHEMES, "SSHA512", "PBKDF2", "SHA256", "CRAM-MD5"])
def test_no_password_has_a_locked_hash_for_dovecot_itself(scheme: str) -> None:
    """So whoever else reads the file refuses it too."""

    def verifies(hash: str, password: str) -> bool:
        argv = ["doveadm", "-O", "pw", "-t", hash, "-p", password]
        return subprocess.run(argv, capture_output=True).returncode == 0

    if scheme in SCHEMES:
        hash = hash_password(PASSWORD, scheme)
    else:
        argv = ["doveadm", "-O", "pw", "-s", scheme, "-p", PASSWORD]
        hash = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    assert verifies(hash, PASSWORD)
    for password in (PASSWORD, f"!{PASSWORD}", "!", hash):
        assert not verifies(locked(hash), password)
