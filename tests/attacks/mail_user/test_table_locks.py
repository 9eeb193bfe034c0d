"""Who runs as `postfix` can read Postfix's tables, and so lock them: a command says who does it and
ends soon, and what it could not put in force is in force when the lock is gone."""

import fcntl
import time

import pytest

from tests.support.attacks.parties import python_as, run_as
from tests.support.instance import HASH, PASSWORD, Instance, until

#: Keeps a shared lock of Postfix's kind, which every writer waits for.
LOCKER = """
import fcntl, sys, time
files = [open(path, "rb") for path in sys.argv[1:]]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_SH)
print("ready", flush=True)
time.sleep(600)
"""
TABLE = "tables/mailboxes.lmdb"


def test_a_lock_on_a_table_has_a_limit_and_its_holder_is_named(server: Instance) -> None:
    server.setup("email", "add", "john@example.com", PASSWORD)
    began = time.monotonic()
    with python_as("postfix", LOCKER, str(server.state / TABLE)) as attacker:
        done = server.run("email", "add", "late@example.com", PASSWORD)
        assert done.returncode == 75
        assert f"{TABLE}: locked for" in done.stderr
        assert f"by process {attacker.pid} (python3, uid " in done.stderr
        assert "john@example.com" in server.setup("email", "list")
        assert server.can_log_in("john@example.com")
        assert server.rcpt("john@example.com")[0] == 250
        with server.file("postfix-accounts.cf").open("a") as file:
            file.write(f"hand@example.com|{HASH}\n")
        until(lambda: f"process {attacker.pid}" in server.log.read_text(), 40)
        # Others have their turn between the tries of `up`, and none waits without an end.
        assert server.run("alias", "add", "x@example.com", "john@example.com").returncode in (0, 75)
        assert time.monotonic() - began < 100
    for address in ("late@example.com", "hand@example.com"):
        until(lambda address=address: server.rcpt(address)[0] == 250, 40)  # type: ignore[misc]
        assert server.can_log_in(address)


def test_a_server_stops_and_starts_while_its_tables_are_locked(server: Instance) -> None:
    with python_as("postfix", LOCKER, str(server.state / TABLE)):
        with server.file("postfix-accounts.cf").open("a") as file:
            file.write(f"waiting@example.com|{HASH}\n")
        until((server.state / "served/unfinished").exists)
        assert server.stop() == 0
        server.start()
        assert server.can_log_in("john@example.com")
        assert server.rcpt("john@example.com")[0] == 250
    until(lambda: server.rcpt("waiting@example.com")[0] == 250, 40)


@pytest.mark.parametrize("user", ["nobody", "dovecot", 5000])
def test_no_other_user_can_lock_a_table(server: Instance, user: str | int) -> None:
    for name in (TABLE, "tables/generation.lmdb", "tables/regexp"):
        done = run_as(user, "/usr/bin/python3", "-c", LOCKER, str(server.state / name))
        assert "PermissionError" in done.stderr, name


def test_an_exclusive_lock_wants_a_right_that_postfix_has_not(server: Instance) -> None:
    """So its user can delay writers, never the lookups of others."""
    program = LOCKER.replace("LOCK_SH", "LOCK_EX")
    done = run_as("postfix", "/usr/bin/python3", "-c", program, str(server.state / TABLE))
    assert "Bad file descriptor" in done.stderr
    with (server.state / TABLE).open("rb") as file:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


#: Keeps the database locked against every other writer.
WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("ready", flush=True)
time.sleep(600)
"""


def test_a_lock_on_the_database_of_dovecot_has_a_limit(server: Instance) -> None:
    """Who runs as `dovecot` can write it. Logins go on meanwhile."""
    with python_as("dovecot", WRITER, str(server.state / "sql/roster.db")):
        done = server.run("email", "add", "later@example.com", PASSWORD)
        assert done.returncode == 75
        assert "sql/roster.db: database is locked" in done.stderr
        assert server.can_log_in("john@example.com")
    until(lambda: server.can_log_in("later@example.com"), 40)
