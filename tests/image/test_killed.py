"""A process is killed while mail comes in: what was accepted with 250 can be read in any case."""

import random
import smtplib
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.container import Container, container
from tests.support.instance import message, until

ACCOUNTS = 5
SEED = 26


class Stream:
    """Sends one message after the other to one account after the other, until it is told to stop;
    what the server does not accept is not tried again."""

    def __init__(self, post: Container, accounts: list[str]) -> None:
        self._post, self._accounts = post, accounts
        self.accepted: dict[str, set[str]] = {name: set() for name in accounts}
        self.refused: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(part,)) for part in range(3)]

    def __enter__(self) -> "Stream":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def count(self) -> int:
        return sum(map(len, self.accepted.values()))

    def _send(self, part: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name, subject = self._accounts[number % len(self._accounts)], f"{part}-{number}"
            try:
                with self._post.smtp() as session:
                    session.sendmail("a@elsewhere.test", name, message(subject, name).as_bytes())
                    self.accepted[name].add(subject)
            except smtplib.SMTPResponseException as error:
                if error.smtp_code >= 500:
                    self.refused.append(f"{name}: {error}")
            except smtplib.SMTPRecipientsRefused as error:
                if any(code >= 500 for code, _ in error.recipients.values()):
                    self.refused.append(f"{name}: {error}")
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)  # nobody is there


def arrived(post: Container, name: str, subjects: set[str]) -> bool:
    return subjects <= set(post.subjects(name))


@pytest.fixture(scope="module")
def post() -> Iterator[Container]:
    made = container()
    try:
        made.add_accounts(ACCOUNTS)
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("victim", ["postfix", "dovecot", "up"])
def test_no_mail_that_was_accepted_is_lost_and_no_account(post: Container, victim: str) -> None:
    chance = random.Random(f"{SEED} {victim}")
    accounts = [f"user{number}@example.com" for number in range(ACCOUNTS)]
    with Stream(post, accounts) as stream:
        until(lambda: stream.count() >= 20)
        time.sleep(chance.random())
        pid = post.pid(victim)
        post.bash(f"kill -9 {pid}")
        if victim == "up":
            # It is the container: the administrator's restart policy starts it again.
            until(lambda: post.exit_code() is not None)
            assert post.exit_code() == 137
            post.start()
        else:
            until(lambda: post.pid(victim) not in (None, pid))
        before = stream.count()
        until(lambda: stream.count() >= before + 20, 60)
    assert stream.refused == []
    for name in accounts:
        until(partial(arrived, post, name, stream.accepted[name]), 60)
    assert post.bash("setup email list --json").count('"address"') == ACCOUNTS
