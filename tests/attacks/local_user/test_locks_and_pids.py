"""Who has a login on the machine can't stop a command, a change or a start by a lock, and can't
have `up` end a process that is not its own."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.servers import running
from tests.support.attacks.parties import PYTHON, argv_as, python_as
from tests.support.instance import HASH, PASSWORD, Instance, until

#: Locks all that it can open below a folder, again and again, and keeps every lock. `ready` is
#: printed after the first walk, with how many it has.
LOCKER = """
import fcntl, os, sys, time
shared = sys.argv[1] == "shared"
flock, lockf = (fcntl.LOCK_SH, fcntl.LOCK_SH) if shared else (fcntl.LOCK_EX, fcntl.LOCK_EX)
names, kept = sys.argv[2:], {}
def lock(path):
    for flags in (os.O_RDWR, os.O_RDONLY):
        try:
            fd = os.open(path, flags | os.O_NONBLOCK)
        except OSError:
            continue
        for how, kind in ((fcntl.flock, flock), (fcntl.lockf, lockf), (fcntl.lockf, fcntl.LOCK_SH)):
            try:
                how(fd, kind | fcntl.LOCK_NB)
            except OSError:
                pass
        kept[path] = fd
        return
first = True
while True:
    paths = list(names)
    for folder, folders, files in os.walk(names[0]):
        paths += [folder, *(os.path.join(folder, name) for name in files)]
    for path in paths:
        if path not in kept:
            lock(path)
    if first:
        print("ready", len(kept), flush=True)
    first = False
    time.sleep(0.02)
"""
FOLDERS = ("config", "mail-state", "mail-logs", "mail-data")


@pytest.fixture(scope="module")
def home() -> Iterator[Instance]:
    """A home in use, which each test stops and starts as it likes."""
    instance = Instance()
    try:
        instance.start()
        instance.setup("email", "add", "john@example.com", PASSWORD)
        instance.setup("alias", "add", "info@example.com", "john@example.com")
        instance.send("info@example.com", subject="first")
        instance.arrives("john@example.com", "first")
        instance.stop()
        yield instance
    finally:
        instance.close()


def names_below(home: Path) -> list[str]:
    """Every name below the folders, as an attacker may know it from an installation of his own."""
    found = [str(home / folder) for folder in FOLDERS]
    return found + [str(path) for folder in FOLDERS for path in (home / folder).rglob("*")]


@contextmanager
def locked(instance: Instance, how: str) -> Iterator[None]:
    """While the user `nobody` keeps every lock that he can get."""
    with python_as("nobody", LOCKER, how, *names_below(instance.home)):
        yield


@pytest.mark.parametrize("how", ["shared", "exclusive"])
def test_locks_of_a_local_user_stop_neither_commands_nor_changes_nor_a_start(
    home: Instance, how: str
) -> None:
    with locked(home, how):
        home.start()
        began = time.monotonic()
        address = f"{how}@example.com"
        home.setup("email", "add", address, PASSWORD)
        assert home.can_log_in(address)
        assert address in home.setup("email", "list")
        with home.file("postfix-accounts.cf").open("a") as file:
            file.write(f"hand-{how}@example.com|{HASH}\n")
        until(lambda: home.can_log_in(f"hand-{how}@example.com"))
        home.setup("email", "rename", address, f"new-{address}")
        home.setup("alias", "add", f"x-{address}", "john@example.com")
        assert home.rcpt(f"x-{address}")[0] == 250
        until(lambda: home.run("status").returncode == 0)
        home.setup("apply", "--verify")
        assert time.monotonic() - began < 60, "something has waited for a lock"
        assert home.stop() == 0
    assert "locked" not in home.log.read_text()


def test_nothing_of_the_locks_can_be_opened_by_another_user(home: Instance) -> None:
    layout = Layout(str(home.state))
    home.start()
    try:
        for path in (layout.locks, layout.up_pid, layout.policy_pid, layout.intents, layout.state):
            argv = argv_as(
                "nobody", [PYTHON, "-c", "import os, sys; os.open(sys.argv[1], 0)", path]
            )
            done = subprocess.run(argv, capture_output=True, text=True, cwd="/")
            assert "PermissionError" in done.stderr, path
    finally:
        home.stop()


@contextmanager
def innocent(count: int = 1) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of root that have nothing to do with us."""
    with ExitStack() as stack:
        found = [subprocess.Popen(["sleep", "600"]) for _ in range(count)]
        for process in found:
            stack.callback(process.communicate)
            stack.callback(process.kill)
        yield found


def pid_files(layout: Layout) -> list[str]:
    """Everywhere that the number of a process is read from, the places of old versions too."""
    return [
        layout.up_pid,
        layout.policy_pid,
        layout.old_up_pid,
        layout.old_policy_pid,
        layout.dovecot_pid,
        os.path.join(layout.spool, "pid", "master.pid"),
    ]


@contextmanager
def locking(paths: Sequence[str], user: str) -> Iterator[None]:
    """While a process of a user has files locked which it could open at another time, as before
    they were closed to others."""
    program = (
        "import fcntl, sys, time\n"
        "for fd in map(int, sys.argv[1:]):\n    fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "print('ready', flush=True); time.sleep(600)\n"
    )
    fds = [os.open(path, os.O_RDWR) for path in paths]
    process = subprocess.Popen(
        argv_as(user, [PYTHON, "-c", program, *map(str, fds)]),
        stdout=subprocess.PIPE, pass_fds=fds, cwd="/",
    )  # fmt: skip
    for fd in fds:
        os.close(fd)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("are_locked", [False, True], ids=["unlocked", "locked"])
def test_a_stale_pid_file_with_the_number_of_another_process_ends_nothing(
    home: Instance, are_locked: bool
) -> None:
    """Locked are those of an earlier version, which a local user could open."""
    layout = Layout(str(home.state))
    files = pid_files(layout)
    with innocent(len(files)) as processes, ExitStack() as stack:
        for path, process in zip(files, processes, strict=True):
            Path(path).write_text(f"{process.pid}\n")
        if are_locked:
            stack.enter_context(locking([layout.old_up_pid, layout.old_policy_pid], "nobody"))
        assert not running.is_running(layout)
        assert (running.up_pid(layout), running.policy_pid(layout)) == (None, None)
        home.start()
        assert home.can_log_in("john@example.com")
        until(lambda: running.policy_pid(layout) is not None)
        ours = {running.up_pid(layout), running.policy_pid(layout), running.dovecot_pid(layout)}
        assert None not in ours
        assert not ours & {process.pid for process in processes}
        assert home.stop() == 0
        assert [process.poll() for process in processes] == [None] * len(files)


def test_a_killed_server_whose_number_is_another_process_now_is_started_again(
    home: Instance,
) -> None:
    """As after a kill of everything: each pid file stays, and each number is an innocent's."""
    layout = Layout(str(home.state))
    home.start()
    until(lambda: running.policy_pid(layout) is not None)
    with innocent(2) as processes:
        dovecot = running.dovecot_pid(layout)
        policy = running.policy_pid(layout)
        assert dovecot is not None
        assert policy is not None
        home.kill()
        for pid, path, process in (
            (dovecot, layout.dovecot_pid, processes[0]),
            (policy, layout.policy_pid, processes[1]),
        ):
            os.kill(pid, signal.SIGKILL)
            Path(path).write_text(f"{process.pid}\n")
        home.start()
        assert home.can_log_in("john@example.com")
        until(lambda: running.policy_pid(layout) not in (None, policy))
        assert home.stop() == 0
        assert [process.poll() for process in processes] == [None, None]


#: What each of our programs has as its command line.
DISGUISES = {
    "up": ["python3", "-m", "mailroster", "up"],
    "policy": ["python3", "-P", "-m", running.POLICY_MODULE, "STATE", "private", "/logs"],
    "dovecot": ["/usr/sbin/dovecot", "-c", "STATE/dovecot/dovecot.conf"],
    "master": ["/usr/lib/postfix/sbin/master", "-w"],
}


@contextmanager
def disguised(state: Path, user: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of a user that call themselves as ours do, and hide whose they are."""
    hide = (
        "import ctypes, time\n"
        "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n"  # PR_SET_DUMPABLE: /proc/PID is root's then
        "print('ready', flush=True); time.sleep(600)\n"
    )
    with ExitStack() as stack:
        found = []
        for words in DISGUISES.values():
            name, *rest = (word.replace("STATE", str(state)) for word in words)
            uid = 65534 if user == "nobody" else 0
            process = subprocess.Popen(
                [name, "-c", hide, *rest],
                executable=PYTHON, stdout=subprocess.PIPE, cwd="/",
                user=uid, group=uid, extra_groups=[],
            )  # fmt: skip
            stack.callback(process.communicate)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            found.append(process)
        yield found


def test_a_process_that_calls_itself_as_ours_is_not_taken_for_it(home: Instance) -> None:
    layout = Layout(str(home.state))
    with disguised(home.state, "nobody") as processes:
        for path in pid_files(layout):
            for process in processes:
                Path(path).write_text(f"{process.pid}\n")
                with locking([path], "nobody"):
                    assert not running.is_running(layout), (path, process.args)
                    found = running.up_pid(layout), running.policy_pid(layout)
                    assert found == (None, None), (path, process.args)
            Path(path).unlink()
        home.start()
        assert home.stop() == 0
        assert all(process.poll() is None for process in processes)


def test_a_folder_of_locks_that_is_a_link_or_anothers_is_not_used(home: Instance) -> None:
    """As a state folder that was once open to others may have it."""
    layout = Layout(str(home.state))
    elsewhere = home.home / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    shutil.rmtree(layout.locks)
    try:
        os.symlink(elsewhere, layout.locks)
        done = home.run("up")
        assert done.returncode == 1
        assert layout.locks in done.stderr
        os.unlink(layout.locks)
        os.mkdir(layout.locks, 0o777)
        os.chown(layout.locks, 1234, 1234)
        done = home.run("up")
        assert done.returncode == 1
        assert "uid 1234" in done.stderr
    finally:
        if os.path.islink(layout.locks):
            os.unlink(layout.locks)
        else:
            os.rmdir(layout.locks)
    assert list(elsewhere.iterdir()) == []
    home.start()
    home.stop()


def test_a_pid_file_that_is_a_link_writes_nowhere(home: Instance) -> None:
    layout = Layout(str(home.state))
    target = home.home / "target"
    target.write_text("mine\n")
    os.unlink(layout.up_pid)
    os.symlink(target, layout.up_pid)
    try:
        assert home.run("up").returncode == 1
        assert target.read_text() == "mine\n"
    finally:
        os.unlink(layout.up_pid)
    home.start()
    home.stop()
