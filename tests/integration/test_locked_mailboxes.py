"""The lock of a mailbox that a killed Dovecot has left, whose number another process has by now."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroster.base.layout import Layout
from mailroster.servers import running
from mailroster.servers.mail_work import UIDLIST_LOCK
from tests.support.instance import HASH, Instance, until

TOLD = "mail folders that a killed Dovecot had locked are unlocked: 1\n"


@pytest.fixture
def instance() -> Iterator[Instance]:
    made = Instance()
    try:
        made.file("postfix-accounts.cf").write_text(f"a@x.com|{HASH}\n")
        made.start()
        made.send("a@x.com", subject="first")
        made.arrives("a@x.com", "first")
        yield made
    finally:
        made.close()


def lock(instance: Instance) -> Path:
    """As one of Dovecot's processes leaves it, with a number that is now ours."""
    mailbox = instance.mail / "x.com/a"
    path = mailbox / UIDLIST_LOCK
    path.write_text(f"{os.getpid()}:{socket.gethostname()}")
    owner = mailbox.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
    return path


def killed(instance: Instance) -> None:
    """As all processes of a container are."""
    instance.kill()
    layout = Layout(str(instance.state))
    for pid in (running.postfix_pid(layout), running.dovecot_pid(layout)):
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    until(lambda: not running.is_running(layout))


def test_after_a_crash_new_mail_is_seen_at_once(instance: Instance) -> None:
    killed(instance)
    left = lock(instance)
    instance.start()
    assert TOLD in instance.log.read_text()
    instance.send("a@x.com", subject="second")
    instance.arrives("a@x.com", "second", wait_s=30)
    assert not left.exists()


def test_a_state_folder_that_knows_of_no_stop_may_have_been_that_of_a_crash(
    instance: Instance,
) -> None:
    assert instance.stop() == 0
    Path(Layout(str(instance.state)).stopped).unlink()
    left = lock(instance)
    instance.start()
    assert not left.exists()


def test_after_a_clean_stop_the_mailboxes_are_not_looked_through(instance: Instance) -> None:
    assert instance.stop() == 0
    left = lock(instance)
    instance.start()
    assert left.exists()
    instance.send("a@x.com", subject="second")
    with pytest.raises(TimeoutError), instance.imap("a@x.com") as session:
        session.sock.settimeout(3)
        session.select("INBOX")  # the fact that is leaned on: Dovecot waits
    left.unlink()
    instance.arrives("a@x.com", "second")


def test_a_dovecot_that_outlived_up_keeps_its_locks(instance: Instance) -> None:
    instance.kill()
    left = lock(instance)
    instance.start()
    assert left.exists()
    left.unlink()
