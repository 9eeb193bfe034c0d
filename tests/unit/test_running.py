"""Whether a server runs: by the pid files and locks that it keeps."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailroster import running
from mailroster.instance.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    for folder in ("spool/pid", "run"):
        (tmp_path / folder).mkdir(parents=True)
    return Layout(str(tmp_path))


def held(path: Path, how: str) -> subprocess.Popen[str]:
    """A process that keeps a pid file locked until its standard input ends."""
    source = (
        "import fcntl, os, sys\n"
        "file = open(sys.argv[1], 'w')\n"
        f"fcntl.{how}(file, fcntl.LOCK_EX)\n"
        "file.write(f'{os.getpid():>10}\\n'); file.flush()\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    argv = [sys.executable, "-c", source, str(path)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("how", ["flock", "lockf"])
def test_postfix_runs_as_long_as_its_pid_file_is_locked(layout: Layout, how: str) -> None:
    process = held(Path(layout.spool, "pid", "master.pid"), how)
    assert running.postfix_pid(layout) == process.pid
    assert running.is_running(layout)
    process.communicate()
    assert running.postfix_pid(layout) is None
    assert not running.is_running(layout)


@pytest.mark.parametrize("text", ["", "\n", "pid\n", "0\n", "999999999\n", "\udcff"])
def test_a_pid_file_that_says_nothing_true_is_no_server(layout: Layout, text: str) -> None:
    for path in (Path(layout.run, "master.pid"), Path(layout.spool, "pid", "master.pid")):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert not running.is_running(layout)
    assert running.up_pid(layout) is None


def test_a_pid_file_that_nobody_locks_is_an_old_one(layout: Layout) -> None:
    with open(layout.up_pid, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    assert running.up_pid(layout) is None


def test_looking_takes_no_lock_away(layout: Layout) -> None:
    process = held(Path(layout.up_pid), "flock")
    assert running.up_pid(layout) == process.pid
    assert running.up_pid(layout) == process.pid
    process.communicate()
    with open(layout.up_pid, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_dovecot_is_a_process_with_our_configuration(layout: Layout) -> None:
    def runs_as(*words: str) -> bool:
        argv = [sys.executable, "-c", "print(flush=True); input()", *words]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # for a moment after exec(2) it has no command line
        Path(layout.dovecot_pid).write_text(f"{process.pid}\n")
        try:
            return running.dovecot_pid(layout) == process.pid
        finally:
            process.communicate(b"\n")

    assert runs_as("-c", layout.dovecot_conf)
    assert not runs_as("-c", "/etc/dovecot/dovecot.conf")
    assert not runs_as()


def test_a_killed_dovecot_that_nobody_has_reaped_does_not_run(layout: Layout) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()", layout.dovecot_conf])
    Path(layout.dovecot_pid).write_text(f"{process.pid}\n")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert running.dovecot_pid(layout) is None
    process.wait()
