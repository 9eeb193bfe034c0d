"""One instance with SIZE accounts, twice as many aliases, and SIZE quotas: all that is done by
command and by hand with a few of them is in force at once, and nobody is interrupted.

`SIZE` in the environment says how many.
"""

import os
import smtplib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, save, until
from tests.support.prober import STEADY, Prober

SIZE = int(os.environ.get("SIZE", "10000"))
DOMAINS = 10
ACCOUNTS, ALIASES, QUOTAS = "postfix-accounts.cf", "postfix-virtual.cf", "dovecot-quotas.cf"
SETTINGS = {"index_from_bytes": 1 << 20}  # as it is by default
WAIT_S = 180 + SIZE / 1000
LOGINS = 9


def user(number: int) -> str:
    return f"user{number}@domain{number % DOMAINS}.test"


@pytest.fixture(scope="module")
def instance(server: Instance) -> Instance:
    """With all of it, put there by hand at once."""
    users = [user(number) for number in range(SIZE)]
    texts = {
        QUOTAS: (f"{one}:5G\n" for one in users),
        ALIASES: (
            f"to-{one} {one}\nboth-{one} to-{one},{users[number - 1]}\n"
            for number, one in enumerate(users)
        ),
        ACCOUNTS: (f"{one}|{HASH}\n" for one in users),
    }
    server.patience_s = max(server.patience_s, WAIT_S)
    began = time.monotonic()
    for name, text in STEADY.items():
        server.file(name).write_text(text + "".join(texts.get(name, ())))
    try:
        until(lambda: "in step: yes" in server.run("status").stdout, WAIT_S)
    except AssertionError as error:
        raise AssertionError(server.log.read_text()) from error
    tell(f"{SIZE} accounts in force after", time.monotonic() - began)
    return server


def tell(what: str, seconds: float) -> None:
    """Figures to look at: no test depends on them."""
    print(f"{what} {1000 * seconds:.0f} ms", file=sys.stderr)


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    tell(what, time.monotonic() - began)


def answers(session: smtplib.SMTP, *recipients: str) -> list[int]:
    session.rset()
    session.mail("somebody@elsewhere.test")
    return [session.rcpt(recipient)[0] for recipient in recipients]


def by_hand(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert f"\n{old}" in text
    save(path, text.replace(f"\n{old}", f"\n{new}", 1))


def test_changes_by_command_are_in_force_beside_open_sessions(instance: Instance) -> None:
    some, other = user(SIZE // 2), user(SIZE - 1)
    with instance.smtp() as session:
        assert answers(session, "new@domain1.test", "fresh@domain1.test", some) == [550, 550, 250]
        commands: dict[tuple[str, ...], Callable[[], bool]] = {
            ("email", "add", "new@domain1.test", PASSWORD): lambda: (
                answers(session, "new@domain1.test") == [250]
                and instance.can_log_in("new@domain1.test")
            ),
            ("alias", "add", "fresh@domain1.test", some): lambda: (
                answers(session, "fresh@domain1.test") == [250]
            ),
            ("quota", "set", other, "7G"): lambda: (
                str(7 << 20) in instance.doveadm("quota", "get", "-u", other)
            ),
            ("email", "update", other, "other"): lambda: (
                instance.can_log_in(other, "other") and not instance.can_log_in(other)
            ),
            ("email", "del", "-n", "new@domain1.test"): lambda: (
                answers(session, "new@domain1.test", some) == [550, 250]
                and not instance.can_log_in("new@domain1.test")
            ),
            ("alias", "del", "fresh@domain1.test", some): lambda: (
                answers(session, "fresh@domain1.test") == [550]
            ),
            ("email", "update", other, PASSWORD): lambda: instance.can_log_in(other),
        }
        for words, holds in commands.items():
            with timed(" ".join(words[:2])):
                instance.setup(*words)
            assert holds(), words


def test_changes_by_hand_are_in_force_beside_open_sessions(instance: Instance) -> None:
    some, other = user(SIZE // 3), user(SIZE // 3 + 1)
    accounts, aliases = instance.file(ACCOUNTS), instance.file(ALIASES)
    with instance.smtp() as session:
        assert answers(session, "hand@domain2.test", f"to-{some}") == [550, 250]
        with timed("an account appended by-hand"):
            with accounts.open("a") as file:
                file.write(f"hand@domain2.test|{HASH}\n")
            until(lambda: answers(session, "hand@domain2.test") == [250])
        assert instance.can_log_in("hand@domain2.test")
        with timed("a password changed by-hand"):
            by_hand(accounts, f"{some}|{HASH}", f"{some}|{{PLAIN}}by-hand")
            until(lambda: instance.can_log_in(some, "by-hand"))
        assert not instance.can_log_in(some)
        by_hand(accounts, f"{some}|{{PLAIN}}by-hand", f"{some}|{HASH}")
        with timed("an alias renamed by-hand"):
            by_hand(aliases, f"to-{other} ", f"for-{other} ")
            until(lambda: answers(session, f"for-{other}") == [250])
        until(lambda: answers(session, f"to-{other}") == [550])
        by_hand(aliases, f"for-{other} ", f"to-{other} ")
        by_hand(accounts, f"hand@domain2.test|{HASH}\n", "")
        until(lambda: answers(session, "hand@domain2.test", f"to-{other}") == [550, 250])
    until(lambda: "in step: yes" in instance.run("status").stdout)


def test_a_rebuild_interrupts_nobody(instance: Instance) -> None:
    with Prober(instance) as prober, timed("apply --verify"):
        assert instance.setup("apply", "--verify") == "0 rows changed\n"
    prober.unharmed(1)


def test_the_servers_list_the_accounts_and_no_alias(instance: Instance) -> None:
    with timed("doveadm user '*'"):
        listed = instance.users()
    steady = STEADY[ACCOUNTS].count("\n")
    assert len(listed) == len(set(listed)) == SIZE + steady
    assert not any(name.startswith(("to-", "both-", "way@")) for name in listed)


def test_the_first_login_after_a_change(instance: Instance) -> None:
    def log_in() -> float:
        began = time.monotonic()
        assert instance.can_log_in("keep@x.com")
        return time.monotonic() - began

    before, after = [], []
    for number in range(LOGINS):
        before.append(log_in())
        instance.setup("quota", "set", user(number), f"{number + 1}G")
        after.append(log_in())
    tell("the median login before a change", sorted(before)[LOGINS // 2])
    tell("the median first login after a change", sorted(after)[LOGINS // 2])


def test_a_restart_finds_all_of_it(instance: Instance) -> None:
    with timed("stop and start"):
        assert instance.stop() == 0
        instance.start(wait_s=WAIT_S)
    assert instance.rcpt(f"both-{user(SIZE - 2)}")[0] == 250
    assert instance.can_log_in("keep@x.com")
    assert "in step: yes" in instance.setup("status")
