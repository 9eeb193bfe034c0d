"""The state folder of another Debian: the servers' users have other numbers there, and the tables
are for another Dovecot."""

import os
import subprocess
from pathlib import Path

import pytest

from mailroster.roster.dovecot.versions import VERSIONS
from mailroster.servers.version import version
from tests.support.instance import HASH, PASSWORD, Instance, message, until
from tests.support.sink import Sink

#: Numbers of nobody; 0 is what a restore by root leaves that doesn't keep owners.
NUMBERS = (64_123, 0)
OTHER = next(name for name in VERSIONS if name != version())


def give_away(instance: Instance, number: int) -> None:
    """The queue and the database, to a user and a group of another Debian."""
    queue = [path for path in (instance.state / "spool").iterdir() if path.stat().st_uid]
    for top in (*queue, instance.state / "lib/postfix"):
        for path in (top, *top.rglob("*")):
            os.lchown(path, number, number)
    sql = instance.state / "sql"
    for path in (sql, *sql.iterdir()):
        os.lchown(path, -1, number)


def queued(instance: Instance) -> str:
    argv = ["postqueue", "-c", f"{instance.state}/postfix", "-p"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def flushed(instance: Instance, to: str) -> bool:
    """Whether a message has got out, of a queue that is flushed once more: one that was being tried
    while nobody listened waits again."""
    subprocess.run(["postqueue", "-c", f"{instance.state}/postfix", "-f"], check=True)
    return (to,) in [taken.recipients for taken in instance.sink.taken]


@pytest.mark.parametrize("number", NUMBERS)
def test_its_queue_is_delivered_and_its_accounts_log_in(server: Instance, number: int) -> None:
    user, to = f"a{number}@x.com", f"far{number}@elsewhere.test"
    server.setup("email", "add", user, PASSWORD)
    server.sink.close()
    with server.smtp("submission") as session:
        session.login(user, PASSWORD)
        session.sendmail(user, to, message("waits", to).as_bytes())
    until(lambda: "Connection refused" in queued(server))
    assert server.stop() == 0
    give_away(server, number)
    server.start()
    assert to in queued(server)
    server.sink = Sink(port=server.sink.port)
    until(lambda: flushed(server, to))
    assert server.can_log_in(user)
    server.setup("email", "update", user, "another")
    assert server.can_log_in(user, "another")
    said = (server.home / "mail-logs/mail.log").read_text()
    assert "not owned by" not in said
    assert "fatal" not in said


def test_its_tables_are_made_anew_for_the_dovecot_that_is_installed(server: Instance) -> None:
    with server.file("postfix-accounts.cf").open("a") as accounts:
        accounts.write(f"rule@x.com|{HASH}|userdb_quota_rule=*:storage=7M reason=%Lu\n")
        accounts.write(f"size@x.com|{HASH}|userdb_quota/user/storage_size=8M reason=%{{user}}\n")
    server.setup("apply")
    assert server.stop() == 0
    exceptions, noted = server.state / "sql/exceptions", server.state / "dovecot-version"
    assert noted.read_text() == f"{version()}\n"
    before = exceptions.read_text()
    assert "rule@x.com" in before
    noted.write_text(f"{OTHER}\n")
    server.start()
    assert noted.read_text() == f"{version()}\n"
    assert exceptions.read_text() == before
    for user, size in (("rule@x.com", "7M"), ("size@x.com", "8M")):
        assert f"{user} ( 0 / {size[0]}.0M )" in server.setup("email", "list")
        assert server.can_log_in(user)
        server.send(user, subject="here")
        server.arrives(user, "here")


def test_a_command_without_up_makes_no_tables_for_another_dovecot(server: Instance) -> None:
    """It starts no process to ask; `up` is who notes the version."""
    noted: Path = server.state / "dovecot-version"
    assert server.stop() == 0
    noted.write_text(f"{OTHER}\n")
    server.setup("email", "add", "meanwhile@x.com", PASSWORD)
    assert noted.read_text() == f"{OTHER}\n"
    server.start()
    assert noted.read_text() == f"{version()}\n"
    assert server.can_log_in("meanwhile@x.com")
