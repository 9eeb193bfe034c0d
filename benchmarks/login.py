"""The first login after a change against one before it: `python -m benchmarks.login [N] [RUNS]`.

A running server with N accounts, twice as many aliases and N quotas. Each run takes the time of
two logins of somebody whom nothing concerns, makes a change by command, and takes the time of the
first login after it; on connections that are open already, so that it is Dovecot's lookups that
count. The two before tell how much chance there is in it.
"""

import imaplib
import statistics
import sys
import time

from tests.support.instance import HASH, PASSWORD, Instance, trusting, until

from benchmarks.folder import write_config

GOAL = 1.2
SOMEBODY = "somebody@domain1.example.com"
ACCOUNTS, ALIASES = "postfix-accounts.cf", "postfix-virtual.cf"


def login_ms(instance: Instance, user: str = SOMEBODY, password: str = PASSWORD) -> float:
    """From the word to the answer."""
    port = instance.ports["imaps"]
    session = imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=trusting())
    try:
        start = time.perf_counter()
        session.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
        return 1000 * (time.perf_counter() - start)
    finally:
        session.shutdown()


def fill(instance: Instance, accounts: int) -> None:
    write_config(instance.config, accounts)
    with instance.file(ALIASES).open("a") as file:
        for number in range(accounts):
            name = f"user{number}@domain{number % 10}.example.com"
            file.write(f"second-of-{name} alias-of-{name}\n")
    with instance.file(ACCOUNTS).open("a") as file:
        file.write(f"{SOMEBODY}|{HASH}\n")


def main(accounts: int, runs: int) -> None:
    instance = Instance(index_from_bytes=1 << 20)
    instance.patience_s = wait_s = 120 + accounts / 1000
    before, again, after = [], [], []
    try:
        fill(instance, accounts)
        instance.start(wait_s=wait_s)
        until(lambda: instance.can_log_in(SOMEBODY), wait_s)
        changes = (
            lambda run: ("quota", "set", "user7@domain7.example.com", f"{run + 1}G"),
            lambda run: ("email", "add", f"new{run}@domain2.example.com", "--hash", HASH),
            lambda run: ("alias", "add", f"new-alias{run}@domain3.example.com", SOMEBODY),
        )
        for run in range(runs):
            before.append(login_ms(instance))
            again.append(login_ms(instance))
            instance.setup(*changes[run % len(changes)](run))
            after.append(login_ms(instance))
    finally:
        instance.close()
    usual = statistics.median([*before, *again])
    print(f"{accounts} accounts, {runs} changes: a login takes {usual:.1f} ms in the median")
    for name, figures in (("the one before, twice", again), ("the first after", after)):
        ratio = statistics.median(figures) / statistics.median(before)
        print(f"{name:22} {statistics.median(figures):6.1f} ms  {ratio:5.2f} x")
    print(f"goal {GOAL} x")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [1000, 45][len(numbers) :]))
