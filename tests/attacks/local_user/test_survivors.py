"""A local user runs processes that look like what a crashed Dovecot leaves behind: only what really
belongs to the instance is ended."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.servers import survivors
from mailroster.system.processes import ProcessEntry, entries
from tests.support.attacks.parties import MAIL_UID, PYTHON, argv_as
from tests.support.instance import until

#: A process as a service of Dovecot, in a session whose leader ends, or stays: NAME FOLDER LEADER.
SERVICE = """
import os, sys, time
name, folder, leader = sys.argv[1:]
os.chdir(folder)
os.setsid()
if leader == "shell" and os.fork() > 0:
    time.sleep(0.2)
    os._exit(0)
if (pid := os.fork()) == 0:
    os.close(1)
    os.execv("/bin/sleep", [name, "600"])
print(pid, flush=True)
if leader != "ends":
    time.sleep(600)
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    for folder in (tmp_path, *tmp_path.parents[:3]):  # other users work in it
        folder.chmod(folder.stat().st_mode | 0o555)
    layout = Layout(str(tmp_path / "state"))
    Path(layout.run, "login").mkdir(parents=True)
    return layout


class Services:
    """Processes that are killed at the end."""

    def __init__(self) -> None:
        self._pids: list[int] = []

    def start(
        self, user: str | int, name: str, folder: str, leader: str = "ends", env: str = ""
    ) -> int:
        argv = argv_as(user, [PYTHON, "-c", SERVICE, name, folder, leader])
        environment = {**os.environ, "MAIL_CONFIG": env}
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        self._pids += [pid, process.pid]
        if leader == "ends":
            process.wait()
        until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(name.encode()))
        return pid

    def close(self) -> None:
        for pid in self._pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


@pytest.fixture
def services() -> Iterator[Services]:
    started = Services()
    yield started
    started.close()


def found(layout: Layout) -> set[int]:
    return {each.pid for each in survivors.survivors(layout)}


def test_what_a_crash_has_left_is_ended_and_nothing_else(
    layout: Layout, services: Services, tmp_path: Path
) -> None:
    run, other = layout.run, tmp_path / "state2" / "run"
    other.mkdir(parents=True)
    ours = {
        services.start("root", "dovecot-mailroster/log", run),
        services.start("dovenull", "dovecot-mailroster/imap-login", f"{run}/login"),
        services.start("dovecot", "dovecot/stats", run),
    }
    others = {
        "a local user": services.start("nobody", "dovecot-mailroster/log", run),
        "who owns the mail": services.start(MAIL_UID, "dovecot-mailroster/imap", run),
        "another instance": services.start("root", "dovecot-mailroster/log", str(other)),
        "a master that runs": services.start("root", "dovecot-mailroster/log", run, "stays"),
        "another program": services.start("root", "bash", run),
        "a local user's postfix": services.start("nobody", "smtpd", "/", env=layout.postfix),
        "a shell with our MAIL_CONFIG": services.start("root", "sh", "/", env=layout.postfix),
        "a master in the session of a shell": services.start("root", "dovecot", run, "shell"),
    }
    assert found(layout) == ours
    assert survivors.end(survivors.survivors(layout)) == len(ours)
    assert found(layout) == set()
    table = entries()
    assert [name for name, pid in others.items() if pid not in table or table[pid].is_dead()] == []


def test_a_folder_that_was_lost_is_known_by_its_name(layout: Layout, services: Services) -> None:
    pid = services.start("root", "dovecot-mailroster/log", layout.run)
    os.rename(layout.state, f"{layout.state}-lost")
    assert found(layout) == set(), "it works for what has the other name now"
    os.rename(f"{layout.state}-lost", layout.state)
    Path(layout.run, "login").rmdir()
    Path(layout.run).rmdir()
    assert found(layout) == {pid}


def test_a_number_that_another_process_has_by_now_is_left_alone(services: Services) -> None:
    pid = services.start("nobody", "bystander", "/")
    entry = entries()[pid]
    assert (
        survivors.end([entry._replace(started=entry.started - 1), ProcessEntry(0, "S", 1, 1, 1)])
        == 0
    )
    os.kill(pid, 0)
