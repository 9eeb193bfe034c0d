"""Whether a server runs: by the pid files and locks that it keeps."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.servers import running


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    for folder in ("spool/pid", "run", "locks"):
        (tmp_path / folder).mkdir(parents=True)
    return Layout(str(tmp_path))


#: A process as each of the programs is: its words after `-c PROGRAM PID_FILE`, and its folder.
AS_UP = ("mailroster", "up")


def held(
    path: Path, how: str, *words: str, name: str = "python3", cwd: Path | None = None
) -> subprocess.Popen[str]:
    """A process with a command line that keeps a pid file locked until its standard input ends."""
    source = (
        "import fcntl, os, sys\n"
        "file = open(sys.argv[1], 'w')\n"
        f"fcntl.{how}(file, fcntl.LOCK_EX)\n"
        "file.write(f'{os.getpid():>10}\\n'); file.flush()\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [name, "-c", source, str(path), *words],
        executable="/usr/bin/python3",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def master(layout: Layout, how: str = "flock", cwd: str = "") -> subprocess.Popen[str]:
    """A process that looks like Postfix's master."""
    path = Path(layout.spool, "pid", "master.pid")
    return held(path, how, name="/usr/lib/postfix/sbin/master", cwd=Path(cwd or layout.spool))


@pytest.mark.parametrize("how", ["flock", "lockf"])
def test_postfix_runs_as_long_as_its_pid_file_is_locked(layout: Layout, how: str) -> None:
    process = master(layout, how)
    assert running.postfix_pid(layout) == process.pid
    assert running.is_running(layout)
    process.communicate()
    assert running.postfix_pid(layout) is None
    assert not running.is_running(layout)


def test_only_the_first_line_of_a_pid_file_counts(layout: Layout) -> None:
    """Postfix writes a line of its own over what was there, and cuts nothing off."""
    process = master(layout)
    with open(os.path.join(layout.spool, "pid", "master.pid"), "a", encoding="ascii") as file:
        file.write("9" * 5000)
    assert running.postfix_pid(layout) == process.pid
    process.communicate()


def test_a_master_of_another_queue_is_not_ours(layout: Layout) -> None:
    process = master(layout, cwd="/")
    assert running.postfix_pid(layout) is None
    process.communicate()


@pytest.mark.parametrize("file", ["up.pid", "policy.pid", "master.pid"])
def test_a_number_of_an_innocent_process_is_no_server(layout: Layout, file: str) -> None:
    """It is locked, as by a process that has just begun and has not written its own number yet."""
    folder = Path(layout.spool, "pid") if file == "master.pid" else Path(layout.locks)
    sleeper = subprocess.Popen(["sleep", "60"])
    process = held(folder / file, "flock", *AS_UP)
    try:
        (folder / file).write_text(f"{sleeper.pid}\n")
        assert running.postfix_pid(layout) is None
        assert running.policy_pid(layout) is None
        assert running.up_pid(layout) is None
    finally:
        sleeper.kill()
        sleeper.wait()
        process.communicate()


@pytest.mark.parametrize("uid", [0, 5000, 65534])
def test_a_process_of_another_user_is_not_ours_whatever_it_calls_itself(
    layout: Layout, uid: int
) -> None:
    argv = ["dovecot", "-c", "read x", layout.dovecot_conf]
    process = subprocess.Popen(
        argv, executable="/bin/sh", stdin=subprocess.PIPE, user=uid, group=uid, extra_groups=[]
    )
    try:
        Path(layout.dovecot_pid).write_text(f"{process.pid}\n")
        assert running.dovecot_pid(layout) == (process.pid if uid == 0 else None)
    finally:
        process.communicate(b"\n")


def test_a_service_of_an_earlier_version_is_seen_at_its_old_place(layout: Layout) -> None:
    process = held(Path(layout.old_up_pid), "flock", *AS_UP)
    assert running.up_pid(layout) == process.pid
    process.communicate()
    words = ("-m", running.POLICY_MODULE, layout.state, "private", "/logs")
    process = held(Path(layout.old_policy_pid), "flock", *words)
    assert running.policy_pid(layout) == process.pid
    process.communicate()


def test_the_policy_service_is_known_by_every_name_of_its_state_folder(
    layout: Layout, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(layout.state)
    words = ("-m", running.POLICY_MODULE, layout.state, "private", "/logs")
    process = held(Path(layout.policy_pid), "flock", *words)
    assert running.policy_pid(Layout(str(link))) == process.pid
    (tmp_path / "other").mkdir()
    os.link(layout.policy_pid, tmp_path / "other/policy.pid")
    assert running.policy_pid(Layout(str(tmp_path / "other"))) is None
    process.communicate()


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
    process = held(Path(layout.up_pid), "flock", *AS_UP)
    assert running.up_pid(layout) == process.pid
    assert running.up_pid(layout) == process.pid
    process.communicate()
    with open(layout.up_pid, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_dovecot_is_a_process_with_our_configuration(layout: Layout) -> None:
    def runs_as(*words: str, name: str = "/usr/sbin/dovecot") -> bool:
        argv = [name, "-c", "echo; read x", *words]
        process = subprocess.Popen(
            argv, executable="/bin/sh", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
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
    assert not runs_as("-c", layout.dovecot_conf, name="vi")


def test_a_killed_dovecot_that_nobody_has_reaped_does_not_run(layout: Layout) -> None:
    argv = ["dovecot", "-c", "read x", layout.dovecot_conf]
    process = subprocess.Popen(argv, executable="/bin/sh", stdin=subprocess.PIPE)
    Path(layout.dovecot_pid).write_text(f"{process.pid}\n")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert running.dovecot_pid(layout) is None
    process.wait()
