"""How large the container's image is, how soon one is ready, and how soon it has stopped:
`python -m benchmarks.image [N] [RUNS]`.

A container with N accounts in its config folder, started for the first time (all tables are made)
and again. Ready is when SMTP and IMAP answer from outside. The yardstick is a container of the same
image that does nothing.
"""

import json
import smtplib
import socket
import subprocess
import sys
import time

from tests.support.container import PORTS, Podman, image, runtime
from tests.support.instance import until

from benchmarks.folder import write_config


def size_mb() -> float:
    done = subprocess.run(["podman", "inspect", image()], capture_output=True, check=True)
    return float(json.loads(done.stdout)[0]["Size"]) / 1e6


def greeted(container: Podman) -> bool:
    try:
        container.smtp().close()
        with socket.create_connection(("127.0.0.1", container.ports["imap"]), 5) as session:
            return session.recv(100).startswith(b"* OK")
    except (OSError, smtplib.SMTPException):
        return False


def started_s(container: Podman) -> float:
    """From the word to the answers."""
    begin = time.perf_counter()
    container.begin()
    until(lambda: greeted(container), 120)
    return time.perf_counter() - begin


def nothing_s() -> float:
    begin = time.perf_counter()
    argv = ["podman", "--runtime", runtime(), "run", "--rm", "--network", "none"]
    subprocess.run([*argv, "--entrypoint", "true", image()], capture_output=True, check=False)
    return time.perf_counter() - begin


def main(accounts: int, runs: int) -> None:
    print(f"{len(PORTS)} ports, {accounts} accounts; the image has {size_mb():.0f} MB")
    for _ in range(runs):
        container = Podman()
        try:
            write_config(container.config, accounts)
            nothing, first = nothing_s(), started_s(container)
            stopped = container.stop()
            again = started_s(container)
            print(
                f"nothing {nothing:.2f} s; ready {first:.2f} s ({first / nothing:.1f} x), "
                f"again {again:.2f} s ({again / nothing:.1f} x); stopped {stopped:.2f} s"
            )
        finally:
            container.close()


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [1000, 3][len(numbers) :]))
