"""`setup explain` beside running servers: they agree, and where somebody has changed a table behind
our back it is told; and rules by pattern are live when the command returns."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from mailroster.base.layout import Layout
from mailroster.publish.targets.lmdb_table import LmdbTable
from tests.support.instance import HASH, Instance

SETTINGS = {
    "spoof_protection": True, "spoof_catch_all": True, "postmaster_address": "john@x.test",
}  # fmt: skip
LOCKED = HASH.replace("}", "}!")
ACCOUNTS = (
    f"john@x.test|{HASH}\nlocked@x.test|{LOCKED}\nno@x.test|{HASH}|nologin\n"
    f"nets@x.test|{HASH}|allow_nets=10.0.0.0/8\nvar@x.test|{HASH}|userdb_mail=maildir:~/%n\n"
    f"full@x.test|{HASH}\nshut@x.test|{HASH}\n"
)
VIRTUAL = (
    "info@x.test john@x.test, far@off.test\nloop@x.test lap@x.test\nlap@x.test loop@x.test\n"
    "gone@x.test nobody@x.test\nteam john@x.test\nbrim@x.test full@x.test\n@y.test @x.test\n"
)
PROBES = (
    "john@x.test", "John+a@X.test", "info@x.test", "info+b@x.test", "loop@x.test", "gone@x.test",
    "team", "brim@x.test", "john@y.test", "nobody@y.test", "nobody@x.test", "a@off.test",
    "locked@x.test", "no@x.test", "nets@x.test", "var@x.test", "shut@x.test", "postmaster",
    "test7@x.test", "test8@x.test", "press@x.test", "any@far.test", "info@far.test", "abuse",
    "abuse+c@mail.example.test", "root",
)  # fmt: skip


@pytest.fixture(scope="module")
def filled(server: Instance) -> Instance:
    server.file("postfix-virtual.cf").write_text(VIRTUAL)
    server.file("postfix-regexp.cf").write_text("/^test(.)@x\\.test$/ john+$1@x.test\n")
    server.file("postfix-receive-access.cf").write_text("shut@ REJECT\n")
    server.file("postfix-send-access.cf").write_text("info@x.test REJECT\n")
    server.file("postfix-aliases.cf").write_text("abuse: root, info@x.test\nroot: far@off.test\n")
    server.file("postfix-sender-logins.cf").write_text(
        "press@x.test john@x.test\ninfo@x.test nets@x.test\ntest8@x.test no@x.test\n"
        "@y.test nets@x.test\n@far.test no@x.test, john@x.test\n"
    )
    server.file("dovecot-quotas.cf").write_text("full@x.test:20k\n")
    server.file("postfix-accounts.cf").write_text(ACCOUNTS)
    server.setup("apply")
    return server


@pytest.mark.parametrize("address", PROBES)
def test_the_servers_agree(filled: Instance, address: str) -> None:
    done = filled.run("explain", address, "--json")
    found = json.loads(done.stdout)
    assert (found["servers"], found["silent"]) == (["Postfix", "Dovecot"], [])
    assert (done.returncode, found["disagreements"]) == (0, [])


def test_a_full_mailbox_is_told_in_postfix_own_words(filled: Instance) -> None:
    filled.send("full@x.test", size=15_000)
    filled.arrives("full@x.test", "hello")
    filled.setup("quota", "set", "full@x.test", "1k")
    for address in ("full@x.test", "brim@x.test"):
        done = filled.run("explain", address)
        assert done.returncode == 0
        assert "refused at RCPT: 552 5.2.2" in done.stdout
    assert "of 1.0K used" in filled.setup("explain", "brim@x.test")


def _alias(layout: Layout) -> None:
    LmdbTable(layout.table("aliases")).apply({"info@x.test": "evil@off.test"})


def _no_alias(layout: Layout) -> None:
    LmdbTable(layout.table("aliases")).apply({"info@x.test": None})


def _mailbox(layout: Layout) -> None:
    LmdbTable(layout.table("mailboxes")).apply({"john@x.test": None})


def _domain(layout: Layout) -> None:
    LmdbTable(layout.table("domains")).apply({"x.test": None})


def _sender(layout: Layout) -> None:
    LmdbTable(layout.table("senders")).apply({"info@x.test": "no@x.test"})


def _user(layout: Layout) -> None:
    with closing(sqlite3.connect(layout.database)) as database, database:
        database.execute("DELETE FROM account WHERE address = 'john@x.test'")


def _place(layout: Layout) -> None:
    with closing(sqlite3.connect(layout.database)) as database, database:
        database.execute("UPDATE account SET maildir = 'x.test/no' WHERE address = 'john@x.test'")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_alias, "table aliases, info@x.test"), (_no_alias, "no entry"),
        (_mailbox, "table mailboxes, john@x.test"), (_domain, "table domains, x.test"),
        (_sender, "who may send as info@x.test"), (_user, "Dovecot's user john@x.test"),
        (_place, "the mail of john@x.test"),
    ],
    ids=["an alias", "no alias", "a mailbox", "a domain", "a sender", "a user", "a place"],
)  # fmt: skip
def test_a_row_behind_our_back_is_a_disagreement(
    filled: Instance, change: Callable[[Layout], None], words: str
) -> None:
    change(Layout(str(filled.state)))
    done = filled.run("explain", "info@x.test")
    filled.setup("apply", "--verify")
    assert done.returncode == 1
    assert words in done.stdout
    assert filled.run("explain", "info@x.test").returncode == 0


def test_a_rule_is_live_when_the_command_returns(filled: Instance) -> None:
    pattern = r"/^(shop|sales)@x\.test$/"
    for _ in range(2):
        assert filled.rcpt("shop@x.test")[0] == 550
        filled.setup("regexp", "add", pattern, "john+$1@x.test")
        assert filled.rcpt("shop@x.test")[0] == 250
        assert filled.run("explain", "sales@x.test").returncode == 0
        filled.setup("regexp", "add", pattern, "info@x.test")
        filled.setup("regexp", "del", pattern, "john+$1@x.test")
        assert "becomes info@x.test" in filled.setup("explain", "sales@x.test")
        filled.setup("regexp", "del", pattern)
    assert filled.rcpt("shop@x.test")[0] == 550


def test_a_rule_beside_a_broken_one_is_not_live_and_the_command_says_so(filled: Instance) -> None:
    file = filled.file("postfix-regexp.cf")
    whole = file.read_text()
    file.write_text(whole + "/(broken/ john@x.test\n")
    done = filled.run("regexp", "add", r"/^shop@x\.test$/", "john@x.test")
    assert done.returncode == 75
    assert "goes live while the file has an error" in done.stderr
    assert filled.rcpt("shop@x.test")[0] == 550
    filled.setup("regexp", "del", "/(broken/")
    assert filled.rcpt("shop@x.test")[0] == 250
    filled.setup("regexp", "del", r"/^shop@x\.test$/")
    assert file.read_text() == whole
