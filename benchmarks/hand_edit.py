"""From a saved hand edit to the first good login: `python -m benchmarks.hand_edit [N] [RUNS]`.

A running server with N accounts; a password is changed by renaming a new file over the accounts.
Logins begin every few milliseconds on connections of their own, since Dovecot delays the answer to
a wrong password; the first that succeeds counts. Beside it: a login without any change.
"""

import imaplib
import statistics
import sys
import threading
import time

from tests.support.instance import Instance, trusting

from benchmarks.folder import write_config
from mailroster.app.passwords.hashing import hash_password

STEP_S = 0.01
ATTEMPTS = 40


def log_in(session: imaplib.IMAP4, user: str, password: str) -> bool:
    try:
        session.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
        return True
    except imaplib.IMAP4.error:
        return False


def first_login(instance: Instance, user: str, old: str, new: str) -> float:
    """Seconds from the rename to the end of the first login with the new password."""
    path = instance.file("postfix-accounts.cf")
    lines = path.read_text().splitlines(keepends=True)
    place = next(n for n, line in enumerate(lines) if line.startswith(f"{user}|"))
    lines[place] = f"{user}|{hash_password(new)}\n"
    beside = path.with_suffix(".beside")
    beside.write_text("".join(lines))
    ports = instance.ports
    sessions = [
        imaplib.IMAP4_SSL("127.0.0.1", ports["imaps"], ssl_context=trusting())
        for _ in range(ATTEMPTS)
    ]
    good: list[float] = []
    saved = time.perf_counter()
    beside.rename(path)

    def attempt(number: int) -> None:
        time.sleep(max(0.0, saved + (number + 1) * STEP_S - time.perf_counter()))
        if log_in(sessions[number], user, new):
            good.append(time.perf_counter() - saved)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(ATTEMPTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for session in sessions:
        session.shutdown()
    return min(good)


def main(accounts: int, runs: int) -> None:
    instance = Instance()
    try:
        write_config(instance.config, accounts)
        instance.start()
        user, old = "user7@domain7.example.com", ""
        figures = []
        for run in range(runs):
            new = f"password-{run}"
            figures.append(first_login(instance, user, old, new))
            old = new
        plain = []
        for _ in range(runs):
            with imaplib.IMAP4_SSL(
                "127.0.0.1", instance.ports["imaps"], ssl_context=trusting()
            ) as session:
                start = time.perf_counter()
                assert log_in(session, user, old)
                plain.append(time.perf_counter() - start)
        print(
            f"{accounts} accounts, {runs} runs: hand edit to first good login "
            f"{1000 * statistics.median(figures):.0f} ms median "
            f"({1000 * min(figures):.0f} to {1000 * max(figures):.0f}); "
            f"a login without a change {1000 * statistics.median(plain):.0f} ms"
        )
    finally:
        instance.close()


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [1000, 15][len(numbers) :]))
