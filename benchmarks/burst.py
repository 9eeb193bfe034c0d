"""What a burst of passwords is worth to a client that guesses:
`python -m benchmarks.burst [PLAIN|EXTRA] [ROUNDS]`.

In each round a client of its own sends 50 passwords at one moment over 50 connections, ten of them
right, at random places. Of the right ones some are accepted before the block begins: the part of
them, times 50, is how many passwords the burst tests. `EXTRA`: the account has an extra field that
only a passwd-file can serve.
"""

import random
import re
import sys
import threading
import time

from tests.integration.test_blocks import Client, log_in
from tests.support.instance import HASH, PASSWORD, Instance, free_ports, until

CONNECTIONS, RIGHT, WAIT_S = 50, 10, 90
FIELDS = {"PLAIN": "", "EXTRA": "|userdb_nice=3"}


def burst(server: Instance, client: Client, account: str) -> tuple[int, int]:
    """How many of the right passwords are accepted, and how many of the wrong ones are checked."""
    right = set(random.sample(range(CONNECTIONS), RIGHT))
    ready = threading.Barrier(CONNECTIONS)
    accepted: list[int] = []

    def try_one(number: int) -> None:
        password = PASSWORD if number in right else f"wrong {number} {time.time()}"
        with client.session("imap") as session:
            ready.wait(WAIT_S)
            if log_in(session, account, password, "imap"):
                accepted.append(number)

    tries = [threading.Thread(target=try_one, args=(number,)) for number in range(CONNECTIONS)]
    for each in tries:
        each.start()
    for each in tries:
        each.join()
    time.sleep(1)  # until the log is written
    mismatch = re.compile(rf"{re.escape(client.address)}\b.*mismatch", re.I)
    with (server.home / "mail-logs/dovecot.log").open(errors="replace") as log:
        return len(accepted), sum(1 for line in log if mismatch.search(line))


def main(kind: str, rounds: int) -> None:
    (port,) = free_ports(1)
    server = Instance(
        login_reports_port=port, block_guessing=True, proxy_protocol="imaps",
        trusted_proxies="127.0.0.1", log_level="debug",
    )  # fmt: skip
    accounts = [f"u{number}@x.com" for number in range(rounds + 1)]
    try:
        lines = [f"{account}|{HASH}{FIELDS[kind]}\n" for account in accounts]
        server.file("postfix-accounts.cf").write_text("".join(lines))
        server.start()
        until(lambda: Client(server).logs_in(accounts[-1]))
        results = [burst(server, Client(server), account) for account in accounts[:-1]]
        accepted, wrong = (sum(each) / rounds for each in zip(*results, strict=True))
        worth = accepted / RIGHT * CONNECTIONS
        print(
            f"{kind}: a burst of {CONNECTIONS} tests {worth:.1f} passwords; "
            f"{wrong:.1f} of {CONNECTIONS - RIGHT} wrong ones were checked"
        )
    finally:
        server.close()


if __name__ == "__main__":
    words = [*sys.argv[1:], "PLAIN", "12"]
    main(words[0], int(words[1] if len(sys.argv) > 2 else "12"))
