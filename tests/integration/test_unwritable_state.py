"""Tables that can't be written: `up` says so once, does not spin, and catches up by itself."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.faulty import mount, own_mounts
from tests.support.instance import HASH, Instance, until

#: How long `up` is watched while it can't write.
WATCHED_S = 8.0


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with own_mounts():
        made = Instance()
        try:
            made.setup("email", "add", "a@x.com", "secret")
            made.state.mkdir(mode=0o755)
            mount("-t", "tmpfs", "-o", "mode=0755,size=64m,nr_inodes=4k", "mr-state", made.state)
            made.start()
            yield made
        finally:
            made.close()


def read_only(instance: Instance) -> Callable[[], object]:
    """A mount in one place: the queue and the sockets beside it stay writable."""
    served = instance.state / "served"
    mount("--bind", served, served)
    mount("-o", "remount,bind,ro", served)
    return lambda: mount("-o", "remount,bind,rw", served)


def no_inodes(instance: Instance) -> Callable[[], object]:
    made: list[Path] = []
    try:
        while True:
            path = instance.state / "lib" / f"f{len(made)}"
            path.touch()
            made.append(path)
    except OSError:
        pass

    def undo() -> None:
        for path in made:
            path.unlink()

    return undo


def no_space(instance: Instance) -> Callable[[], object]:
    path = instance.state / "lib" / "large"
    with path.open("wb") as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * (1 << 20))
            file.flush()
    return path.unlink


@pytest.mark.parametrize("hinder", [read_only, no_inodes, no_space])
def test_tables_that_cannot_be_written_are_no_flood_and_no_busy_loop(
    instance: Instance, hinder: Callable[[Instance], Callable[[], object]]
) -> None:
    before = len(instance.log.read_text())
    undo = hinder(instance)
    user = f"{hinder.__name__.replace('_', '-')}@x.com"
    try:
        with instance.file("postfix-accounts.cf").open("a") as accounts:
            accounts.write(f"{user}|{HASH}\n")
        until(lambda: "not in step: " in instance.log.read_text()[before:])
        assert instance.up is not None
        began, used = time.monotonic(), cpu_s(instance.up.pid)
        history = instance.file(".mailroster-history")
        while time.monotonic() - began < WATCHED_S:
            os.utime(history)  # something wakes it again and again
            time.sleep(0.02)
        spent = cpu_s(instance.up.pid) - used
        lines = instance.log.read_text()[before:].splitlines()
        assert len([line for line in lines if "not in step: " in line]) <= 2, lines
        assert spent < 0.15 * WATCHED_S, "it must not spin"
        if hinder is not no_inodes:  # without one SQLite has no place for its shared memory
            assert instance.can_log_in("a@x.com")
    finally:
        undo()
    until(lambda: instance.can_log_in(user))
    until(lambda: "in step again" in instance.log.read_text()[before:])
    until(lambda: instance.run("status").returncode == 0)
    assert instance.log.read_text()[before:].count("in step again") == 1


def cpu_s(pid: int) -> float:
    """The CPU time that a process has used, without its children."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
