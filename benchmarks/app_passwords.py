"""Logins beside many app passwords: `python -m benchmarks.app_passwords [N] [RUNS]`.

Two running servers with the same accounts: one without app passwords, one with N of them, four for
each of N/4 accounts. Each run takes the time of one login by main password at each server, and at
the second of one by app password; the servers take turns, so that the load of the machine meets
both. Then it takes the time of one more app password by command, and that of the first login with
it.
"""

import hashlib
import statistics
import sys
import time

from tests.support.instance import HASH, PASSWORD, Instance, until

from benchmarks.login import login_ms

GOAL = 1.1
SOMEBODY = "somebody@example.com"
KNOWN = "k3wz9p-known-app-password"


def fill(instance: Instance, accounts: int, app_passwords: int) -> None:
    with instance.file("postfix-accounts.cf").open("w") as file:
        file.write(f"{SOMEBODY}|{HASH}\n")
        for number in range(accounts):
            file.write(f"user{number}@domain{number % 10}.example.com|{HASH}\n")
    if not app_passwords:
        return
    with instance.file("dovecot-app-passwords.cf").open("w") as file:
        for number in range(app_passwords):
            account = number // 4
            digest = hashlib.sha256(str(number).encode()).hexdigest()
            address = f"user{account}@domain{account % 10}.example.com"
            file.write(f"{address}|device{number % 4}|{{SHA256.HEX}}{digest}|services=imap,smtp\n")
        digest = hashlib.sha256(KNOWN.encode()).hexdigest()
        file.write(f"{SOMEBODY}|known|{{SHA256.HEX}}{digest}\n")


def main(app_passwords: int, runs: int) -> None:
    accounts = app_passwords // 4
    plain, many = Instance(index_from_bytes=1 << 20), Instance(index_from_bytes=1 << 20)
    times: dict[str, list[float]] = {"none": [], "main": [], "app": []}
    try:
        for instance, count in ((plain, 0), (many, app_passwords)):
            instance.patience_s = 120 + app_passwords / 1000
            fill(instance, accounts, count)
            start = time.perf_counter()
            instance.start(wait_s=instance.patience_s)
            until(lambda i=instance: i.can_log_in(SOMEBODY), instance.patience_s)  # type: ignore[misc]
            print(f"first start with {count} app passwords: {time.perf_counter() - start:.1f} s")
        until(lambda: many.can_log_in(SOMEBODY, KNOWN), many.patience_s)
        for _ in range(runs):
            times["none"].append(login_ms(plain, SOMEBODY, PASSWORD))
            times["main"].append(login_ms(many, SOMEBODY, PASSWORD))
            times["app"].append(login_ms(many, SOMEBODY, KNOWN))
        start = time.perf_counter()
        password = many.setup("email", "app-password", "add", SOMEBODY, "new").strip()
        added_s = time.perf_counter() - start
        first_ms = login_ms(many, SOMEBODY, password)
    finally:
        plain.close()
        many.close()
    usual = statistics.median(times["none"])
    print(f"{accounts} accounts, {app_passwords} app passwords, {runs} logins of each kind")
    for name, figures in (
        ("main password, no app passwords", times["none"]),
        ("main password", times["main"]),
        ("app password", times["app"]),
    ):
        median = statistics.median(figures)
        print(f"{name:32} {median:6.1f} ms  {median / usual:5.2f} x")
    print(f"one more by command {added_s:.2f} s, the first login with it {first_ms:.1f} ms")
    print(f"goal {GOAL} x")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [1000, 100][len(numbers) :]))
