"""The state folder is emptied, or a part of it, while the servers run: `up` makes it anew, and a
stop still stops everything."""

import os
import shutil
import signal
import smtplib
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mailroster.system.processes import parent
from tests.support import processes
from tests.support.faulty import mount, own_mounts
from tests.support.instance import HASH, Instance, message, until

HEALED = "the state folder is complete again"
HEAL_S = 60.0


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    made = Instance()
    try:
        made.setup("email", "add", "a@x.com", "secret")
        made.setup("alias", "add", "info@x.com", "a@x.com")
        made.file("postfix-regexp.cf").write_text("/^rx[0-9]+@x\\.com$/ a@x.com\n")
        made.file("a@x.com.dovecot.sieve").write_text("keep;\n")
        made.start()
        yield made
    finally:
        made.close()


def said(instance: Instance) -> str:
    return instance.log.read_text()


def heals(instance: Instance, lose: Callable[[], object]) -> str:
    """Asserts that `up` reports a loss as repaired; what it logged meanwhile."""
    before = len(said(instance))
    lose()
    try:
        until(lambda: HEALED in said(instance)[before:], HEAL_S)
    finally:
        print(said(instance)[before:])  # shown if the test fails
    shutil.rmtree(trash(instance), ignore_errors=True)
    return said(instance)[before:]


_count = iter(range(1000))


def works(instance: Instance) -> None:
    """Asserts that logins, mail on each way, and edits by commands and by hand work."""
    number = next(_count)
    until(lambda: instance.run("status").returncode == 0, HEAL_S)
    until(lambda: instance.can_log_in("a@x.com"))
    for to in ("a@x.com", "info@x.com", "rx7@x.com"):
        subject = f"{number}-{to}"
        until(lambda to=to: instance.rcpt(to)[0] == 250)  # type: ignore[misc]
        instance.send(to, subject=subject)
        instance.arrives("a@x.com", subject)
    until(lambda: instance.rcpt("nobody@x.com")[0] == 550)
    command, hand = f"c{number}@x.com", f"h{number}@x.com"
    instance.setup("email", "add", command, "secret")
    assert instance.can_log_in(command)
    with instance.file("postfix-accounts.cf").open("a") as accounts:
        accounts.write(f"{hand}|{HASH}\n")
    until(lambda: instance.can_log_in(hand))
    until(lambda: instance.run("status").returncode == 0)
    assert instance.setup("apply", "--verify") == "0 rows changed\n"


def empty(instance: Instance) -> None:
    """Removes everything from the state folder."""
    remove(instance, *instance.state.iterdir())


def all_but(instance: Instance, name: str) -> None:
    remove(instance, *(entry for entry in instance.state.iterdir() if entry.name != name))


def trash(instance: Instance) -> Path:
    """Where removed folders stay, without their files, until the loss is repaired."""
    return instance.home / "trash"


def remove(instance: Instance, *paths: Path) -> None:
    """Removes files, and folders with all that is in them, in one step for each.

    `rm -rf` removes file by file. On a loaded machine the tables are made anew meanwhile, in the
    same folder, and the folder is never lost. The folder itself is kept: else the file system may
    give its inode to the new one, which then looks like the old one. All paths are moved away
    before the files in them are removed: only that takes time.
    """
    trash(instance).mkdir(exist_ok=True)
    folders = []
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            folders.append(path.rename(trash(instance) / str(next(_count))))
        else:
            path.unlink()
    for folder in folders:
        for entry in folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)  # a server may write into it
            else:
                entry.unlink(missing_ok=True)


def test_a_state_folder_that_is_emptied_is_made_anew(instance: Instance) -> None:
    lines = heals(instance, lambda: empty(instance)).splitlines()
    reasons = [line.partition("not in step: ")[2] for line in lines if "not in step" in line]
    # A look may fall into the removal and another one after it: each reason is logged once.
    assert len(reasons) == len(set(reasons))
    works(instance)


def test_a_state_folder_that_is_another_one_is_filled(instance: Instance) -> None:
    def exchange() -> None:
        instance.state.rename(instance.home / "away")
        instance.state.mkdir(mode=0o755)

    heals(instance, exchange)
    works(instance)
    shutil.rmtree(instance.home / "away")


def test_a_state_folder_that_is_gone_is_made_again(instance: Instance) -> None:
    heals(instance, lambda: instance.state.rename(instance.home / "away"))
    works(instance)
    shutil.rmtree(instance.home / "away")


#: Parts of the state folder, and the servers that must not be restarted for them.
PARTS = [
    pytest.param("tables", "both", id="the folder of the tables"),
    pytest.param("sql", "both", id="Dovecot's database"),
    pytest.param("sieve", "both", id="the Sieve scripts"),
    pytest.param("served", "both", id="the copies of what is served"),
    pytest.param("origin", "both", id="the note of the server's name"),
    pytest.param("run", "postfix", id="Dovecot's sockets"),
    pytest.param("run/lmtp", "postfix", id="one socket of Dovecot's"),
    pytest.param("spool", "dovecot", id="the queue"),
    pytest.param("spool/private", "dovecot", id="Postfix's sockets"),
    pytest.param("spool/pid", "dovecot", id="the pid file of Postfix"),
    pytest.param("lib", "", id="the servers' own data"),
    pytest.param("postfix", "", id="Postfix's configuration"),
    pytest.param("dovecot/dovecot.conf", "", id="Dovecot's configuration"),
    pytest.param("tls", "", id="the certificate"),
    pytest.param("overrides", "", id="the overrides in force"),
    pytest.param("../mail-logs", "", id="the folder of the logs"),
    pytest.param("locks/policy.pid", "both", id="the pid file of the policy service"),
    pytest.param("run/policy", "both", id="the socket of the policy service"),
    pytest.param("locks/up.pid", "both", id="the lock of up"),
]


@pytest.mark.parametrize(("part", "untouched"), PARTS)
def test_a_part_that_is_lost_is_made_anew(instance: Instance, part: str, untouched: str) -> None:
    before = pids(instance)
    heals(instance, lambda: remove(instance, instance.state / part))
    after = pids(instance)
    kept = ("postfix", "dovecot") if untouched == "both" else (untouched,)
    assert {name: after[name] for name in kept if name} == {n: before[n] for n in kept if n}
    assert all(after.values())
    until(lambda: instance.can_log_in("a@x.com"))
    for to in ("a@x.com", "info@x.com", "rx7@x.com"):
        until(lambda to=to: instance.rcpt(to)[0] == 250)  # type: ignore[misc]
    subject = f"{part}-{next(_count)}"
    instance.send("info@x.com", subject=subject)
    instance.arrives("a@x.com", subject)
    until(lambda: instance.run("status").returncode == 0)


def pids(instance: Instance) -> dict[str, int]:
    """The masters by their names, as the kernel has them. A child that has not yet begun its own
    program has the name of its master too."""
    found = {"postfix": 0, "dovecot": 0}
    names = {"master": "postfix", "dovecot": "dovecot"}
    commands = processes.of(instance)
    masters = {
        pid: names[program]
        for pid, command in commands.items()
        if (program := os.path.basename(command.split(" ")[0])) in names
    }
    for pid, name in masters.items():
        if masters.get(parent(pid) or 0) != name:
            found[name] = pid
    return found


#: Folders in which `up` makes files anew as soon as they are missing, and the order in which the
#: files are removed.
SLOWLY = [
    pytest.param("tables", False, id="the folder of the tables"),
    pytest.param("tables", True, id="the folder of the tables, backwards"),
    pytest.param("sql", False, id="Dovecot's database"),
    pytest.param("sql", True, id="Dovecot's database, its log first"),
    pytest.param("sieve", False, id="the Sieve scripts"),
    pytest.param("served", False, id="the copies of what is served"),
]


@pytest.mark.parametrize(("part", "backwards"), SLOWLY)
def test_a_slow_rm_does_no_harm_while_files_are_made_anew(
    instance: Instance, part: str, backwards: bool
) -> None:
    """The files come back before the last one is removed, so that the folder is never lost."""
    folder = instance.state / part
    paths = sorted((path for path in folder.rglob("*") if path.is_file()), reverse=backwards)
    first, rest = paths[: len(paths) // 2], paths[len(paths) // 2 :]
    before = len(said(instance))
    for path in first:
        path.unlink(missing_ok=True)
    until(lambda: len(said(instance)) > before or any(path.exists() for path in first))
    for path in rest:
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
    works(instance)


def test_an_rm_again_and_again_beside_the_repair_does_no_harm(instance: Instance) -> None:
    for part in ("tables", "sql", "sieve", "served") * 5:
        shutil.rmtree(instance.state / part, ignore_errors=True)
    works(instance)


@pytest.mark.parametrize("ends", [("-wal",), ("-shm",), ("-wal", "-shm")], ids="+".join)
def test_a_lost_log_of_the_database_keeps_no_change_from_logins(
    instance: Instance, ends: tuple[str, ...]
) -> None:
    """Dovecot keeps the lost log open: it would see no change that is in another one."""
    address = f"log{next(_count)}@x.com"
    instance.setup("email", "add", address, "secret")
    assert instance.can_log_in(address)
    for end in ends:
        (instance.state / f"sql/roster.db{end}").unlink()
    assert instance.run("email", "del", "-n", address).returncode in (0, 75)
    until(lambda: not instance.can_log_in(address))
    until(lambda: instance.run("status").returncode == 0)
    instance.setup("email", "add", address, "secret")
    assert instance.can_log_in(address)


@pytest.mark.parametrize("ends", [(".sieve",), (".svbin",), (".sieve", ".svbin")], ids="+".join)
def test_one_sieve_script_that_is_lost_is_in_force_again(
    instance: Instance, ends: tuple[str, ...]
) -> None:
    script = instance.state / "sieve/accounts/a@x.com.sieve"
    until(script.with_suffix(".svbin").exists)
    assert script.exists()
    for end in ends:
        script.with_suffix(end).unlink()
    until(script.exists)
    until(script.with_suffix(".svbin").exists)


def test_accepted_mail_outlives_the_loss_of_all_but_the_queue(instance: Instance) -> None:
    """Mail that comes while everything else is deleted again and again is delivered."""
    accepted: list[str] = []
    done = threading.Event()

    def send() -> None:
        while not done.is_set():
            subject = f"under-{len(accepted)}"
            try:
                instance.send("a@x.com", subject=subject)
            except (OSError, smtplib.SMTPException):
                done.wait(0.05)
                continue
            accepted.append(subject)
            done.wait(0.02)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        until(lambda: len(accepted) > 5)
        for _ in range(2):
            heals(instance, lambda: all_but(instance, "spool"))
            count = len(accepted)
            until(lambda count=count: len(accepted) > count + 5, HEAL_S)  # type: ignore[misc]
    finally:
        done.set()
        sender.join()
    until(lambda: set(accepted) <= set(instance.subjects("a@x.com")), 90)


def test_lost_accounts_are_not_forgotten_with_the_state(instance: Instance) -> None:
    """Both at once is an accident: nobody is refused for good until the file is back."""
    accounts = instance.file("postfix-accounts.cf")
    text = accounts.read_bytes()
    before = len(said(instance))
    accounts.unlink()
    remove(instance, instance.state / "served")
    until(lambda: "restore it" in said(instance)[before:])
    assert instance.can_log_in("a@x.com")
    assert instance.rcpt("a@x.com")[0] == 250
    accounts.write_bytes(text)
    accounts.chmod(0o600)
    until(lambda: HEALED in said(instance)[before:], HEAL_S)
    works(instance)


def test_a_second_up_that_takes_the_folder_over_ends_the_first(instance: Instance) -> None:
    first = instance.up
    assert first is not None
    first.send_signal(signal.SIGSTOP)  # so that it does not heal before the second one begins
    empty(instance)
    instance.start()
    second = pids(instance)
    first.send_signal(signal.SIGCONT)
    assert first.wait(HEAL_S) == 1
    assert "uses it now" in said(instance)
    assert pids(instance) == second
    works(instance)


def test_a_stop_after_the_loss_of_everything_leaves_nothing(instance: Instance) -> None:
    """Even if there is no time to heal: no pid file is left to go by."""
    assert processes.open_ports(instance)
    empty(instance)
    assert instance.stop() == 0
    processes.nothing_is_left(instance)
    instance.start()
    works(instance)


def test_an_up_that_was_killed_and_has_lost_everything_is_replaced(instance: Instance) -> None:
    """The next one ends the servers that no pid file names, and has the ports."""
    instance.kill()
    empty(instance)
    instance.start()
    assert "still runs without its pid file" in said(instance)
    works(instance)
    assert instance.stop() == 0
    processes.nothing_is_left(instance)


def test_a_tmpfs_that_is_mounted_anew_is_filled() -> None:
    with own_mounts():
        made = Instance()
        try:
            made.setup("email", "add", "a@x.com", "secret")
            made.state.mkdir(mode=0o755)
            mount("-t", "tmpfs", "-o", "mode=0755", "mr-state", made.state)
            made.start()
            heals(made, lambda: mount("-t", "tmpfs", "-o", "mode=0755", "mr-new", made.state))
            assert made.can_log_in("a@x.com")
            heals(made, lambda: subprocess.run(["umount", "-l", made.state], check=True))
            until(lambda: made.can_log_in("a@x.com"))
            with made.smtp() as session:
                session.send_message(message("x", "a@x.com"), to_addrs=["a@x.com"])
            made.arrives("a@x.com", "x")
            assert made.stop() == 0
            processes.nothing_is_left(made)
        finally:
            made.close()
