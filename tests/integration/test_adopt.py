"""A docker-mailserver moves over: what it has left is told, then served as it is."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import left_behind
from tests.support.instance import HASH, Instance, free_ports, until
from tests.support.left_behind import OWNER, UID_OF_HELLO

STRANGER = 12345
QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")


@pytest.fixture(scope="module")
def old(request: pytest.FixtureRequest) -> Iterator[Instance]:
    """A home that a docker-mailserver has left, a message in its queue, before anything is started.

    The message is a real one, put off by a Postfix that could not reach the relay.
    """
    instance = Instance(relayhost=f"[127.0.0.1]:{free_ports(1)[0]}")
    try:
        instance.setup("email", "add", "sender@example.com", "secret")
        instance.start()
        instance.setup("alias", "add", "out@example.com", "someone@elsewhere.test")
        instance.send("out@example.com", subject="put off")
        until(lambda: bool(messages(instance.state / "spool/deferred")))
        instance.stop()
        queue = instance.home / "queue"
        (instance.state / "spool").rename(queue)
        toml = (instance.config / "mailroster.toml").read_text()
        for folder in ("config", "mail-data", "mail-state", "mail-logs"):
            shutil.rmtree(instance.home / folder)
        left_behind.leave(instance.home)
        shutil.rmtree(instance.state / "spool-postfix")
        queue.rename(instance.state / "spool-postfix")
        lines = [line for line in toml.splitlines(keepends=True) if "relayhost" not in line]
        relay = f'relayhost = "[127.0.0.1]:{instance.sink.port}"\n'
        (instance.config / "mailroster.toml").write_text("".join([*lines, relay]))
        with (instance.config / "postfix-accounts.cf").open("a") as file:
            fields = f"userdb_mail=mdbox:{instance.mail}/%d/%n"
            file.write(f"mona@example.com|{HASH}|{fields}\n")
        left_behind.mailbox(instance.mail, "strange.test/else", "not ours", STRANGER)
        yield instance
    finally:
        instance.close()


def messages(queue: Path) -> list[Path]:
    return [path for path in queue.rglob("*") if path.is_file()]


def whole(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """Of everything in a folder: owner, mode, and when it was changed last."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_uid, status.st_gid, status.st_mode, status.st_ctime_ns)
    return found


@pytest.fixture(scope="module")
def served(old: Instance) -> dict[str, object]:
    """What was told before the start, and what the mail folder was before and after."""
    before = whole(old.home)
    done = old.run("adopt", str(old.home), "--json")
    report = {"before": before, "after": whole(old.home), "status": done.returncode}
    report["told"] = json.loads(done.stdout)
    report["mail"] = whole(old.mail)
    old.start()
    report["started"] = whole(old.mail)
    return report


def test_it_is_told_before_anything_is_started_and_nothing_is_changed(
    served: dict[str, object],
) -> None:
    assert served["before"] == served["after"]
    told = served["told"]
    assert isinstance(told, dict)
    assert told["served"]["accounts"] == 5
    assert told["mailboxes"] == {"existing": 2, "missing": ["bob@example.com", "qa@example.org"]}
    assert told["queued"] == {"deferred": 1}
    mended = [remark["subject"] for remark in told["remarks"] if remark["kind"] == "fix"]
    assert [os.path.basename(subject) for subject in mended] == ["strange.test", "spool-postfix"]
    assert served["status"] == 1


def test_a_start_changes_nothing_in_an_existing_mail_folder(served: dict[str, object]) -> None:
    """No owner, no mode, no time of any of its files; so nothing walks it either."""
    assert served["mail"] == served["started"]


def test_a_start_says_whose_the_mail_is_if_it_is_not_the_mails(
    old: Instance, served: dict[str, object]
) -> None:
    assert f"belongs to {STRANGER}:{STRANGER}, and not to {OWNER}:{OWNER}" in old.log.read_text()


def test_old_mail_is_read_with_its_flags_and_numbers(
    old: Instance, served: dict[str, object]
) -> None:
    assert old.subjects("john@example.com") == ["hello from before"]
    assert old.subjects("ann@example.com") == ["ann's own"]
    with old.imap("john@example.com") as session:
        session.select("INBOX", readonly=True)
        _, found = session.uid("FETCH", "1:*", "(FLAGS)")
        assert found == [f"1 (UID {UID_OF_HELLO} FLAGS (\\Seen))".encode()]
        assert session.select('"Lists/a"', readonly=True) == ("OK", [b"1"])
        assert any(b"Lists/a" in line for line in session.lsub()[1] if isinstance(line, bytes))


def test_passwords_log_in(old: Instance, served: dict[str, object]) -> None:
    for user in ("john@example.com", "bob@example.com", "Bob@Example.com", "qa@example.org"):
        assert old.can_log_in(user), user
    assert old.can_log_in("john@example.com*admin")
    assert not old.can_log_in("info@example.com")
    assert not old.can_log_in("gone@example.com")
    assert old.subjects("john@example.com*admin") == ["hello from before"]


def test_new_mail_comes_to_the_old_mailboxes(old: Instance, served: dict[str, object]) -> None:
    old.send("all@example.com", subject="to both")
    old.arrives("john@example.com", "to both")
    old.arrives("ann@example.com", "to both")
    old.send("bob@example.com", subject="beside a catch-all")
    old.arrives("bob@example.com", "beside a catch-all")
    old.send("whoever@example.com", subject="caught")
    old.arrives("john@example.com", "caught")
    assert old.rcpt("gone@example.org")[0] == 550
    assert (old.mail / "example.com/bob/cur").stat().st_uid == OWNER


def test_a_mailbox_in_mdbox_format_is_served_by_an_extra_field(
    old: Instance, served: dict[str, object]
) -> None:
    old.send("mona@example.com", subject="in mdbox")
    old.arrives("mona@example.com", "in mdbox")
    assert (old.mail / "example.com/mona/storage").is_dir()


def test_a_queue_that_is_copied_is_sent(old: Instance, served: dict[str, object]) -> None:
    """As docs/guide/migrate.md says it."""
    old.stop()
    there, here = old.state / "spool-postfix", old.state / "spool"
    for queue in QUEUES:
        if (there / queue).is_dir():
            subprocess.run(["cp", "-a", f"{there / queue}/.", here / queue], check=True)
            subprocess.run(["chown", "-R", "postfix", here / queue], check=True)
    old.start()
    subprocess.run(["postqueue", "-c", old.state / "postfix", "-f"], check=True)
    until(lambda: bool(old.sink.taken))
    assert not messages(here / "deferred")
