"""`tables`, `watch` and `integrate` on a host whose Postfix and Dovecot are those of Debian's
packages, and start and stop by themselves."""

import json
import sys
from collections.abc import Iterator

import pytest

from tests.support.host import Host
from tests.support.instance import HASH, PASSWORD, until

MAIN, MASTER = "/etc/postfix/main.cf", "/etc/postfix/master.cf"
AUTH, DROP_IN = "/etc/dovecot/conf.d/10-auth.conf", "/etc/dovecot/conf.d/99-mailroster.conf"
#: With it an account is no row, but a line of a passwd-file.
FIELD = "userdb_nice=3"
TOUCHED = (MAIN, MASTER, AUTH)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    found = Host()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def before(host: Host) -> dict[str, str]:
    """The host's files as its administrator has them."""
    host.write("/etc/postfix/virtual", "own@example.org john@example.com\n")
    host.run("postmap", "lmdb:/etc/postfix/virtual")
    host.run("postconf", "-e", "virtual_alias_maps = lmdb:/etc/postfix/virtual")
    return {path: host.read(path) for path in TOUCHED}


@pytest.fixture(scope="module")
def served(host: Host, before: dict[str, str]) -> Iterator[Host]:
    """Integrated, with servers that run, and `watch`."""
    done = host.setup("integrate", "--apply")
    assert done.returncode == 0, done.stderr
    host.start()
    host.watch()
    for name in ("john", "jane"):
        done = host.setup("email", "add", f"{name}@example.com", "secret")
        assert (done.returncode, done.stderr) == (0, "")
    yield host
    host.stop()


def test_it_shows_what_it_would_replace_and_changes_nothing(
    host: Host, before: dict[str, str]
) -> None:
    shown = host.setup("integrate")
    assert shown.returncode == 0, shown.stderr
    assert "# was: virtual_alias_maps = lmdb:/etc/postfix/virtual\n" in shown.stdout
    assert "virtual_alias_maps = $mailroster_aliases, lmdb:/etc/postfix/virtual\n" in shown.stdout
    assert "# was: !include auth-system.conf.ext\n" in shown.stdout
    assert host.setup("integrate", "--check").returncode == 1
    told = json.loads(host.setup("integrate", "--json").stdout)
    assert told["integrated"] is False
    assert {"file": DROP_IN, "new": True, "removed": False} in told["files"]
    assert {path: host.read(path) for path in TOUCHED} == before
    assert (
        host.setup("integrate", "--undo").stderr
        == "setup: nothing to undo: the servers are not integrated\n"
    )


def test_a_file_that_dovecot_cannot_read_leaves_all_as_it_was(
    host: Host, before: dict[str, str]
) -> None:
    whole = host.read("/etc/dovecot/local.conf")
    host.write("/etc/dovecot/local.conf", "no_such_setting = 1\n")
    done = host.setup("integrate", "--apply")
    host.write("/etc/dovecot/local.conf", whole)
    assert done.returncode == 1
    assert "Dovecot can't read its configuration" in done.stderr
    assert {path: host.read(path) for path in TOUCHED} == before


def test_it_is_integrated_once(served: Host) -> None:
    """Its second time finds nothing to do, and commands of the host need no word of the layout."""
    files = {path: served.read(path) for path in (*TOUCHED, DROP_IN)}
    for words in (["integrate"], ["integrate", "--check"], ["integrate", "--apply"]):
        done = served.setup(*words)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "integrated"), done.stderr
    told = json.loads(served.setup("integrate", "--json").stdout)
    (warning,) = told.pop("warnings")
    assert warning.startswith(
        "clients of mynetworks (127.0.0.0/8 [::1]/128) can send to any address"
    )
    assert told == {"integrated": True, "files": [], "settings": []}
    assert {path: served.read(path) for path in files} == files


def test_a_new_account_logs_in_at_once_and_gets_its_mail(served: Host) -> None:
    """Even if its domain is listed in mydestination, where Debian puts the mail name."""
    assert served.can_log_in("john@example.com")
    assert not served.can_log_in("john@example.com", "wrong")
    assert "250 2.0.0 Ok: queued" in served.send("john@example.com", "--header", "Subject: one")
    until(lambda: "Subject: one" in served.mail("john@example.com"))
    assert "550 5.1.1" in served.send("nobody@example.com")
    assert "250 2.0.0 Ok" in served.send("own@example.org", "--header", "Subject: theirs")
    folders = served.run("ls", "-A", "/var/mail/vhosts/example.com/john").split()
    assert "cur" in folders and ".INBOX" not in folders
    listed = served.setup("email", "list").stdout
    assert "* jane@example.com ( 0 / ~ ) [0%]" in listed


_TWENTY_DELIVERIES = """
import smtplib, sys
sessions = [smtplib.LMTP(sys.argv[1]) for _ in range(20)]
for session in sessions:
    session.ehlo()
    session.mail("a@elsewhere.test")
    print(session.rcpt("jane@example.com")[0])
"""


def test_a_mailbox_gets_as_many_deliveries_at_once_as_postfix_makes(served: Host) -> None:
    """By its default, Dovecot 2.4 defers all but ten, for five minutes."""
    transport = served.run("postconf", "-h", "virtual_transport").strip()
    socket = "/var/spool/postfix/" + transport.removeprefix("lmtp:unix:")
    answers = served.run(sys.executable, "-c", _TWENTY_DELIVERIES, socket).split()
    assert answers == ["250"] * 20


def test_an_edit_by_hand_is_followed(served: Host) -> None:
    served.write("/etc/mailroster/postfix-virtual.cf", "info@example.com jane@example.com\n")
    until(lambda: "250 2.1.5" in served.send("info@example.com", "--quit-after", "RCPT"))
    accounts = served.read("/etc/mailroster/postfix-accounts.cf")
    served.write(
        "/etc/mailroster/postfix-accounts.cf", f"{accounts}ann@example.com|{HASH}|{FIELD}\n"
    )
    until(lambda: served.can_log_in("ann@example.com"))
    assert "250 2.0.0 Ok" in served.send("ann@example.com", "--header", "Subject: fields")
    until(lambda: "Subject: fields" in served.mail("ann@example.com"))
    assert "cur" in served.run("ls", "/var/mail/vhosts/example.com/ann")
    assert "cur" in served.run("ls", "/var/mail/vhosts/example.com/john")


def test_mail_is_submitted_by_who_logs_in(served: Host) -> None:
    login = ("--port", "587", "-tls", "--auth", "PLAIN", "--auth-user", "john@example.com")
    argv = ("--header", "Subject: sent", *login, "--auth-password")
    said = served.send("jane@example.com", *argv, "secret")
    assert "250 2.0.0 Ok: queued" in said, said
    assert "535 5.7.8" in served.send("jane@example.com", *argv, "wrong")
    served.setup("email", "restrict", "add", "send", "john@example.com")
    assert "554 5.7.1" in served.send("jane@example.com", *argv, "secret")


def test_app_passwords_and_the_services_of_a_main_password(served: Host) -> None:
    def submits(user: str, password: str) -> bool:
        login = ("--port", "587", "-tls", "--auth", "PLAIN", "--auth-user", user)
        said = served.send(user, "--quit-after", "AUTH", *login, "--auth-password", password)
        assert "235 2.7.0" in said or "535 5.7.8" in said, said
        return "235 2.7.0" in said

    add = ("email", "app-password", "add", "jane@example.com")
    phone = served.setup(*add, "phone", "--for", "imap").stdout.strip()
    printer = served.setup(*add, "printer", "--for", "smtp").stdout.strip()
    for password, opens in ((phone, (True, False)), (printer, (False, True))):
        assert served.can_log_in("jane@example.com", password) == opens[0]
        assert submits("jane@example.com", password) == opens[1]
    served.setup("email", "app-password", "del", "jane@example.com", "phone")
    assert not served.can_log_in("jane@example.com", phone)
    accounts = served.read("/etc/mailroster/postfix-accounts.cf")
    more = f"sends@example.com|{HASH}|services=smtp\nodd@example.com|{HASH}|services=imap {FIELD}\n"
    served.write("/etc/mailroster/postfix-accounts.cf", accounts + more)
    until(lambda: submits("sends@example.com", PASSWORD))
    assert not served.can_log_in("sends@example.com")
    until(lambda: served.can_log_in("odd@example.com"))
    assert not submits("odd@example.com", PASSWORD)


def test_what_a_sieve_script_sends_leaves_by_this_postfix(served: Host) -> None:
    """To another account, and to the world, which is out of reach here: that stays in the queue."""
    script = """
        require ["vacation", "enotify", "reject", "copy"];
        redirect :copy "john@example.com";
        redirect :copy "friend@elsewhere.invalid";
        redirect "nobody@example.com";
        vacation :from "jane@example.com" "away";
        notify "mailto:pager@elsewhere.invalid";
        """
    served.write("/etc/mailroster/jane@example.com.dovecot.sieve", script)
    until(lambda: "jane@example.com, live" in served.setup("sieve", "list").stdout)
    served.send("jane@example.com", "--header", "Subject: by Sieve")
    until(lambda: "Subject: by Sieve" in served.mail("john@example.com", "secret"))

    def waiting() -> str:
        return served.inside("postqueue", "-j").stdout

    for address in ("friend@elsewhere.invalid", "pager@elsewhere.invalid", "a@elsewhere.test"):
        until(lambda address=address: address in waiting())  # type: ignore[misc]
    # What is refused is kept: jane's own Postfix knows no nobody.
    until(lambda: "Subject: by Sieve" in served.mail("jane@example.com", "secret"))
    assert "not sent for jane@example.com: 550 5.1.1" in served.read("/var/log/dovecot.log")
    served.run("rm", "/etc/mailroster/jane@example.com.dovecot.sieve")
    served.run("postsuper", "-d", "ALL")
    for name in ("john", "jane"):
        served.delete(f"{name}@example.com")
    until(lambda: "live" not in served.setup("sieve", "list").stdout)


@pytest.mark.parametrize("watched", [True, False], ids=["with watch", "by Dovecot without it"])
def test_a_full_mailbox_refuses(served: Host, watched: bool) -> None:
    """At RCPT; our service gives no OK, which would be the end of the host's own restrictions."""
    if not watched:
        assert served.stop_watch() == 0
    try:
        served.send("jane@example.com", "--header", "Subject: large", "--body", "line\\n" * 600)
        until(lambda: served.mail("jane@example.com").count("line") > 100)
        assert served.setup("quota", "set", "jane@example.com", "1k").returncode == 0
        said = served.send("jane@example.com", "--quit-after", "RCPT")
        assert "552 5.2.2" in said and "Mailbox is full" in said, said
        assert served.setup("quota", "del", "jane@example.com").returncode == 0
        assert "250 2.1.5" in served.send("jane@example.com", "--quit-after", "RCPT")
        served.delete("jane@example.com")
    finally:
        if not watched:
            served.watch()


def test_only_one_watches_and_status_knows_it(served: Host) -> None:
    assert served.stop_watch() == 0
    served.watch()
    told = json.loads(served.setup("status", "--json").stdout)
    assert all(told["running"].values()), "all of it runs as soon as it says that it is ready"
    assert set(told["running"]) == {"watch", "postfix", "dovecot", "policy"}
    second = served.setup("watch")
    assert second.returncode == 1
    assert "'mailroster watch' runs already" in second.stderr
    assert "run 'mailroster watch'" in served.setup("up").stderr


def test_a_lock_ends_a_session_that_a_crashed_dovecot_has_left(served: Host) -> None:
    """The host's own Dovecot, which we neither start nor stop."""
    login = "(printf 'a LOGIN john@example.com secret\\r\\n'; sleep 600)"
    client = "openssl s_client -quiet -connect 127.0.0.1:993 >/run/session 2>&1"
    served.run("sh", "-c", f"({login} | {client}) >/dev/null 2>&1 &")
    until(lambda: "a OK" in served.inside("cat", "/run/session").stdout)
    served.run("sh", "-c", "kill -9 $(cat /run/dovecot/master.pid)")
    assert served.run("pgrep", "-x", "imap").split(), "else the test shows nothing"
    done = served.setup("email", "lock", "john@example.com")
    assert (done.returncode, done.stderr) == (0, "")
    assert served.inside("pgrep", "-x", "imap").stdout == ""
    served.run("sh", "-c", "/usr/sbin/dovecot >/run/started 2>&1")
    assert not served.can_log_in("john@example.com")
    assert served.setup("email", "unlock", "john@example.com").returncode == 0
    until(lambda: served.can_log_in("john@example.com"))


#: Logs in, and says what MAIL and RCPT answer before a command runs and after it.
_OPEN_SESSION = """
import smtplib, ssl, subprocess, sys
trusting = ssl._create_unverified_context()
with smtplib.SMTP_SSL("127.0.0.1", 465, timeout=30, context=trusting) as session:
    session.login(sys.argv[1], "secret")
    def answer():
        session.rset()
        session.mail("jane@example.com")
        print(*session.rcpt("jane@example.com"))
    answer()
    subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
    answer()
"""


def test_an_open_session_sends_no_more_once_its_account_is_locked_or_deleted(served: Host) -> None:
    user = "only@alone.test"
    assert served.setup("email", "add", user, "secret").returncode == 0
    setup = [sys.executable, "-m", "mailroster", "email"]
    for words in (["lock", user], ["del", "-y", user]):
        said = served.inside(sys.executable, "-c", _OPEN_SESSION, user, *setup, *words)
        assert said.returncode == 0, said.stderr
        first, second = said.stdout.splitlines()
        assert (first[:4], second[:4]) == ("250 ", "554 "), said.stdout
        assert f"the account {user} is locked or does not exist any more" in second
        if words[0] == "lock":
            served.setup("email", "unlock", user)


def test_a_deleted_account_is_gone_and_refused(served: Host) -> None:
    assert served.setup("email", "del", "-y", "john@example.com").returncode == 0
    assert not served.can_log_in("john@example.com")
    assert "550 5.1.1" in served.send("john@example.com")
    found = served.setup("explain", "john@example.com")
    assert (found.returncode, "Postfix and Dovecot say the same" in found.stdout) == (0, True)


def test_an_undo_puts_back_what_was(served: Host, before: dict[str, str]) -> None:
    """Last of all; it asks where somebody has changed a file since."""
    served.run("postconf", "-e", "myhostname = other.example.test")
    refused = served.setup("integrate", "--undo")
    assert refused.returncode == 1
    assert MAIN in refused.stderr and MASTER not in refused.stderr
    done = served.setup("integrate", "--undo", "--force", "--reload")
    assert done.returncode == 0, done.stderr
    assert {path: served.read(path) for path in TOUCHED} == before
    assert served.inside("ls", DROP_IN, "/etc/dovecot/mailroster").returncode != 0
    assert served.stop_watch() == 0
