"""Whom a change does not concern, it does not interrupt: whatever is edited, rebuilt or killed.

`EDITS` and `KILLS` in the environment say how many edits and killed commands there are to be.
"""

import os
import random
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.instance import HASH, Instance, save, until
from tests.support.prober import STEADY, Prober

EDITS = int(os.environ.get("EDITS", "120"))
KILLS = int(os.environ.get("KILLS", "20"))
ACCOUNTS, QUOTAS = "postfix-accounts.cf", "dovecot-quotas.cf"
REGEXP, MASTERS = "postfix-regexp.cf", "dovecot-masters.cf"
PEOPLE = [f"u{n}@x.com" for n in range(6)] + [f"u{n}@d{n}.test" for n in range(6)]
#: Hand edits of an account that no column serves cost Dovecot's second: one in so many.
SELDOM = 20
SETTLE_S = 1.1
KILLED_S = 30


@pytest.fixture(scope="module")
def steady(server: Instance) -> Instance:
    for name, text in STEADY.items():
        server.file(name).write_text(text)
    until(lambda: "in step: yes" in server.run("status").stdout)
    return server


class Stream:
    """Edits of every kind, by commands and by hand, one after the other, of other people."""

    def __init__(self, instance: Instance, seed: int) -> None:
        self._instance, self._chance = instance, random.Random(seed)

    def edits(self, count: int) -> None:
        """Makes some; each has to succeed."""
        for number in range(count):
            if number % 2:
                self._instance.setup(*self.command())
            else:
                self._by_hand(number)

    def command(self) -> tuple[str, ...]:
        """One that the folder as it stands allows."""
        person = self._chance.choice(PEOPLE)
        kinds = [self._account, self._alias, self._quota, self._restriction, self._master]
        return self._chance.choice(kinds)(person)

    def _account(self, person: str) -> tuple[str, ...]:
        if not self._has(ACCOUNTS, f"{person}|"):
            return ("email", "add", person, "--hash", HASH)
        if self._chance.random() < 0.5:
            return ("email", "del", "-n", person)
        return ("email", "update", person, "--hash", f"{{PLAIN}}{self._chance.random()}")

    def _alias(self, person: str) -> tuple[str, ...]:
        catch_all = "@catch-" + person.partition("@")[2]
        alias = self._chance.choice(["to-" + person, "both-" + person, catch_all])
        line = next((w for w in self._words("postfix-virtual.cf") if w[0] == alias), [])
        return ("alias", "del" if person in line else "add", alias, person)

    def _quota(self, person: str) -> tuple[str, ...]:
        if not self._has(ACCOUNTS, f"{person}|"):
            return ("email", "add", person, "--hash", HASH)
        if self._has(QUOTAS, f"{person}:"):
            return ("quota", "del", person)
        return ("quota", "set", person, f"{self._chance.randrange(1, 9)}G")

    def _restriction(self, person: str) -> tuple[str, ...]:
        way = self._chance.choice(["send", "receive"])
        verb = "del" if self._has(f"postfix-{way}-access.cf", f"{person} ") else "add"
        return ("email", "restrict", verb, way, person)

    def _master(self, person: str) -> tuple[str, ...]:
        name = person[:2]
        if self._has(MASTERS, f"{name}|"):
            return ("dovecot-master", "del", "-n", name)
        return ("dovecot-master", "add", name, "--hash", HASH)

    def _by_hand(self, number: int) -> None:
        person = self._chance.choice(PEOPLE)
        accounts, regexp = self._instance.file(ACCOUNTS), self._instance.file(REGEXP)
        if number % SELDOM == 0:
            toggle(accounts, f"{person}|{HASH}|userdb_mail_max_userip_connections=3")
        elif self._chance.random() < 0.3:
            toggle(regexp, f"/^{person.partition('@')[0]}-[0-9]+@x\\.com$/ {person}")
        elif self._chance.random() < 0.5:
            toggle(accounts, f"{person}|{HASH}")
        elif self._has(QUOTAS, f"{person}:"):
            by_sed(self._instance.file(QUOTAS), f"/^{person}:/d")
        else:
            by_sed(accounts, f"s/^{person}|[^|]*/{person}|{{PLAIN}}{self._chance.random()}/")

    def _words(self, file: str) -> list[list[str]]:
        path = self._instance.file(file)
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.replace(",", " ").split() for line in lines if line.strip()]

    def _has(self, file: str, start: str) -> bool:
        path = self._instance.file(file)
        return path.exists() and f"\n{start}" in "\n" + path.read_text()


def toggle(path: Path, line: str) -> None:
    """Puts a line in the place of that of the same key, appends it, or deletes it; by a rename, as
    an editor does."""
    key = line.partition("|")[0].partition(" ")[0]
    lines = path.read_text().splitlines()
    others = [other for other in lines if other.partition("|")[0].partition(" ")[0] != key]
    save(path, "".join(f"{text}\n" for text in (others if line in lines else [*others, line])))


def by_sed(path: Path, script: str) -> None:
    subprocess.run(["sed", "-i", script, path], check=True)


def in_step(instance: Instance) -> None:
    """Asserts that what is served comes to be what the files say, row by row."""
    until(lambda: "in step: yes" in instance.run("status").stdout)
    assert instance.setup("apply", "--verify") == "0 rows changed\n"


def test_many_edits_of_all_kinds(steady: Instance) -> None:
    with Prober(steady) as prober:
        Stream(steady, 1).edits(EDITS)
        in_step(steady)
    prober.unharmed(10)


def test_a_full_rebuild(steady: Instance) -> None:
    stream = Stream(steady, 2)
    with Prober(steady) as prober:
        for _ in range(2):
            stream.edits(4)
            in_step(steady)
            for copy in (steady.state / "served").glob("*.cf"):
                copy.unlink()
            steady.setup("apply")
        in_step(steady)
    prober.unharmed(5)


def test_up_killed_and_started_again_amid_edits(steady: Instance) -> None:
    stream = Stream(steady, 3)
    with Prober(steady) as prober:
        for _ in range(3):
            stream.edits(3)
            steady.kill()
            stream.edits(4)
            steady.start()
        in_step(steady)
    prober.unharmed(5)


def test_with_up_dead_commands_are_live_and_mail_and_logins_go_on(steady: Instance) -> None:
    with Prober(steady) as prober:
        steady.kill()
        for round in range(2):
            person = f"dead{round}@x.com"
            steady.setup("email", "add", person, "--hash", HASH)
            assert steady.can_log_in(person)
            steady.setup("alias", "add", f"to-{person}", person)
            steady.send(f"to-{person}", subject="nobody at home")
            steady.arrives(person, "nobody at home")
            steady.setup("email", "restrict", "add", "receive", person)
            assert steady.rcpt(person)[0] == 554
            steady.setup("email", "restrict", "del", "receive", person)
            steady.setup("email", "del", "-y", person)
            assert steady.rcpt(person)[0] == 550
            assert steady.rcpt(f"to-{person}")[0] == 550
            assert not steady.can_log_in(person)
        steady.start()
        in_step(steady)
    prober.unharmed(5)


def kill_soon(instance: Instance, command: subprocess.Popen[bytes], wait_s: float) -> str:
    """Kills a command after some time, or, for 0, as soon as it writes the tables; unless it has
    ended before. How that went."""
    unfinished = instance.state / "served/unfinished"
    deadline = time.monotonic() + (wait_s or KILLED_S)
    while command.poll() is None and time.monotonic() < deadline:
        if not wait_s and unfinished.exists():
            break
    command.kill()
    return "killed" if command.wait() else "done"


@pytest.mark.parametrize("up", (True, False), ids=("beside up", "without up"))
def test_commands_killed_at_any_moment(steady: Instance, up: bool) -> None:
    """Also while they write the tables: the next one, or `up`, brings everything in step."""
    stream, chance = Stream(steady, 4 + up), random.Random(4 + up)
    ends: Counter[str] = Counter()
    with Prober(steady) as prober:
        if not up:
            steady.kill()
        began = time.monotonic()
        steady.setup(*stream.command())
        whole_s = time.monotonic() - began
        for number in range(KILLS):
            wait_s = chance.uniform(0.3, 1.0) * whole_s if number % 2 else 0
            ends[kill_soon(steady, steady.begin(*stream.command()), wait_s)] += 1
            ends["amid the tables"] += (steady.state / "served/unfinished").exists()
            steady.setup("alias", "add", f"all{number}-{up}@x.com", "keep@x.com")
            assert steady.rcpt(f"all{number}-{up}@x.com")[0] == 250
        if not up:
            time.sleep(SETTLE_S)  # what a killed one deleted waits as if deleted by hand
            steady.setup("apply")
        in_step(steady)
    assert ends["killed"] and ends["amid the tables"], ends
    prober.unharmed(5)
    if not up:
        steady.start()
