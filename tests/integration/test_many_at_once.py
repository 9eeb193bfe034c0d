"""Many commands at once, and an editor at work beside them: each exit code is the truth, and what
they leave behind is what some order of those that succeeded leaves. `COMMANDS` in the environment
says how many there are to be.
"""

import fcntl
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from mailroster.system.folder_lock import LOCK_FILE
from tests.support.history import ALL, Act, Person, explained, people, step
from tests.support.instance import HASH, Instance, save, until

COMMANDS = int(os.environ.get("COMMANDS", "200"))
WORKERS = 6
#: So few that many write to one at once.
SHARED = [f"shared{n}@x.com" for n in range(max(5, COMMANDS // 40))]
ACCOUNTS, MASTERS = "postfix-accounts.cf", "dovecot-masters.cf"


@pytest.fixture
def busy(server: Instance) -> Instance:
    server.setup("email", "add", "keep@x.com", "--hash", HASH)
    return server


class History:
    """What was done to whom, from many threads."""

    def __init__(self) -> None:
        self.acts: dict[str, list[Act]] = defaultdict(list)
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []

    def keep(self, address: str, words: tuple[str, ...], began: float, done: bool) -> None:
        self.acts[address].append(Act(words, began, time.monotonic(), done))


def any_command(chance: random.Random, address: str) -> tuple[str, ...]:
    """A command about a person, whether it can be done or not."""
    friend = chance.choice([address, "one@elsewhere.test", "two@elsewhere.test"])
    hash = f"{{PLAIN}}secret-{chance.randrange(10**9)}"
    way = chance.choice(["send", "receive"])
    return chance.choice(
        [
            ("email", "add", address, "--hash", hash),
            ("email", "add", address, "--hash", hash),
            ("email", "update", address, "--hash", hash),
            ("email", "del", "-n", address),
            ("alias", chance.choice(["add", "del"]), f"to-{address}", friend),
            ("alias", chance.choice(["add", "add", "del"]), ALL, address),
            ("alias", chance.choice(["add", "del"]), address, "three@elsewhere.test"),
            ("quota", "set", address, f"{chance.randrange(1, 99)}M"),
            ("quota", "del", address),
            ("email", "restrict", chance.choice(["add", "del"]), way, address),
        ]
    )


class Worker:
    """Runs commands one after the other: about people whom others write to, and about one of its
    own, for whom it knows what has to come out and looks whether that is live at once."""

    def __init__(self, instance: Instance, history: History, number: int) -> None:
        self._instance, self._history = instance, history
        self._chance = random.Random(number)
        self.address = f"worker{number}@x.com"
        self._person = Person()

    def work(self, commands: int) -> None:
        for _ in range(commands):
            alone = self._chance.random() < 0.4
            address = self.address if alone else self._chance.choice(SHARED)
            words = any_command(self._chance, address)
            done = self._run(address, words)
            if alone and done is not None:
                self._look(words, done)

    def _run(self, address: str, words: tuple[str, ...]) -> bool | None:
        """Whether a command has changed the files (or found them so), by what it says; None if it
        is to be tried again."""
        began = time.monotonic()
        ended = self._instance.run(*words)
        code, said = ended.returncode, ended.stderr
        self._history.ends[f"exit {code}"] += 1
        if code == 75 and "the files are changed" not in said and "nothing was changed" in said:
            return None
        if code not in (0, 1, 75) or "Traceback" in said:
            self._history.wrong.append(f"{words}: exit {code}: {said}")
        self._history.keep(address, words, began, code != 1)
        return code == 0

    def _look(self, words: tuple[str, ...], done: bool) -> None:
        after = step(self._person, words)
        if done != (after is not None):
            self._history.wrong.append(f"{words}: done is {done}, of {self._person}")
        self._person = after or self._person
        if done:
            self._history.wrong += [
                f"{words}: {what}" for what in amiss(self._instance, self.address, self._person)
            ]


def amiss(instance: Instance, address: str, person: Person) -> list[str]:
    """What the servers say of a person that is not so."""
    found = []
    listed = bool(person.hash or person.own)
    codes = {
        address: 550 if not listed else 554 if person.receive else 250,
        # One that leads to nobody but a person who is not there is refused.
        f"to-{address}": 250 if person.alias and (listed or {*person.alias} - {address}) else 550,
    }
    for asked, code in codes.items():
        answer = instance.rcpt(asked)
        if answer[0] != code:
            found.append(f"{asked}: {answer}, not {code}")
    if person.hash and not instance.can_log_in(address, person.hash.removeprefix("{PLAIN}")):
        found.append(f"{address} can't log in with {person.hash}")
    return found


class Editor:
    """Somebody with an editor, in the files that the commands write, and in one that they don't."""

    def __init__(self, instance: Instance, history: History) -> None:
        self._instance, self._history = instance, history
        self._chance = random.Random(99)
        self.appended: list[str] = []
        self.masters: list[str] = []

    def edit(self, done: threading.Event) -> None:
        while not done.wait(0.1):
            self._locked(self._chance.choice(SHARED))
            self._replace(f"master{len(self.masters)}")

    def append(self, done: threading.Event) -> None:
        """Without a lock, often: mostly comments, sometimes an account."""
        chance = random.Random(98)
        while not done.wait(chance.uniform(0, 0.1)):
            number = len(self.appended)
            line = f"# by hand {number}" if number % 20 else f"hand{number}@x.com|{HASH}"
            with self._instance.file(ACCOUNTS).open("a") as file:
                file.write(f"{line}\n")
            self.appended.append(line)

    def _locked(self, address: str) -> None:
        """As a script does that takes the folder's lock: an edit like any other."""
        hash = f"{{PLAIN}}by-hand-{self._chance.randrange(10**9)}"
        verb = self._chance.choice(["add", "update", "del"])
        words = ("by hand", verb, address, *([] if verb == "del" else [hash]))
        began = time.monotonic()
        path = self._instance.file(ACCOUNTS)
        with folder_lock(self._instance.config):
            lines = path.read_text().splitlines()
            others = [line for line in lines if not line.startswith(f"{address}|")]
            possible = (others == lines) == (verb == "add")
            if possible:
                new = others if verb == "del" else [*others, f"{address}|{hash}"]
                by_rename(path, new)
        self._history.keep(address, words, began, possible)

    def _replace(self, name: str) -> None:
        """Without a lock, a file that no command writes meanwhile."""
        self.masters.append(f"{name}|{HASH}")
        by_rename(self._instance.file(MASTERS), self.masters)


def by_rename(path: Path, lines: list[str]) -> None:
    save(path, "".join(f"{line}\n" for line in lines))


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """The lock that commands take."""
    fd = os.open(folder / LOCK_FILE, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def test_commands_and_an_editor_at_once(busy: Instance) -> None:
    history, done = History(), threading.Event()
    workers = [Worker(busy, history, number) for number in range(WORKERS)]
    editor = Editor(busy, history)
    addresses = [*SHARED, *(worker.address for worker in workers)]
    with ThreadPoolExecutor(WORKERS + 2) as threads:
        editing = [threads.submit(work, done) for work in (editor.edit, editor.append)]
        working = [threads.submit(worker.work, -(-COMMANDS // WORKERS)) for worker in workers]
        try:
            for work in working:
                work.result()
        finally:
            done.set()
        for work in editing:
            work.result()
    assert history.wrong == []
    assert history.ends["exit 0"] > COMMANDS // 3
    assert history.ends["exit 1"] > COMMANDS // 20

    left = people(busy.config, addresses)
    for address, person in left.items():
        assert explained(history.acts[address], Person(), person), (person, history.acts[address])

    # What falls between our last look and our rename is lost: microseconds, against milliseconds
    # for a whole edit.
    lines = Counter(busy.file(ACCOUNTS).read_text().splitlines())
    found = [line for line in editor.appended if lines[line]]
    assert {lines[line] for line in found} == {1}
    assert len(editor.appended) >= COMMANDS // 20
    assert len(found) >= 0.99 * len(editor.appended)
    assert busy.file(MASTERS).read_text().splitlines() == editor.masters

    until(lambda: "in step: yes" in busy.run("status").stdout, 60)
    assert busy.setup("apply", "--verify") == "0 rows changed\n"
    assert [what for address in addresses for what in amiss(busy, address, left[address])] == []
    by_hand = [line.partition("|")[0] for line in found if "|" in line]
    assert busy.can_log_in(by_hand[-1])
    assert busy.can_log_in(f"keep@x.com*{editor.masters[-1].partition('|')[0]}")
    deleted = [address for address in addresses if not left[address].hash]
    assert not any(busy.can_log_in(address, "secret") for address in deleted[:2])
