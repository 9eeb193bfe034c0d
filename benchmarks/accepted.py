"""Messages accepted a second, with quotas judged at RCPT and without:
`python -m benchmarks.accepted [ACCOUNTS] [MESSAGES] [RUNS] [SOURCE]`.

Two servers with the same accounts: one as it is, one whose `smtpd_recipient_restrictions` are
overridden, so that neither our policy service nor Dovecot is asked at RCPT. smtp-source(1) sends
messages of 2 kB in 10 sessions to each in turn; deliveries wait (`defer_transports`), so that both
cores work for smtpd and for what it asks. The ratio of the medians is the figure to trust.

RCPT is timed in one more session: median and 99th percentile. Of the policy service the CPU for
each message and the memory are printed. SOURCE is the `src` folder of another
version, which is then measured in the same turns.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.instance import HASH, Instance, until

from benchmarks.folder import write_config
from mailroster.base.layout import Layout
from mailroster.servers import running

SESSIONS, SIZE_BYTES, RCPTS = 10, 2048, 400
BOXES = [f"box{number}@x.com" for number in range(10)]
RECIPIENTS = {
    "a mailbox": BOXES[0],
    "an alias to ten": "ten@x.com",
}
OVERRIDE = "smtpd_recipient_restrictions = reject_unlisted_recipient, permit\n"
DEFERRED = "defer_transports = lmtp\n"
GOALS = {"a mailbox": 0.85, "an alias to ten": 0.7}


class Figures(NamedTuple):
    """What one kind of server does with one kind of recipient, run by run."""

    accepted: list[float]  # messages a second
    rcpt_ms: list[float]
    service_us: list[float]  # CPU of the policy service for a message


@contextmanager
def source(folder: str) -> Iterator[None]:
    """Programs that start meanwhile are those of another `src` folder; "" changes nothing."""
    before = os.environ.get("PYTHONPATH")
    if folder:
        os.environ["PYTHONPATH"] = folder
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH", None)
        if before is not None:
            os.environ["PYTHONPATH"] = before


def started(accounts: int, main_cf: str, folder: str = "") -> Instance:
    """A server with N accounts, ten mailboxes that get the mail, and an alias to these."""
    instance = Instance(index_from_bytes=1 << 18)
    write_config(instance.config, accounts)
    for name, text in (
        ("postfix-accounts.cf", "".join(f"{box}|{HASH}\n" for box in BOXES)),
        ("dovecot-quotas.cf", "".join(f"{box}:5G\n" for box in BOXES)),
        ("postfix-virtual.cf", f"ten@x.com {', '.join(BOXES)}\n"),
    ):
        with instance.file(name).open("a") as file:
            file.write(text)
    instance.file("postfix-main.cf").write_text(main_cf)
    with source(folder):
        instance.start(wait_s=120 + accounts / 1000)
    return instance


def postfix(instance: Instance, program: str, *words: str) -> str:
    argv = [program, "-c", str(instance.state / "postfix"), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def accepted_a_second(instance: Instance, recipient: str, messages: int) -> float:
    address = f"inet:127.0.0.1:{instance.ports['smtp']}"
    argv = ["smtp-source", "-s", str(SESSIONS), "-l", str(SIZE_BYTES), "-m", str(messages)]
    argv += ["-f", "somebody@elsewhere.test", "-t", recipient, address]
    start = time.perf_counter()
    subprocess.run(argv, check=True)
    seconds = time.perf_counter() - start
    postfix(instance, "postsuper", "-d", "ALL")
    until(lambda: postfix(instance, "postqueue", "-j") == "", 60)
    return messages / seconds


def service_cpu_us(instance: Instance) -> float:
    """User and system time of the policy service so far."""
    pid = running.policy_pid(Layout(str(instance.state)))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1e6 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def service_memory(instance: Instance) -> str:
    """Resident memory of the policy service, as proc(5) says it."""
    pid = running.policy_pid(Layout(str(instance.state)))
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("VmRSS"))


def rcpt_ms(instance: Instance, recipient: str) -> list[float]:
    """How long RCPT took, many times in one session."""
    found = []
    with instance.smtp() as session:
        session.mail("somebody@elsewhere.test", [f"SIZE={SIZE_BYTES}"])
        for _ in range(RCPTS):
            start = time.perf_counter()
            code, said = session.rcpt(recipient)
            found.append(1000 * (time.perf_counter() - start))
            assert code == 250, said
    return found


def main(accounts: int, messages: int, runs: int, before: str) -> None:
    kinds = {"without": (OVERRIDE + DEFERRED, ""), "now": (DEFERRED, "")}
    if before:
        kinds["before"] = (DEFERRED, before)
    figures = {kind: {name: Figures([], [], []) for name in RECIPIENTS} for kind in kinds}
    instances: dict[str, Instance] = {}
    try:
        for kind, (main_cf, folder) in kinds.items():
            instances[kind] = started(accounts, main_cf, folder)
        for run in range(-1, runs):  # the first one warms up
            for name, recipient in RECIPIENTS.items():
                for kind, instance in instances.items():
                    used = service_cpu_us(instance)
                    speed = accepted_a_second(instance, recipient, messages)
                    used = (service_cpu_us(instance) - used) / messages
                    times = rcpt_ms(instance, recipient)
                    if run >= 0:
                        figures[kind][name].accepted.append(speed)
                        figures[kind][name].rcpt_ms.extend(times)
                        figures[kind][name].service_us.append(used)
        memory = {kind: service_memory(instance) for kind, instance in instances.items()}
    finally:
        for instance in instances.values():
            instance.close()
    print(f"{accounts} accounts, {runs} times {messages} messages, {SESSIONS} sessions")
    for name in RECIPIENTS:
        yardstick = statistics.median(figures["without"][name].accepted)
        print(f"{name} (goal {GOALS.get(name, 0.85)})")
        for kind in kinds:
            speed = statistics.median(figures[kind][name].accepted)
            times = sorted(figures[kind][name].rcpt_ms)
            print(
                f"  {kind:8} {speed:6.0f} a second  {speed / yardstick:5.2f} x   RCPT "
                f"{statistics.median(times):5.2f} ms, p99 {times[len(times) * 99 // 100]:5.2f} ms"
                f"  service {statistics.median(figures[kind][name].service_us):5.0f} us"
            )
    for kind in kinds:
        print(f"memory of the service, {kind}: {memory[kind]}")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:4]]
    values = numbers + [1000, 400, 9][len(numbers) :]
    main(values[0], values[1], values[2], sys.argv[4] if len(sys.argv) > 4 else "")
