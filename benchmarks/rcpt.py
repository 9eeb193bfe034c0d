"""What the policy service adds to RCPT: `python -m benchmarks.rcpt [N] [RUNS]`.

A running server with N accounts and as many aliases. One SMTP session names one recipient again and
again, with the service and with it killed, when only Dovecot's quota-status is asked; both in turn.
"""

import os
import signal
import statistics
import sys
import time

from tests.support.instance import HASH, Instance, until

from benchmarks.folder import write_config
from mailroster.base.layout import Layout
from mailroster.servers import running

BATCH = 100
BOXES = [f"box{number}@x.com" for number in range(10)]
ALIASES = f"one@x.com {BOXES[0]}\nten@x.com {', '.join(BOXES)}\naway@x.com who@far.test\n"
RECIPIENTS = {
    "a mailbox": BOXES[0],
    "an alias to one": "one@x.com",
    "an alias to ten": "ten@x.com",
    "an alias to elsewhere": "away@x.com",
    "a pattern": "dept-1@x.com",
}


def rcpt_ms(instance: Instance, address: str) -> float:
    """One RCPT, in the mean of many."""
    with instance.smtp() as session:
        session.mail("somebody@elsewhere.test", ["SIZE=1000"])
        session.rcpt(address)
        start = time.perf_counter()
        for _ in range(BATCH):
            session.rcpt(address)
        return 1000 * (time.perf_counter() - start) / BATCH


def main(accounts: int, runs: int) -> None:
    instance = Instance(index_from_bytes=1 << 18)
    layout = Layout(str(instance.state))
    with_it: dict[str, list[float]] = {name: [] for name in RECIPIENTS}
    without: dict[str, list[float]] = {name: [] for name in RECIPIENTS}
    try:
        write_config(instance.config, accounts)
        with instance.file("postfix-accounts.cf").open("a") as file:
            file.write("".join(f"{box}|{HASH}\n" for box in BOXES))
        with instance.file("postfix-virtual.cf").open("a") as file:
            file.write(ALIASES)
        instance.file("postfix-regexp.cf").write_text(f"/^dept-/ {BOXES[0]}\n")
        wait_s = 120 + accounts / 1000
        for _ in range(runs):
            instance.start(wait_s=wait_s)
            for name, address in RECIPIENTS.items():
                with_it[name].append(rcpt_ms(instance, address))
            instance.kill()
            pid = running.policy_pid(layout)
            assert pid is not None
            if not without["a mailbox"]:
                with open(f"/proc/{pid}/status") as status:
                    resident = next(line for line in status if line.startswith("VmRSS"))
            os.kill(pid, signal.SIGKILL)
            until(lambda: running.policy_pid(layout) is None)
            for name, address in RECIPIENTS.items():
                without[name].append(rcpt_ms(instance, address))
    finally:
        instance.close()
    print(f"{accounts} accounts, {runs} times {BATCH} of each; the service: {resident.strip()}")
    for name in RECIPIENTS:
        figures = [statistics.median(found[name]) for found in (with_it, without)]
        print(f"{name:22} {figures[0]:6.2f} ms with it  {figures[1]:6.2f} ms without")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [1000, 5][len(numbers) :]))
