"""Many commands at once, as real processes: each edit is made, none is lost, none is made twice."""

import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from mailroster.store.config_folder import Store
from mailroster.store.journal import JOURNAL
from tests.support.faulty import (
    ACCOUNTS,
    BEFORE,
    HASH,
    QUOTAS,
    VIRTUAL,
    contents,
    debris,
    fill,
    recovered,
)

_MANY_S = 300


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    return folder


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mailroster", "--home", str(folder.parent), *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def at_once(folder: Path, commands: Iterable[tuple[str, ...]]) -> list[int]:
    """Exit codes of commands that all run at the same time."""
    running = [start(folder, *words) for words in commands]
    codes = []
    for process in running:
        said = process.communicate(timeout=_MANY_S)[1]
        assert b"Traceback" not in said, said.decode()
        codes.append(process.returncode)
    assert debris(folder) == []
    return codes


def lines(folder: Path, file: str) -> list[str]:
    return (folder / file).read_text().splitlines()


@pytest.mark.parametrize("count", (25, 200))
def test_recipients_added_to_one_alias_at_once_are_all_there_once(folder: Path, count: int) -> None:
    commands = [("alias", "add", "all@x.com", f"u{n}@x.com") for n in range(count)]
    assert at_once(folder, commands) == [0] * count
    (line,) = lines(folder, VIRTUAL)
    alias, *recipients = re.split(r"[ ,]+", line)
    assert alias == "all@x.com"
    assert sorted(recipients) == sorted(f"u{n}@x.com" for n in range(count))


def test_passwords_of_different_accounts_changed_at_once_are_all_changed(folder: Path) -> None:
    addresses = [f"u{n}@x.com" for n in range(50)]
    (folder / ACCOUNTS).write_text("".join(f"{a}|{HASH}|nologin\n" for a in addresses))
    commands = [("email", "update", a, "--hash", f"{{PLAIN}}new-{a}") for a in addresses]
    assert at_once(folder, commands) == [0] * 50
    assert lines(folder, ACCOUNTS) == [f"{a}|{{PLAIN}}new-{a}|nologin" for a in addresses]


def test_quotas_set_at_once_are_all_set_once(folder: Path) -> None:
    addresses = [f"u{n}@x.com" for n in range(50)]
    (folder / ACCOUNTS).write_text("".join(f"{a}|{HASH}\n" for a in addresses))
    commands = [("quota", "set", a, f"{n + 1}G") for n, a in enumerate(addresses)]
    assert at_once(folder, commands) == [0] * 50
    assert sorted(lines(folder, QUOTAS)) == sorted(f"u{n}@x.com:{n + 1}G" for n in range(50))


def test_additions_mixed_with_deletions_are_all_made(folder: Path) -> None:
    old, new = [f"old{n}@x.com" for n in range(25)], [f"new{n}@x.com" for n in range(25)]
    (folder / ACCOUNTS).write_text("".join(f"{a}|{HASH}\n" for a in old))
    (folder / QUOTAS).write_text("".join(f"{a}:1G\n" for a in old))
    (folder / VIRTUAL).write_text(f"all@x.com {','.join(old)},stays@y.com\n")
    commands: list[tuple[str, ...]] = [("email", "del", "-n", a) for a in old]
    commands += [("email", "add", a, "--hash", HASH) for a in new]
    random.Random(1).shuffle(commands)
    assert at_once(folder, commands) == [0] * 50
    assert sorted(lines(folder, ACCOUNTS)) == sorted(f"{a}|{HASH}" for a in new)
    assert lines(folder, QUOTAS) == []
    assert lines(folder, VIRTUAL) == ["all@x.com stays@y.com"]


def test_of_many_who_add_one_address_one_succeeds_and_the_others_are_told(folder: Path) -> None:
    commands = [("email", "add", "one@x.com", "--hash", f"{{PLAIN}}{n}") for n in range(20)]
    assert Counter(at_once(folder, commands)) == {0: 1, 1: 19}
    (line,) = lines(folder, ACCOUNTS)
    assert re.fullmatch(r"one@x\.com\|\{PLAIN\}\d+", line)


def test_readers_beside_writers_never_see_a_part_of_an_edit(folder: Path) -> None:
    people = [f"u{n}@x.com" for n in range(10)]
    (folder / ACCOUNTS).write_text("".join(f"{a}|{HASH}\n" for a in people))
    (folder / QUOTAS).write_text("".join(f"{a}:1G\n" for a in people))
    (folder / VIRTUAL).write_text("".join(f"to-{a} {a}\n" for a in people))
    writers = [start(folder, "email", "del", "-n", a) for a in people]
    counts = set()
    while any(writer.poll() is None for writer in writers):
        roster = Store(str(folder)).read().roster
        sizes = {len(roster.accounts.index), len(roster.quotas.index), len(roster.virtual.index)}
        assert len(sizes) == 1, sizes
        counts |= sizes
    assert [writer.communicate()[1] for writer in writers] == [b""] * 10
    assert lines(folder, ACCOUNTS) == []
    assert max(counts) > 0


def test_email_del_killed_at_any_moment_two_hundred_times(folder: Path) -> None:
    """By chance, where test_commit.py goes by the step: the whole command."""
    chance = random.Random(2)
    fill(folder)
    begun = time.monotonic()
    assert start(folder, "email", "del", "-n", "b@x.com").wait(_MANY_S) == 0
    whole_s = time.monotonic() - begun
    done = contents(folder)
    before = {file: text.encode() for file, text in BEFORE.items()}
    assert done != before
    outcomes: Counter[str] = Counter()
    for number in range(200):
        fill(folder)
        process = start(folder, "email", "del", "-n", "b@x.com")
        limit_s = _MANY_S if number % 20 == 0 else chance.uniform(0, 1.2) * whole_s
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        if (folder / JOURNAL).exists():
            outcomes["journal left"] += 1
        assert recovered(folder) == "done"
        assert contents(folder) in (before, done)
        outcomes["done" if contents(folder) == done else "not done"] += 1
        assert debris(folder) == []
    assert outcomes["not done"] and outcomes["done"], outcomes
