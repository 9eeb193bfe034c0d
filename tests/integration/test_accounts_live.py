"""One account on a real server: renamed while mail arrives, forwarded, shown, and its hashes."""

import imaplib
import json
import os
import smtplib
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.instance import HASH, PASSWORD, Instance, until

KILLS = int(os.environ.get("KILLS", "20")) // 4
MOVES = ".mailroster-moves"


class Senders:
    """Mail to some addresses from several sides, without a pause."""

    def __init__(self, server: Instance, *addresses: str) -> None:
        self._server, self._addresses = server, addresses
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self._stop = threading.Event()

    @contextmanager
    def at_work(self, threads: int = 2) -> Iterator[None]:
        working = [threading.Thread(target=self._send, args=(n,)) for n in range(threads)]
        for thread in working:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in working:
                thread.join()

    def _send(self, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            subject = f"mail-{number}-{count}"
            try:
                self._server.send(self._addresses[count % len(self._addresses)], subject=subject)
                self.accepted.append(subject)
            except smtplib.SMTPException as error:
                self.refused.append(f"{subject}: {error}")
            count += 1
            time.sleep(0.02)  # thousands of messages would take their time to be read

    def more(self, count: int = 10) -> None:
        """Waits until some more are accepted."""
        there = len(self.accepted)
        until(lambda: len(self.accepted) >= there + count or bool(self.refused))


def all_arrive(server: Instance, user: str, subjects: set[str], wait_s: float = 60) -> None:
    """Asserts that messages get into a mailbox, and that Dovecot never held up its deliveries for a
    process that ended badly. What Postfix has put off it tries again now, and not after its five
    minutes; what is lost or sent back is missing all the same."""
    deadline = time.monotonic() + wait_s
    while missing := subjects - set(server.subjects(user)):
        subprocess.run(["postqueue", "-c", server.state / "postfix", "-f"], check=True)
        if time.monotonic() >= deadline:
            log = (server.home / "mail-logs/mail.log").read_text().splitlines()
            told = [line for line in log if "status=" in line and "status=sent" not in line]
            raise AssertionError(f"missing: {sorted(missing)}\n" + "\n".join(told[-20:]))
        time.sleep(0.5)
    log = (server.home / "mail-logs/dovecot.log").read_text().splitlines()
    assert not [line for line in log if "throttling" in line]


def links(server: Instance) -> list[Path]:
    return [path for path in server.mail.glob("*/*") if path.is_symlink()]


def is_over(server: Instance) -> bool:
    return not (server.config / MOVES).exists() and not links(server)


def folders(server: Instance, name: str) -> list[str]:
    return [str(path.relative_to(server.mail)) for path in server.mail.glob(f"*/{name}*")]


def sent_on(server: Instance, subject: str, recipient: str) -> None:
    """Asserts that a message goes to another server."""
    until(
        lambda: any(
            recipient in taken.recipients and subject.encode() in taken.content
            for taken in server.sink.taken
        )
    )


def test_renamed_again_and_again_while_mail_arrives_every_accepted_message_is_there(
    server: Instance,
) -> None:
    server.setup("email", "add", "walker0@a.com", "--hash", HASH)
    server.setup("alias", "add", "crowd@a.com", "walker0@a.com")
    server.send("walker0@a.com", subject="first")
    server.arrives("walker0@a.com", "first")
    names = ["walker0@a.com", "walker1@fresh.org", "walker2@fresh.net"]
    senders = Senders(server, "walker0@a.com", "crowd@a.com", "walker0+tag@a.com", "WALKER0@A.com")
    with senders.at_work():
        for old, new in pairwise(names):
            senders.more()
            server.setup("email", "rename", old, new)
            assert server.can_log_in(new)
            senders.more()
    assert senders.refused == []
    all_arrive(server, names[-1], {"first", *senders.accepted})
    subjects = server.subjects(names[-1])
    assert len(subjects) == len(set(subjects)), "each of them once"
    until(lambda: is_over(server))
    assert folders(server, "walker") == ["fresh.net/walker2"]
    assert not server.sink.taken, "none has left for another server"
    assert server.file("postfix-virtual.cf").read_text().count(names[-1]) == len(names)


def test_mail_that_arrives_before_there_is_a_folder_is_in_the_one_folder(server: Instance) -> None:
    server.setup("email", "add", "fresh@a.com", "--hash", HASH)
    senders = Senders(server, "fresh@a.com")
    with senders.at_work(1):
        server.setup("email", "rename", "fresh@a.com", "fresher@a.com")
        senders.more()
    assert senders.refused == []
    all_arrive(server, "fresher@a.com", set(senders.accepted))
    until(lambda: is_over(server))
    assert folders(server, "fresh") == ["a.com/fresher"]


def test_the_open_sessions_of_the_old_address_end_and_no_others(server: Instance) -> None:
    for user in ("leaver@a.com", "stayer@a.com"):
        server.setup("email", "add", user, "--hash", HASH)
    with server.imap("leaver@a.com") as goes, server.imap("stayer@a.com") as stays:
        goes.select("INBOX")
        server.setup("email", "rename", "leaver@a.com", "left@a.com")
        with pytest.raises(imaplib.IMAP4.abort):
            for _ in range(100):
                goes.noop()
        assert stays.noop()[0] == "OK"
    until(lambda: is_over(server))
    assert folders(server, "lea") == []


def test_everything_of_an_account_goes_along_and_is_in_force(server: Instance) -> None:
    server.setup("email", "add", "whole@a.com", "--hash", HASH)
    server.setup("quota", "set", "whole@a.com", "3M")
    server.setup("email", "restrict", "add", "receive", "whole@a.com")
    server.setup("email", "rename", "whole@a.com", "entire@new.com")
    for address in ("whole@a.com", "entire@new.com"):
        assert server.rcpt(address)[0] == 554
    server.setup("email", "restrict", "del", "receive", "whole@a.com")
    server.setup("email", "restrict", "del", "receive", "entire@new.com")
    shown = json.loads(server.setup("email", "show", "entire@new.com", "--json"))
    assert shown["quota"]["use"] == {"used": 0, "limit": 3 << 20, "percent": 0}
    server.send("whole@a.com", subject="by the old name")
    server.arrives("entire@new.com", "by the old name")
    server.setup("email", "rename", "entire@new.com", "total@a.com", "--no-alias")
    assert server.rcpt("entire@new.com")[0] in (550, 554)
    assert server.rcpt("whole@a.com")[0] == 250
    assert server.subjects("total@a.com") == ["by the old name"]


def test_a_new_account_of_the_old_address_has_a_mailbox_of_its_own(server: Instance) -> None:
    server.setup("email", "add", "twin@a.com", "--hash", HASH)
    server.send("twin@a.com", subject="to the first")
    server.arrives("twin@a.com", "to the first")
    senders = Senders(server, "stranger@a.com")
    server.setup("email", "add", "stranger@a.com", "--hash", HASH)
    with senders.at_work(1):
        server.setup("email", "rename", "twin@a.com", "elder@a.com", "--no-alias")
        server.setup("email", "add", "twin@a.com", "another")
        assert server.subjects("twin@a.com", "another") == []
    assert server.subjects("elder@a.com") == ["to the first"]
    until(lambda: is_over(server))


def test_killed_at_any_moment_while_mail_arrives_nothing_is_lost(server: Instance) -> None:
    names = [f"killed{n}@{'ab'[n % 2]}.com" for n in range(KILLS + 1)]
    server.setup("email", "add", names[0], "--hash", HASH)
    server.setup("alias", "add", "constant@a.com", names[0])
    server.send("constant@a.com", subject="first")
    server.arrives(names[0], "first")
    senders = Senders(server, "constant@a.com")
    with senders.at_work():
        for nth, (old, new) in enumerate(pairwise(names)):
            command = server.begin("email", "rename", old, new)
            time.sleep(0.04 + 0.16 * nth / KILLS)
            command.kill()
            command.wait()
            again = server.run("email", "rename", old, new)
            if again.returncode:
                assert f"there is no account '{old}'" in again.stderr
    assert senders.refused == []
    server.setup("apply")
    until(lambda: is_over(server))
    user, _, domain = names[-1].partition("@")
    assert folders(server, "killed") == [f"{domain}/{user}"]
    all_arrive(server, names[-1], {"first", *senders.accepted})
    assert "status=bounced" not in (server.home / "mail-logs/mail.log").read_text()


@pytest.mark.parametrize(
    ("scheme", "cost"),
    [
        ("SHA512-CRYPT", "1000"), ("SHA512-CRYPT", "200000"),
        ("BLF-CRYPT", "11"), ("ARGON2ID", "t=1,m=64"),
        ("ARGON2ID", "t=1,m=196608"),
    ],
)  # fmt: skip
def test_a_hash_of_any_cost_logs_in(server: Instance, scheme: str, cost: str) -> None:
    """At the bounds as well, of those that anybody would wait for."""
    toml = server.file("mailroster.toml")
    before = toml.read_text()
    toml.write_text(f'{before}password_scheme = "{scheme}"\npassword_cost = "{cost}"\n')
    try:
        user = f"{scheme}-{cost}@costs.com".lower().replace(",", "-")
        server.setup("email", "add", user, "sécret")
        shown = json.loads(server.setup("email", "show", user, "--json"))
        assert (shown["scheme"], shown["cost"]) == (scheme, cost)
        assert server.can_log_in(user, "sécret")
        server.setup("email", "password-check", user, "--password-stdin", stdin="sécret\n")
    finally:
        toml.write_text(before)


def test_a_hash_is_made_anew_after_a_good_check_and_the_password_stays(server: Instance) -> None:
    server.setup("email", "add", "rehash@a.com", PASSWORD, "--scheme", "BLF-CRYPT")
    check = ("email", "password-check", "rehash@a.com", "--password-stdin", "--rehash")
    assert server.run(*check, stdin="wrong\n").returncode == 1
    line = server.file("postfix-accounts.cf").read_text()
    assert "rehash@a.com|{BLF-CRYPT}" in line
    assert "SHA512-CRYPT 5000" in server.run(*check, stdin=f"{PASSWORD}\n").stderr
    assert "rehash@a.com|{SHA512-CRYPT}" in server.file("postfix-accounts.cf").read_text()
    assert server.can_log_in("rehash@a.com")
    text = server.file("postfix-accounts.cf").read_text()
    assert server.run(*check, stdin=f"{PASSWORD}\n").stderr == ""
    assert server.file("postfix-accounts.cf").read_text() == text


def test_a_generated_password_logs_in(server: Instance) -> None:
    made = server.setup("email", "add", "made@a.com", "--generate")
    assert made.count("\n") == 1
    assert server.can_log_in("made@a.com", made.strip())
    again = server.setup("email", "update", "made@a.com", "--generate")
    assert server.can_log_in("made@a.com", again.strip())
    master = server.setup("dovecot-master", "add", "boss", "--generate").strip()
    assert server.can_log_in("made@a.com*boss", master)


def test_back_to_the_old_address_at_once(server: Instance) -> None:
    server.setup("email", "add", "there@a.com", "--hash", HASH)
    server.setup("email", "rename", "there@a.com", "back@a.com", "--no-alias")
    server.setup("email", "rename", "back@a.com", "there@a.com")
    server.send("back@a.com", subject="found")
    server.arrives("there@a.com", "found")


def test_a_forward_goes_elsewhere_with_and_without_a_copy_and_back(server: Instance) -> None:
    server.setup("email", "add", "away@a.com", "--hash", HASH)
    server.setup("email", "forward", "away@a.com", "friend@elsewhere.test", "--keep-copy")
    server.send("away@a.com", subject="with a copy")
    server.arrives("away@a.com", "with a copy")
    sent_on(server, "with a copy", "friend@elsewhere.test")
    server.setup("email", "forward", "away@a.com", "other@elsewhere.test")
    server.send("away@a.com", subject="without")
    sent_on(server, "without", "other@elsewhere.test")
    server.setup("email", "forward", "away@a.com", "--off")
    server.send("away@a.com", subject="at home again")
    server.arrives("away@a.com", "at home again")
    assert server.subjects("away@a.com") == ["with a copy", "at home again"]
