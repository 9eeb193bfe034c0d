"""Tables that are lost or damaged under a running Postfix and Dovecot, and made anew: what is asked
of them meanwhile, and that it is right at once when they are there again."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from smtplib import SMTPServerDisconnected

import pytest

from mailroster.base.layout import Layout
from mailroster.publish.targets.sqlite_table import SqliteTable
from mailroster.servers.config.dovecot.schema import ACCOUNT
from mailroster.servers.reopen import reopen_database
from tests.support.instance import HASH, PASSWORD, Instance, until

STEADY = "steady@x.com"


@pytest.fixture(scope="module")
def alone(server: Instance) -> Instance:
    """Servers without `up`, which would fix a table before a test has looked at it."""
    server.setup("email", "add", STEADY, PASSWORD)
    server.setup("email", "add", "qa@x.com", PASSWORD)
    server.setup("alias", "add", "alias@x.com", STEADY)
    server.setup("email", "restrict", "add", "receive", "qa@x.com")
    with server.file("postfix-accounts.cf").open("a") as file:
        file.write(f"odd@x.com|{HASH}|userdb_mail_max_userip_connections=3\n")
    server.file("postfix-regexp.cf").write_text("/^rx[0-9]+@x\\.com$/ steady@x.com\n")
    server.setup("apply")
    server.kill()
    return server


@contextmanager
def probed(ask: Callable[[], object]) -> Iterator[list[object]]:
    """What is answered, again and again, while something is done."""
    answers: list[object] = []
    done = threading.Event()

    def probe() -> None:
        while not done.is_set():
            try:
                answers.append(ask())
            except SMTPServerDisconnected as error:
                answers.append(error)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield answers
    finally:
        done.set()
        thread.join()


def asked(answers: list[object], count: int) -> None:
    """Until so many more questions were answered."""
    before = len(answers)
    until(lambda: len(answers) >= before + count)


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def zero(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))


HARMS = pytest.mark.parametrize("harm", [remove, cut, zero], ids=lambda harm: harm.__name__)


@HARMS
def test_a_database_that_is_made_anew_is_used_at_once(
    alone: Instance, harm: Callable[[Path], None]
) -> None:
    assert alone.can_log_in(STEADY)
    with alone.imap(STEADY) as session:
        harm(alone.state / "sql/roster.db")
        alone.setup("apply", "--verify")
        alone.setup("email", "add", f"{harm.__name__}@x.com", PASSWORD)
        assert alone.can_log_in(f"{harm.__name__}@x.com")
        assert alone.can_log_in(STEADY)
        assert session.noop()[0] == "OK"  # nobody was disconnected
    assert alone.doveadm("user", "*").split().count(STEADY) == 1


def test_nobody_fails_to_log_in_while_a_removed_database_is_made_anew(alone: Instance) -> None:
    """Dovecot goes on with the file that it has open. One lookup may be under way just when its
    worker is ended."""
    assert alone.can_log_in(STEADY)  # a worker has it open
    with probed(lambda: alone.can_log_in(STEADY)) as answers:
        for _ in range(3):
            remove(alone.state / "sql/roster.db")
            asked(answers, 4)
            alone.setup("apply", "--verify")
            asked(answers, 4)
    assert len([answer for answer in answers if answer is not True]) <= 1


def test_a_worker_that_has_the_new_database_is_left_alone(alone: Instance) -> None:
    layout = Layout(str(alone.state))
    assert alone.can_log_in(STEADY)
    table = SqliteTable(layout.database, ACCOUNT)
    assert reopen_database(layout) == 0
    rows = table.read()
    remove(Path(layout.database))
    assert alone.can_log_in(STEADY)
    table.fill({**rows, "fresh@x.com": rows[STEADY]}.items())
    assert not alone.can_log_in("fresh@x.com")  # it never notices
    assert reopen_database(layout) >= 1
    assert alone.can_log_in("fresh@x.com")
    assert reopen_database(layout) == 0
    alone.setup("apply", "--verify")
    assert not alone.can_log_in("fresh@x.com")


def test_a_change_of_the_form_of_a_table_fails_one_lookup(alone: Instance) -> None:
    """Why the schema of a database in use never changes."""
    import sqlite3
    from contextlib import closing

    path, log = alone.state / "sql/roster.db", alone.home / "mail-logs/dovecot.log"
    assert alone.can_log_in(STEADY)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE another (name TEXT)")
        connection.commit()
        before = log.read_text()
        alone.can_log_in(STEADY)  # with Dovecot 2.4 only the lookup of app passwords fails
        assert "schema" in log.read_text().removeprefix(before), log.read_text().removeprefix(
            before
        )
        assert alone.can_log_in(STEADY)
    alone.setup("apply", "--verify")


#: A table of Postfix, an address, and what RCPT answers with the table in force.
ASKED = [
    ("domains", STEADY, 250),
    ("mailboxes", STEADY, 250),
    ("aliases", "alias@x.com", 250),
    ("receive_access", "qa@x.com", 554),
    ("senders", STEADY, 250),
    ("send_access", STEADY, 250),
    ("generation", STEADY, 250),
]


@HARMS
@pytest.mark.parametrize(("table", "address", "code"), ASKED, ids=[a[0] for a in ASKED])
def test_a_table_of_postfix_that_is_made_anew_is_used_at_once(
    alone: Instance, table: str, address: str, code: int, harm: Callable[[Path], None]
) -> None:
    assert alone.rcpt(address)[0] == code
    harm(alone.state / f"tables/{table}.lmdb")
    alone.setup("apply", "--verify")
    assert alone.rcpt(address)[0] == code
    alone.setup("alias", "add", f"{harm.__name__}-{table}@x.com", STEADY)
    assert alone.rcpt(f"{harm.__name__}-{table}@x.com")[0] == 250


@pytest.mark.parametrize("table", [a[0] for a in ASKED])
def test_without_a_table_postfix_puts_off_and_never_refuses(alone: Instance, table: str) -> None:
    with probed(lambda: alone.rcpt(STEADY)[0]) as answers:
        remove(alone.state / f"tables/{table}.lmdb")
        asked(answers, 4)
        alone.setup("apply", "--verify")
        assert alone.rcpt(STEADY)[0] == 250
    refused = [code for code in answers if code not in (250, 451)]
    assert all(isinstance(error, SMTPServerDisconnected) for error in refused)


@pytest.mark.parametrize("table", ["domains", "relays", "relay_passwords", "mailboxes"])
def test_a_process_that_began_without_a_table_finds_it_when_it_is_there(
    alone: Instance, table: str
) -> None:
    """A process that could not open a table has no file whose change it could notice."""
    subprocess.run(["postfix", "-c", alone.state / "postfix", "reload"], check=True)
    with suppress(SMTPServerDisconnected):
        alone.rcpt(STEADY)  # by processes from before
    remove(alone.state / f"tables/{table}.lmdb")
    with suppress(SMTPServerDisconnected):
        alone.rcpt("nobody@elsewhere.test")
        alone.rcpt(STEADY)
    alone.setup("apply", "--verify")
    assert alone.rcpt(STEADY)[0] == 250


@pytest.mark.parametrize(
    ("file", "works"),
    [
        ("sql/exceptions", lambda server: server.can_log_in("odd@x.com")),
        ("tables/regexp", lambda server: server.rcpt("rx1@x.com")[0] == 250),
    ],
    ids=["exceptions", "regexp"],
)
@HARMS
def test_a_text_that_is_made_anew_is_used(
    alone: Instance,
    file: str,
    works: Callable[[Instance], bool],
    harm: Callable[[Path], None],
) -> None:
    assert works(alone)
    harm(alone.state / file)
    alone.setup("apply", "--verify")
    assert works(alone)


@pytest.mark.parametrize(
    "file",
    ["sql/roster.db", "sql/exceptions", "tables/mailboxes.lmdb", "tables/aliases.lmdb",
     "tables/domains.lmdb", "tables/regexp", "tables/generation.lmdb"],
)  # fmt: skip
def test_up_mends_a_table_by_itself(watched: Instance, file: str) -> None:
    remove(watched.state / file)
    until((watched.state / file).exists)
    in_step(watched)


@pytest.mark.parametrize("harm", [cut, zero], ids=["cut", "zeroed"])
@pytest.mark.parametrize("file", ["sql/roster.db", "tables/mailboxes.lmdb", "tables/senders.lmdb"])
def test_up_finds_a_damaged_table_by_itself(
    watched: Instance, file: str, harm: Callable[[Path], None]
) -> None:
    told = mended(watched)
    harm(watched.state / file)
    until(lambda: mended(watched) > told, 90)
    in_step(watched)


@pytest.fixture
def watched(alone: Instance) -> Iterator[Instance]:
    """With `up` again."""
    if alone.up is None:
        alone.start()
    yield alone
    assert alone.setup("apply", "--verify") == "0 rows changed\n"


def mended(instance: Instance) -> int:
    """How often `up` has said that it found a table damaged, or that it corrected one."""
    said = instance.log.read_text()
    return said.count("rebuilt") + said.count("tables corrected")


def in_step(instance: Instance) -> None:
    until(lambda: "in step: yes" in instance.run("status").stdout)
    until(lambda: instance.can_log_in(STEADY))
    until(lambda: answers(instance, "alias@x.com") == 250)


def answers(instance: Instance, address: str) -> int:
    try:
        return instance.rcpt(address)[0]
    except (OSError, SMTPServerDisconnected):
        return 0
