"""Relays, local aliases, Sieve scripts and overrides, on two real servers: ours, and a relay."""

import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, message, until
from tests.support.sink import Sink

SECRET = "b|nd: geh e#im"
FILING = 'require ["fileinto", "mailbox"];\nif header :contains "subject" "{}" {{\n'
FILING += '  fileinto :create "{}";\n  stop;\n}}\n'


class Ways(NamedTuple):
    """Our server; the relay, which wants a login; and where mail lands that goes straight."""

    ours: Instance
    relay: Instance
    direct: Sink


@pytest.fixture(scope="module")
def ways() -> Iterator[Ways]:
    direct, relay = Sink("127.0.0.9", 25), Instance(hostname="relay.test")
    ours = Instance()  # its relay for all is its own sink
    try:
        relay.setup("email", "add", "customer@relay.test", SECRET)
        relay.start()
        accounts = [f"{user}@{domain}|{HASH}\n" for user, domain in WHO]
        ours.file("postfix-accounts.cf").write_text("".join(accounts))
        ours.file("postfix-main.cf").write_text("message_size_limit = 5000000\n")
        ours.file("postfix-master.cf").write_text(
            "submission/inet/smtpd_banner = overridden ESMTP\nsmtps/inet/smtpd_helo_required=no\n"
        )
        ours.file("dovecot.cf").write_text("login_greeting = overridden\n")
        ours.start()
        yield Ways(ours, relay, direct)
    finally:
        ours.close()
        relay.close()
        direct.close()


WHO = (("a", "relayed.test"), ("b", "excluded.test"), ("c", "default.test"), ("d", "sieve.test"))


def send_out(ways: Ways, sender: str, recipient: str) -> None:
    with ways.ours.smtp("submissions") as session:
        session.login(sender, PASSWORD)
        session.sendmail(sender, [recipient], message("out", recipient).as_bytes())


def got(sink: Sink, recipient: str) -> bool:
    return any(recipient in taken.recipients for taken in sink.taken)


def test_mail_of_a_domain_goes_through_its_relay_with_its_login(ways: Ways) -> None:
    port = str(ways.relay.ports["submission"])
    ways.ours.setup("relay", "add-domain", "relayed.test", "127.0.0.1", port)
    ways.ours.setup("relay", "add-auth", "relayed.test", "customer@relay.test", "wrong")
    send_out(ways, "a@relayed.test", "one@elsewhere.test")
    log = ways.ours.home / "mail-logs/mail.log"
    until(lambda: "SASL authentication failed" in log.read_text())
    words = ("relay", "add-auth", "relayed.test", "customer@relay.test", "--password-stdin")
    ways.ours.setup(*words, stdin=f"{SECRET}\n")
    postfix = ways.ours.state / "postfix"
    subprocess.run(["postqueue", "-c", postfix, "-f"], check=True)
    until(lambda: got(ways.relay.sink, "one@elsewhere.test"))
    theirs = (ways.relay.home / "mail-logs/mail.log").read_text()
    assert "sasl_method=PLAIN, sasl_username=customer@relay.test" in theirs
    assert SECRET not in log.read_text() + ways.ours.setup("relay", "list", "--json")


def test_a_domain_that_is_excluded_goes_straight_even_past_the_relay_for_all(ways: Ways) -> None:
    send_out(ways, "b@excluded.test", "before@[127.0.0.9]")
    until(lambda: got(ways.ours.sink, "before@[127.0.0.9]"))
    ways.ours.setup("relay", "exclude-domain", "excluded.test")
    ways.ours.setup("relay", "add-auth", "excluded.test", "never", "said")
    send_out(ways, "b@excluded.test", "after@[127.0.0.9]")
    until(lambda: got(ways.direct, "after@[127.0.0.9]"))
    assert not got(ways.ours.sink, "after@[127.0.0.9]")


def test_all_others_go_through_the_relay_for_all(ways: Ways) -> None:
    send_out(ways, "c@default.test", "any@[127.0.0.9]")
    until(lambda: got(ways.ours.sink, "any@[127.0.0.9]"))


def test_a_relay_by_hand_is_live_and_so_is_its_end(ways: Ways) -> None:
    file = ways.ours.file("postfix-relaymap.cf")
    before = file.read_text()
    file.write_text(f"{before}c@default.test [127.0.0.9]:25\n")
    until(lambda: relayed(ways, "c@default.test") == "relayed:[127.0.0.9]:25")
    send_out(ways, "c@default.test", "hand@[127.0.0.9]")
    until(lambda: got(ways.direct, "hand@[127.0.0.9]"))
    file.write_text(before)
    until(lambda: relayed(ways, "c@default.test") == "")
    send_out(ways, "c@default.test", "hand-2@[127.0.0.9]")
    until(lambda: got(ways.ours.sink, "hand-2@[127.0.0.9]"))


def relayed(ways: Ways, sender: str) -> str:
    table = f"lmdb:{ways.ours.state}/tables/relays"
    argv = ["postmap", "-c", str(ways.ours.state / "postfix"), "-q", sender, table]
    return subprocess.run(argv, capture_output=True, text=True).stdout.strip()


def test_only_root_reads_the_passwords_of_relays(ways: Ways) -> None:
    private = [ways.ours.state / "tables/relay_passwords.lmdb"]
    private += [ways.ours.config / "postfix-sasl-password.cf"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in private}
    assert modes == dict.fromkeys(modes, 0o600)
    for path in ways.ours.state.rglob("*"):
        if path.is_file() and not path.is_symlink() and SECRET.encode() in path.read_bytes():
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_local_aliases_are_live_and_nothing_is_run(ways: Ways) -> None:
    ran = ways.ours.home / "ran"
    ways.ours.file("postfix-aliases.cf").write_text(
        f"Abuse: root, d@sieve.test\nroot: chief\nchief: a@relayed.test\nevil: |touch {ran}\n"
    )
    until(lambda: ways.ours.rcpt("abuse@mail.example.test")[0] == 250)
    ways.ours.send("ABUSE@mail.example.test", subject="to the abuse desk")
    for user in ("d@sieve.test", "a@relayed.test"):
        ways.ours.arrives(user, "to the abuse desk")
    assert ways.ours.rcpt("evil@mail.example.test")[0] == 550
    assert ways.ours.rcpt("abuse@sieve.test")[0] == 550
    found = ways.ours.run("check").stdout
    assert re.search(r"^postfix-aliases\.cf:4: error: .*\[unsafe-recipient\]$", found, re.M)
    assert not ran.exists()
    ways.ours.file("postfix-aliases.cf").unlink()
    until(lambda: ways.ours.rcpt("abuse@mail.example.test")[0] == 550)


def filed(ways: Ways, subject: str) -> str:
    """The mailbox of d@sieve.test into which a message is filed."""
    ways.ours.send("d@sieve.test", subject=subject)
    found: list[str] = []

    def is_there() -> bool:
        words = ("fetch", "-u", "d@sieve.test", "mailbox", "header", "subject", subject)
        found[:] = re.findall(r"^mailbox: (.*)$", ways.ours.doveadm(*words), re.M)
        return bool(found)

    until(is_there)
    return found[0]


def is_live(ways: Ways, name: str) -> bool:
    return f"* {name}, live" in ways.ours.setup("sieve", "list")


def test_a_script_saved_by_hand_sorts_the_mail_of_its_account(ways: Ways) -> None:
    script = ways.ours.file("D@Sieve.test.dovecot.sieve")
    script.write_text(FILING.format("sorted", "Own"))
    until(lambda: is_live(ways, "d@sieve.test"))
    assert filed(ways, "sorted 1") == "Own"
    script.write_text(FILING.format("sorted", "Else"))
    until(lambda: is_live(ways, "d@sieve.test"))
    assert filed(ways, "sorted 2") == "Else"


def test_a_script_with_an_error_is_told_by_its_line_and_the_old_one_stays(ways: Ways) -> None:
    script = ways.ours.file("D@Sieve.test.dovecot.sieve")
    good = script.read_text()
    script.write_text(f"{good}nonsense;\n")
    place = f"{script.name}:6: error: "
    until(lambda: place in ways.ours.log.read_text())
    assert place in ways.ours.run("check").stdout
    status = ways.ours.run("status")
    assert (status.returncode, place in status.stdout) == (1, True)
    assert filed(ways, "sorted 3") == "Else"
    script.write_text(good)
    until(lambda: ways.ours.run("status").returncode == 0)


def test_scripts_for_all_run_before_and_after(ways: Ways) -> None:
    ways.ours.file("before.dovecot.sieve").write_text(FILING.format("early", "Before"))
    ways.ours.file("after.dovecot.sieve").write_text(FILING.format("late", "After"))
    until(lambda: is_live(ways, "before") and is_live(ways, "after"))
    assert filed(ways, "early sorted") == "Before"
    assert filed(ways, "late") == "After"
    assert filed(ways, "late sorted") == "Else"


def test_the_user_s_own_script_counts_before_that_of_the_folder(ways: Ways) -> None:
    home = ways.ours.mail / "sieve.test/d/home"
    home.mkdir(exist_ok=True)
    own = home / ".dovecot.sieve"
    own.write_text(FILING.format("sorted", "Private"))
    subprocess.run(["chown", "-R", "5000:5000", home], check=True)
    assert filed(ways, "sorted 4") == "Private"
    own.unlink()
    (home / ".dovecot.svbin").unlink(missing_ok=True)
    assert filed(ways, "sorted 5") == "Else"


def test_a_script_that_is_removed_sorts_no_more(ways: Ways) -> None:
    for file in ("D@Sieve.test", "before", "after"):
        ways.ours.file(f"{file}.dovecot.sieve").unlink()
    until(lambda: not list((ways.ours.state / "sieve").rglob("*.sieve")))
    assert filed(ways, "early late sorted") == "INBOX"
    # Between a script and its binary a message is sorted by the script, which no LMTP may save.
    lines = (ways.ours.home / "mail-logs/dovecot.log").read_text().lower().split("\n")
    unsaved = ("svbin: save: failed to create", "permission to save global sieve")
    lines = [line for line in lines if not any(words in line for words in unsaved)]
    assert not [line for line in lines if "error: sieve" in line or "permission" in line]


def test_overrides_are_in_force_on_top_of_ours(ways: Ways) -> None:
    with ways.ours.smtp() as session:
        assert session.esmtp_features["size"] == "5000000"
    assert b"overridden" in greeting(ways.ours, "submission")
    assert b"overridden" not in greeting(ways.ours, "smtp")
    assert b"overridden" in greeting(ways.ours, "imap")


def test_a_change_of_overrides_waits_for_a_restart_and_an_error_changes_nothing(ways: Ways) -> None:
    ours = ways.ours
    ours.file("postfix-main.cf").write_text("message_size_limit = 6000000\n")
    ours.file("dovecot.cf").write_text("login_greeting = another\nmail_max_lock_timeout = x\n")
    status = ours.run("status")
    assert status.returncode == 1
    assert "postfix-main.cf: warning: the change waits for a restart" in status.stdout
    assert "dovecot.cf:2: error: Dovecot says: " in status.stdout
    until(lambda: "dovecot.cf:2: error: " in ours.log.read_text())
    ours.stop()
    ours.start()
    with ours.smtp() as session:
        assert session.esmtp_features["size"] == "6000000"
    assert b"overridden" in greeting(ours, "imap")
    ours.file("dovecot.cf").unlink()
    ours.stop()
    ours.start()
    assert b"overridden" not in greeting(ours, "imap")


def greeting(server: Instance, kind: str) -> bytes:
    with socket.create_connection(("127.0.0.1", server.ports[kind]), 30) as connection:
        return connection.makefile("rb").readline()


@pytest.mark.parametrize(
    ("file", "text", "place"),
    [
        ("postfix-main.cf", "# ours\nmessage_size_limit = much\n", "postfix-main.cf:2: error: "),
        ("postfix-master.cf", "smtp inet n\n", "postfix-master.cf:1: error: "),
        ("dovecot.cf", "no_such_setting = 1\n", "dovecot.cf:1: error: "),
    ],
)
def test_nothing_starts_the_first_time_with_an_error_in(file: str, text: str, place: str) -> None:
    instance = Instance()
    try:
        instance.file(file).write_text(text)
        done = instance.run("up")
        assert (done.returncode, place in done.stderr) == (1, True), done.stderr
        assert not (instance.state / "spool/pid/master.pid").exists()
    finally:
        instance.close()
