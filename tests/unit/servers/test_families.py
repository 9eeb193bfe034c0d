"""What belongs to a server, and that nothing of it outlives its end."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from mailroster.servers.families import Process, end, kill_descendants, members
from mailroster.system.processes import ProcessEntry, entries

LEADER = ProcessEntry(10, "S", 1, 10, 100)


def table(*rows: ProcessEntry) -> dict[int, ProcessEntry]:
    return {row.pid: row for row in rows}


@pytest.mark.parametrize(
    ("others", "known", "found"),
    [
        pytest.param([LEADER, ProcessEntry(11, "S", 10, 10, 101)], [], {11}, id="a child"),
        pytest.param(
            [LEADER, ProcessEntry(11, "S", 1, 10, 101)], [], {11}, id="an orphan of the session"
        ),
        pytest.param(
            [LEADER, ProcessEntry(11, "S", 10, 10, 101), ProcessEntry(12, "S", 11, 12, 102),
             ProcessEntry(13, "S", 12, 12, 103)],
            [], {11, 12, 13}, id="a grandchild with a session of its own",
        ),
        pytest.param([ProcessEntry(11, "S", 1, 10, 101)], [], {11}, id="the leader is gone"),
        pytest.param(
            [ProcessEntry(12, "S", 11, 12, 102), ProcessEntry(11, "S", 1, 11, 101)],
            [ProcessEntry(11, "S", 10, 11, 101)], {11, 12}, id="known, and its child",
        ),
        pytest.param(
            [ProcessEntry(10, "S", 1, 10, 900), ProcessEntry(11, "S", 10, 10, 901)], [], set(),
            id="the number of the leader belongs to another one",
        ),
        pytest.param(
            [LEADER, ProcessEntry(11, "S", 1, 11, 900)],
            [ProcessEntry(11, "S", 10, 10, 101)],
            set(),
            id="the number of a known one belongs to another one",
        ),
        pytest.param([LEADER, ProcessEntry(11, "Z", 10, 10, 101)], [], set(), id="a dead one"),
        pytest.param([LEADER, ProcessEntry(11, "S", 1, 11, 101)], [], set(), id="a stranger"),
    ],
)  # fmt: skip
def test_a_family_is_the_session_and_all_that_descends_from_it(
    others: list[ProcessEntry], known: list[ProcessEntry], found: set[int]
) -> None:
    assert members(LEADER, known, table(*others)) == found


def test_a_leader_in_the_session_of_others_has_only_its_descendants() -> None:
    shell, up = ProcessEntry(5, "S", 1, 5, 50), ProcessEntry(10, "S", 5, 5, 100)
    neighbour, child = ProcessEntry(6, "S", 5, 5, 60), ProcessEntry(11, "S", 10, 5, 101)
    assert members(up, [], table(shell, up, neighbour, child)) == {11}


#: A daemon with children that know no mercy, one of them in a session of its own.
DAEMON = """
import os, signal, sys, time
def stubborn():
    for number in range(1, 32):
        try: signal.signal(number, signal.SIG_IGN)
        except OSError: pass
    while True: time.sleep(60)
os.setsid()
if sys.argv[1] == "stubborn":
    for own_session in (False, True):
        if os.fork() == 0:
            if own_session: os.setsid()
            stubborn()
print("ready", flush=True)
if sys.argv[2] == "stubborn": stubborn()
time.sleep(600)
"""


@pytest.fixture
def cleanup() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        for pid, entry in entries().items():
            if process.pid in (entry.session, entry.parent):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()


@pytest.mark.parametrize("children", ["none", "stubborn"])
@pytest.mark.parametrize("leader", ["mild", "stubborn"])
def test_nothing_outlives_the_end(
    children: str,
    leader: str,
    cleanup: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mailroster.servers.families.CHILDREN_S", 0.3)
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, children, leader], stdout=subprocess.PIPE
    )
    cleanup.append(daemon)
    assert daemon.stdout is not None
    daemon.stdout.readline()
    time.sleep(0.3)  # for the children's own signal handlers
    family = {p for p, e in entries().items() if daemon.pid in (e.session, e.parent)}
    assert len(family) == (3 if children == "stubborn" else 1)
    handle, killed = Process(daemon.pid), list[str]()
    assert asyncio.run(asyncio.wait_for(end(handle, 1.0, lambda: killed.append("killed")), 60))
    handle.close()
    alive = {p for p, e in entries().items() if p in family and not e.is_dead()}
    assert alive == set()
    assert bool(killed) == (children == "stubborn" or leader == "stubborn")


def test_a_handle_outlives_its_process() -> None:
    process = subprocess.Popen(["sleep", "600"])
    handle = Process(process.pid)
    assert not handle.has_ended()
    process.kill()
    process.wait()
    assert handle.has_ended()
    handle.signal(signal.SIGTERM)  # to nobody
    handle.close()
    with pytest.raises(ProcessLookupError):
        Process(process.pid)


def test_all_that_a_process_has_started_can_be_killed() -> None:
    inner = "import subprocess; subprocess.run(['sh', '-c', 'setsid sleep 600 & sleep 600'])"
    program = f"""
import asyncio, os, subprocess, sys, time
from mailroster.servers.families import kill_descendants
from mailroster.system.processes import entries
subprocess.Popen([sys.executable, "-c", {inner!r}])
deadline = time.monotonic() + 20
while sum(b"sleep" in open(f"/proc/{{p}}/cmdline", "rb").read() for p, e in entries().items()
          if e.session == os.getsid(0)) < 2 and time.monotonic() < deadline: time.sleep(0.05)
asyncio.run(kill_descendants(os.getpid()))
print([e for e in entries().values() if e.parent == os.getpid() and not e.is_dead()])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
        start_new_session=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_process_without_children_has_nothing_to_kill() -> None:
    process = subprocess.Popen(["sleep", "600"])
    try:
        asyncio.run(asyncio.wait_for(kill_descendants(process.pid), 20))
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
