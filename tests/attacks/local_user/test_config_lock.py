"""A user with a login on the machine locks whatever can be opened in the config and the state
folder. Commands and the running server go on."""

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroster.system.folder_lock import LOCK_FILE, FolderLock
from tests.support.attacks.parties import python_as
from tests.support.instance import HASH, Instance, until

ACCOUNTS = "postfix-accounts.cf"
#: Holds a lock of each kind on everything below some folders that it can open, for reading or for
#: writing, and says how many.
LOCKS = """
import fcntl, os, sys, time
held = []
for root in sys.argv[1:]:
    for folder, folders, files in os.walk(root):
        for name in [".", *files]:
            for flags in (os.O_RDWR, os.O_RDONLY):
                try:
                    fd = os.open(os.path.join(folder, name), flags | os.O_NONBLOCK)
                except OSError:
                    continue
                for lock in (fcntl.flock, fcntl.lockf):
                    for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH):
                        try:
                            lock(fd, kind | fcntl.LOCK_NB)
                        except OSError:
                            continue
                        held.append((fd, folder, name))
                        break
print(len(held), *{os.path.join(folder, name) for _, folder, name in held}, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    instance = Instance()
    try:
        instance.file(ACCOUNTS).write_text(f"a@example.com|{HASH}\n")
        instance.start()
        instance.setup("email", "add", "first@example.com", "--hash", HASH)
        yield instance
    finally:
        instance.close()


def test_commands_go_on_while_nobody_locks_the_config_folder(server: Instance) -> None:
    """The tables of the state folder have a test of their own."""
    config = server.file(ACCOUNTS).parent
    for path in (config, config.parent):
        path.chmod(0o755)
    with python_as("nobody", LOCKS, str(config)):
        server.setup("email", "list")
        server.setup("check")
        server.setup("log")
        server.setup("email", "add", "second@example.com", "--hash", HASH)
        assert "second@example.com" in server.users()
        with (config / ACCOUNTS).open("a") as file:
            file.write(f"third@example.com|{HASH}\n")
        until(lambda: "third@example.com" in server.users(), 60)


def test_commands_go_on_while_nobody_locks_the_state_folder_itself(server: Instance) -> None:
    program = LOCKS.replace('[".", *files]', f'[".", {LOCK_FILE!r}]')
    with python_as("nobody", program, str(server.state)):
        server.setup("email", "add", "fourth@example.com", "--hash", HASH)
        assert "fourth@example.com" in server.users()


@pytest.mark.parametrize("folder", ("config", "state"))
def test_a_lock_file_can_be_opened_by_nobody_else(server: Instance, folder: str) -> None:
    place = server.state if folder == "state" else server.file(ACCOUNTS).parent
    status = (place / LOCK_FILE).stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, place.stat().st_uid)


def test_a_lock_file_that_was_pushed_open_is_closed_by_the_first_edit(server: Instance) -> None:
    lock = server.file(ACCOUNTS).parent / LOCK_FILE
    lock.chmod(0o666)
    server.setup("email", "add", "fifth@example.com", "--hash", HASH)
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600


def test_who_looks_needs_no_lock(tmp_path: Path) -> None:
    """Not even that of a command that hangs."""
    config = tmp_path / "config"
    config.mkdir()
    (config / ACCOUNTS).write_text(f"a@example.com|{HASH}\n")
    from mailroster.store.config_folder import Store

    with FolderLock(str(config)):
        fd = os.open(config, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert "a@example.com" in Store(str(config), wait_s=0).read().roster.accounts
        os.close(fd)
