"""A config file that is a FIFO without a writer: what is served stays, and nothing waits for it."""

import os
from collections.abc import Iterator

import pytest

from mailroster.roster.roster import Roster
from tests.support import processes
from tests.support.instance import HASH, Instance, until

ACCOUNTS = "postfix-accounts.cf"
#: Every file that is looked for in a config folder, but for the accounts.
OTHERS = [
    *sorted({document.format.file for document in Roster()} - {ACCOUNTS}),
    "postfix-main.cf", "postfix-master.cf", "dovecot.cf", "quota-warning.txt",
    "before.dovecot.sieve", "a@x.com.dovecot.sieve",
    ".mailroster-history", ".mailroster-moves", ".mailroster.lock",
]  # fmt: skip


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    made = Instance()
    try:
        made.setup("email", "add", "a@x.com", "secret")
        made.setup("alias", "add", "info@x.com", "a@x.com")
        made.start()
        yield made
    finally:
        made.close()


def put_fifo(instance: Instance, name: str) -> None:
    path = instance.file(name)
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o644)


def test_fifos_hold_nothing_up(instance: Instance) -> None:
    for name in OTHERS:
        put_fifo(instance, name)
    with instance.file(ACCOUNTS).open("a") as accounts:
        accounts.write(f"hand@x.com|{HASH}\n")
    until(lambda: instance.can_log_in("hand@x.com"), 60)
    assert instance.rcpt("info@x.com")[0] == 250, "what was served stays"
    assert instance.stop() == 0
    processes.nothing_is_left(instance)


def test_a_fifo_for_the_accounts_takes_nobody_away(instance: Instance) -> None:
    for name in OTHERS:
        instance.file(name).unlink(missing_ok=True)
    instance.setup("alias", "add", "info@x.com", "a@x.com")
    instance.start()
    assert instance.can_log_in("a@x.com")
    put_fifo(instance, ACCOUNTS)
    until(lambda: "the accounts can't be read" in instance.log.read_text())
    instance.file("postfix-virtual.cf").write_text("info@x.com a@x.com\nnew@x.com a@x.com\n")
    until(lambda: instance.rcpt("new@x.com")[0] == 250)
    assert instance.can_log_in("a@x.com")
    assert instance.stop() == 0
    processes.nothing_is_left(instance)
