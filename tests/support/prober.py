"""Somebody who all the while logs in, and asks RCPT for addresses that no change concerns.

In sessions of a moment, and in some that stay open from the first answer to the last. Whatever is
not as it should be is a failure: a refusal, a wrong answer, a lost connection, a lost message.
"""

import imaplib
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType

from tests.support.instance import HASH, PASSWORD, Instance, message, until

#: Files that hold what is asked for; others may write other entries into them.
STEADY = {
    "postfix-accounts.cf": f"keep@x.com|{HASH}\n"
    f"odd@x.com|{HASH}|userdb_mail_max_userip_connections=50\n"
    f"deaf@x.com|{HASH}\n",
    "postfix-virtual.cf": "way@x.com keep@x.com\nboth@x.com way@x.com,odd@x.com\n"
    "@catch.test keep@x.com\n",
    "postfix-regexp.cf": "/^rx[0-9]+@x\\.com$/ keep@x.com\n",
    "postfix-receive-access.cf": "deaf@x.com REJECT\n",
    "dovecot-quotas.cf": "keep@x.com:0\nodd@x.com:5G\n",
    "dovecot-masters.cf": f"boss|{HASH}\n",
}
TAKEN = (
    "keep@x.com", "KEEP+tag@x.com", "way@x.com", "way+tag@x.com", "both@x.com", "rx7@x.com",
    "odd@x.com", "any@catch.test",
)  # fmt: skip
REFUSED = {"nobody@x.com": 550, "deaf@x.com": 554, "keep@foreign.test": 554}
LOGINS = ("keep@x.com", "odd@x.com", "keep@x.com*boss")

#: Between two rounds of one kind: so that the machine is left to those who change something.
PAUSE_S = 0.15
#: Postfix hangs up on one who says RSET a hundred times and sends nothing.
ROUNDS_A_MESSAGE = 20
STOPS_S = 60


class Prober:
    """Asks from the beginning of a `with` block to its end, and keeps account.

    `counts`: rounds that went well, by kind. `failures`: everything that did not.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._done = threading.Event()
        self.kinds: dict[str, Callable[[], Iterator[None]]] = {
            "RCPT in new sessions": self._new_smtp,
            "RCPT in an open session": self._open_smtp,
            "submission": self._submission,
            "logins": self._new_imap,
            "an open IMAP session": self._open_imap,
        }
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self._sent: list[str] = []
        self._threads = [
            threading.Thread(target=self._keep_at, args=(kind, rounds))
            for kind, rounds in self.kinds.items()
        ]

    def __enter__(self) -> "Prober":
        for thread in self._threads:
            thread.start()
        until(lambda: bool(self.failures) or len(self.counts) == len(self.kinds))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(STOPS_S)

    def unharmed(self, rounds: int) -> None:
        """Asserts, after the block, that nothing failed in that many rounds of every kind, and that
        every message that was taken has arrived."""
        assert not self.failures, self.failures
        assert not any(thread.is_alive() for thread in self._threads), "a session hangs"
        assert {kind for kind in self.kinds if self.counts[kind] < rounds} == set(), self.counts
        assert self._sent, "no message was sent"
        sent = set(self._sent)
        until(lambda: sent <= set(self._instance.subjects("keep@x.com")), 60)

    def _keep_at(self, kind: str, rounds: Callable[[], Iterator[None]]) -> None:
        while not self._done.is_set():
            try:
                for _ in rounds():
                    self.counts[kind] += 1
                    if self._done.wait(PAUSE_S):
                        return
            except (OSError, smtplib.SMTPException, imaplib.IMAP4.error, AssertionError) as error:
                now = time.strftime("%H:%M:%S")
                self.failures.append(f"{now} {kind}: {type(error).__name__}: {error}")
                self._done.wait(PAUSE_S)

    # -- the kinds: each yields after a round that went well, and raises at the first that does not

    def _new_smtp(self) -> Iterator[None]:
        while True:
            with self._instance.smtp() as session:
                session.mail("somebody@elsewhere.test")
                for address, code in {**dict.fromkeys(TAKEN, 250), **REFUSED}.items():
                    _rcpt(session, address, code)
            yield

    def _open_smtp(self) -> Iterator[None]:
        with self._instance.smtp() as session:
            while True:
                subject = f"{time.time_ns()}"
                text = message(subject, "way@x.com").as_bytes()
                session.sendmail("somebody@elsewhere.test", ["way@x.com"], text)
                self._sent.append(subject)
                for _ in range(ROUNDS_A_MESSAGE):
                    session.mail("somebody@elsewhere.test")
                    for address in TAKEN:
                        _rcpt(session, address, 250)
                    session.rset()
                    yield

    def _submission(self) -> Iterator[None]:
        while True:
            with self._instance.smtp("submissions") as session:
                session.login("keep@x.com", PASSWORD)
                assert session.mail("way@x.com")[0] == 250
                for address in ("odd@x.com", "else@elsewhere.test"):
                    _rcpt(session, address, 250)
            yield

    def _new_imap(self) -> Iterator[None]:
        while True:
            for user in LOGINS:
                with self._instance.imap(user) as session:
                    assert session.select("INBOX", readonly=True)[0] == "OK", user
            yield

    def _open_imap(self) -> Iterator[None]:
        with self._instance.imap("keep@x.com") as one, self._instance.imap("odd@x.com") as other:
            while True:
                for session in (one, other):
                    assert session.noop()[0] == "OK"
                    assert session.select("INBOX", readonly=True)[0] == "OK"
                yield


def _rcpt(session: smtplib.SMTP, address: str, expected: int) -> None:
    code, words = session.rcpt(address)
    assert code == expected, f"{address}: {code} {words.decode()}"
