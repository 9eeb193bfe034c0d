"""What the code takes for granted of Postfix, Dovecot and the libraries, a test for each."""

import os
import signal
import smtplib
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from mailroster.app.passwords.hashing import hash_password
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.roster.formats.hash_cost import SCHEMES
from mailroster.servers.config.dovecot.versions import dialect
from mailroster.servers.version import version
from mailroster.system.files import identity
from tests.support.instance import HASH, PASSWORD, Instance, until

SECONDS = 4.0
KILLS, LOGINS = 8, 20
DELIVERIES = 20  # default_destination_concurrency_limit, postconf(5)
THIS = version()
OTHER = {"2.3": "2.4", "2.4": "2.3"}[THIS]

WRITE_LMDB = """
import sys, time
from mailroster.publish.targets.lmdb_table import LmdbTable
table, n = LmdbTable(sys.argv[1]), 0
while True:
    n += 1
    table.apply({f"w{n % 50}@x.com": str(n), f"w{(n + 7) % 50}@x.com": None})
    time.sleep(0.002)  # a writer that never pauses would starve every reader of the lock
"""

WRITE_SQLITE = """
import sys
from mailroster.publish.targets.sqlite_table import SqliteTable
from mailroster.servers.config.dovecot.schema import ACCOUNT, AccountRow
table, n = SqliteTable(sys.argv[1], ACCOUNT), 0
while True:
    n += 1
    table.apply({f"w{(n + i) % 5000}@x.com": AccountRow("x", "x.com/w") for i in range(1000)})
"""


@pytest.fixture(scope="module")
def facts(server: Instance) -> Instance:
    server.setup("email", "add", "steady@x.com", PASSWORD)
    return server


def test_postmap_reads_our_tables_and_we_read_postmaps(tmp_path: Path, facts: Instance) -> None:
    config = ["postmap", "-c", str(facts.state / "postfix")]
    ours = LmdbTable(str(tmp_path / "ours"))
    ours.apply({"a@x.com": "b@x.com", "gone@x.com": "x"})
    ours.apply({"gone@x.com": None})
    listed = subprocess.run(
        [*config, "-s", f"lmdb:{tmp_path}/ours"], capture_output=True, text=True, check=True
    )
    assert listed.stdout == "a@x.com\tb@x.com\n"
    source = tmp_path / "theirs"
    source.write_text("c@x.com d@x.com\n")
    subprocess.run([*config, f"lmdb:{source}"], check=True)
    assert LmdbTable(str(source)).read() == {"c@x.com": "d@x.com"}


def test_a_table_grows_under_its_readers(facts: Instance) -> None:
    table = LmdbTable(str(facts.state / "tables/aliases"))
    rows = {f"{n}-{'x' * 200}@big.com": "y" * 400 for n in range(40_000)}
    with facts.smtp() as session:
        session.mail("a@elsewhere.test")
        assert session.rcpt("steady@x.com")[0] == 250
        table.apply(dict(rows))
        assert session.rcpt("steady@x.com")[0] == 250
    assert facts.rcpt("steady@x.com")[0] == 250
    table.apply(dict.fromkeys(rows))
    assert "fatal" not in (facts.home / "mail-logs/mail.log").read_text()


def test_postfix_never_fails_beside_a_continuous_writer(facts: Instance) -> None:
    path = str(facts.state / "tables/mailboxes")
    writer = subprocess.Popen([sys.executable, "-c", WRITE_LMDB, path])
    try:
        codes = set()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with facts.smtp() as session:
                for _ in range(4):
                    session.mail("a@elsewhere.test")
                    codes.add(session.rcpt("steady@x.com")[0])
                    session.rset()
    finally:
        writer.kill()
        writer.wait()
    assert codes == {250}
    assert "fatal" not in (facts.home / "mail-logs/mail.log").read_text()


def test_logins_never_fail_beside_writers_that_are_killed(facts: Instance) -> None:
    path = str(facts.state / "sql/roster.db")
    done, killed, log = threading.Event(), list[int](), Path(f"{path}-wal")

    def disturb() -> None:
        while not done.is_set():
            before = identity(str(log))
            writer = subprocess.Popen([sys.executable, "-c", WRITE_SQLITE, path])
            while identity(str(log)) == before and writer.poll() is None:
                done.wait(0.01)
            done.wait(0.05)  # it writes on and on: it is killed anywhere
            killed.append(writer.poll() or 0)
            writer.send_signal(signal.SIGKILL)
            writer.wait()

    thread, logins = threading.Thread(target=disturb), list[bool]()
    thread.start()
    try:
        while len(killed) < KILLS or len(logins) < LOGINS:
            logins.append(facts.can_log_in("steady@x.com"))
            assert thread.is_alive()
    finally:
        done.set()
        thread.join()
    assert set(killed) == {0}, "a writer ended by itself"
    assert all(logins)
    facts.setup("apply", "--verify")
    assert not [user for user in facts.doveadm("user", "*").split() if user.startswith("w")]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_dovecot_takes_our_hashes(facts: Instance, scheme: str) -> None:
    hash = hash_password("pass word", scheme)
    facts.setup("email", "add", f"{scheme.lower()}@x.com", "--hash", hash)
    assert facts.can_log_in(f"{scheme.lower()}@x.com", "pass word")
    assert not facts.can_log_in(f"{scheme.lower()}@x.com", "pass words")


@pytest.mark.parametrize("scheme", ["SHA512-CRYPT", "BLF-CRYPT", "ARGON2ID", "SSHA512", "PBKDF2"])
def test_what_doveadm_makes_logs_in(facts: Instance, scheme: str) -> None:
    made = subprocess.run(
        ["doveadm", "-O", "pw", "-s", scheme, "-p", "from-doveadm"],
        capture_output=True,
        text=True,
        check=True,
    )
    user = f"made-{scheme.lower()}@x.com"
    facts.setup("email", "add", user, "--hash", made.stdout.strip())
    assert facts.can_log_in(user, "from-doveadm")


def test_a_hash_without_a_scheme_is_read_as_dms_reads_it(facts: Instance) -> None:
    with facts.file("postfix-accounts.cf").open("a") as file:
        file.write(f"bare@x.com|{HASH.partition('}')[2]}\n")
    facts.setup("apply")
    assert facts.can_log_in("bare@x.com")


def test_doveadm_tells_all_quotas_in_one_call(facts: Instance) -> None:
    facts.setup("quota", "set", "steady@x.com", "3M")
    assert "steady@x.com ( 0 / 3.0M ) [0%]" in facts.setup("email", "list")


def test_files_of_secrets_are_closed_to_others(facts: Instance) -> None:
    facts.setup("dovecot-master", "add", "boss", "boss-secret")
    for file in ("config/postfix-accounts.cf", "config/dovecot-masters.cf"):
        assert (facts.home / file).stat().st_mode & 0o077 == 0, file
    for folder in ("mail-state/served", "mail-state/sql"):
        assert (facts.home / folder).stat().st_mode & 0o007 == 0, folder
    assert os.stat(facts.home / "mail-state/tls/key.pem").st_mode & 0o077 == 0


def doveconf(folder: Path, text: str) -> int:
    """What doveconf thinks of a configuration."""
    conf = folder / "dovecot.conf"
    conf.write_text(text)
    return subprocess.run(["doveconf", "-c", conf, "-h", "listen"], capture_output=True).returncode


def test_a_configuration_of_one_version_is_none_of_the_other(tmp_path: Path) -> None:
    assert doveconf(tmp_path, dialect(THIS).MINIMAL) == 0
    assert doveconf(tmp_path, dialect(OTHER).MINIMAL + "log_path = /dev/null\n") != 0


def test_zero_is_no_limit(facts: Instance) -> None:
    facts.setup("email", "add", "endless@x.com", PASSWORD)
    facts.setup("quota", "set", "endless@x.com", "0")
    assert "* endless@x.com ( 0 / ~ ) [0%]" in facts.setup("email", "list")


def test_a_message_that_is_larger_than_the_mailbox_is_refused_as_one_that_is_full(
    facts: Instance,
) -> None:
    """Dovecot 2.4 has an answer of its own for it, which is empty if it isn't set."""
    facts.setup("email", "add", "small@x.com", PASSWORD)
    facts.setup("quota", "set", "small@x.com", "20K")
    with facts.smtp() as session:
        session.mail("a@elsewhere.test", [f"size={90_000}"])
        code, text = session.rcpt("small@x.com")
    assert (code, b"5.2.2" in text) == (552, True)


def test_one_variable_that_dovecot_lacks_keeps_nobody_else_out(facts: Instance) -> None:
    with facts.file("postfix-accounts.cf").open("a") as file:
        file.write(f"v23@x.com|{HASH}|userdb_home={facts.mail}/%Hu\n")
        hashed = "%{user|sha256|hexlify|substr(0,8)}"
        file.write(f"v24@x.com|{HASH}|userdb_home={facts.mail}/{hashed}\n")
    facts.setup("apply")
    here, lacks = ("v23", "v24") if THIS == "2.3" else ("v24", "v23")
    assert facts.can_log_in(f"{here}@x.com")
    assert not facts.can_log_in(f"{lacks}@x.com")
    # 2.4 puts it off when quota-status asks, 2.3 at the delivery.
    waits = {"2.3": 250, "2.4": 450}[THIS]
    assert facts.rcpt(f"{lacks}@x.com")[0] == waits
    if waits == 250:
        facts.send(f"{lacks}@x.com", subject="waits")
        queue = ["postqueue", "-c", f"{facts.state}/postfix", "-p"]
        until(lambda: f"{lacks}@x.com" in subprocess.check_output(queue, text=True))
    assert facts.can_log_in("steady@x.com")
    found = facts.run("check").stdout
    assert found.count("[unserved-variable]") == 1


def test_the_inbox_of_a_maildir_is_at_its_root(facts: Instance) -> None:
    """Where `mail_inbox_path` is empty, Dovecot 2.4 has it in a folder `.INBOX`."""
    facts.send("steady@x.com", subject="where")
    facts.arrives("steady@x.com", "where")
    assert (facts.mail / "x.com/steady/cur").is_dir()
    assert not (facts.mail / "x.com/steady/.INBOX").exists()


def test_quotas_are_told_for_accounts_by_name(facts: Instance) -> None:
    """`doveadm quota get -F -` skips who isn't there, and stops at nobody."""
    argv = ["doveadm", "-c", f"{facts.state}/dovecot/dovecot.conf", "-f", "tab"]
    users = "nobody@x.com\nsteady@x.com\n"
    done = subprocess.run(
        [*argv, "quota", "get", "-F", "-"], input=users, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.count("steady@x.com") == 2
    assert "nobody@x.com" not in done.stdout


def test_the_queue_manager_keeps_the_last_address_that_it_has_looked_up(facts: Instance) -> None:
    """For 30 s, or until it looks up another: no alias may lead to a domain before it is known."""

    def leaves(subject: str) -> bool:
        return any(f"Subject: {subject}\r".encode() in taken.content for taken in facts.sink.taken)

    def submitted(recipient: str, subject: str) -> None:
        argv = ["sendmail", "-C", f"{facts.state}/postfix", "-f", "a@elsewhere.test", recipient]
        subprocess.run(argv, input=f"Subject: {subject}\n\n", text=True, check=True)

    submitted("one@moving.org", "before")
    until(lambda: leaves("before"))
    facts.setup("email", "add", "one@moving.org", PASSWORD)
    submitted("one@moving.org", "kept")
    until(lambda: leaves("kept"))
    facts.send("steady@x.com", subject="another")
    facts.arrives("steady@x.com", "another")
    submitted("one@moving.org", "known")
    facts.arrives("one@moving.org", "known")
    assert not leaves("known")


def test_a_mailbox_gets_as_many_deliveries_at_once_as_postfix_makes(facts: Instance) -> None:
    """Dovecot 2.4 by itself puts off what is more than ten, for five minutes."""
    with ExitStack() as opened:
        for _ in range(DELIVERIES):
            session = opened.enter_context(smtplib.LMTP(f"{facts.state}/run/lmtp"))
            session.ehlo()
            session.mail("a@elsewhere.test")
            assert session.rcpt("steady@x.com")[0] == 250
