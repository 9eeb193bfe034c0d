"""Many connections at once, and a client beside them: `python -m benchmarks.connections [RUNS]`.

In a network of its own, with an address for each client. Each run takes the time of a client alone
and of the same client beside the others, so that the ratio of the two counts. `--postscreen` puts
postscreen(8) before port 25, `--plain` has the limits that Postfix and Dovecot have by default.
"""

import multiprocessing
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from tests.support.crowd import banner_s, idle, log_in_at_once
from tests.support.instance import HASH, Instance
from tests.support.network import own_network

USERS = [f"u{number}@x.com" for number in range(30)]
#: Numbers of clients that the others do not have.
FIRST = 2000
WAIT_S = 20.0
_PLAIN_POSTFIX = "default_process_limit = 100\nsmtpd_client_connection_count_limit = 50\n"
_POSTSCREEN = "postscreen_greet_action = enforce\npostscreen_access_list =\n"
_POSTSCREEN_SERVICES = """\
{smtp} inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
"""
_PLAIN_DOVECOT = "".join(
    f"service {name}-login {{\n  service_count = 1\n  process_limit = 100\n}}\n"
    for name in ("imap", "pop3", "managesieve")
)


def memory(program: str) -> str:
    """How many processes of a program run, and the memory of all: shared pages in parts (PSS)."""
    sizes = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().strip() == program:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                sizes += [int(line.split()[1]) for line in lines if line.startswith("Pss:")]
        except OSError:
            continue  # it has ended
    return f"{program} {len(sizes)}: {sum(sizes) / 1024:.0f} MB"


def login_s(port: int, number: int) -> float | None:
    (login,) = log_in_at_once(port, USERS[:1], number)
    return login.took_s if login.succeeded else None


def compared(
    name: str, alone: Callable[[], float | None], beside: Sequence[float | None], more: str = ""
) -> None:
    """Prints how long a client waits beside others, as a multiple of what it waits alone."""
    usual = statistics.median(took for _ in range(9) if (took := alone()) is not None)
    served = [took for took in beside if took is not None]
    waited = statistics.median(served) if served else float("nan")
    print(
        f"{name:44} {len(served):3} of {len(beside):3} served  {1000 * waited:7.1f} ms"
        f"  {waited / usual:5.1f} x  alone {1000 * usual:.1f} ms  {more}"
    )


def logins(instance: Instance) -> None:
    users = [USERS[number % len(USERS)] for number in range(300)]
    port, sizes = instance.ports["imaps"], list[str]()

    def held() -> None:
        sizes.extend(map(memory, ("imap-login", "imap", "auth")))

    with other_client(port) as beside:
        crowd = log_in_at_once(port, users, held=held)
    took = [login.took_s if login.succeeded else None for login in crowd]
    compared("300 logins at once, each", lambda: login_s(port, FIRST), took, ", ".join(sizes))
    compared("a login beside these", lambda: login_s(port, FIRST), beside)
    with idle(port, 200, [0]):
        waited = [login_s(port, FIRST + number) for number in range(5)]
    name = "a login beside 200 idle ones of one address"
    compared(name, lambda: login_s(port, FIRST), waited)


@contextmanager
def other_client(port: int) -> Iterator[list[float | None]]:
    """Logs in again and again, in a process of its own, until the block ends; what each took."""
    parent, child = multiprocessing.Pipe()
    found: list[float | None] = []
    process = multiprocessing.Process(target=_log_in_until_told, args=(port, child))
    process.start()
    parent.recv()  # the first login is over
    try:
        yield found
    finally:
        parent.send(None)
        found.extend(parent.recv())
        process.join()


def _log_in_until_told(port: int, connection: Connection) -> None:
    login_s(port, FIRST + 1)
    connection.send(None)
    found = []
    while not connection.poll():
        found.append(login_s(port, FIRST + 1))
    connection.send(found)


def banners(instance: Instance) -> None:
    port = instance.ports["smtp"]
    with idle(port, 200, range(28)) as connections:
        for connection in connections[:20]:
            connection.settimeout(WAIT_S)
            connection.recv(100)
        beside = [banner_s(port, FIRST + number, WAIT_S) for number in range(5)]
        size = memory("smtpd")
    numbers = iter(range(FIRST + 100, FIRST + 200))
    name = "a banner beside 200 idle ones of 28 addresses"
    compared(name, lambda: banner_s(port, next(numbers), WAIT_S), beside, size)


def use_postscreen(instance: Instance) -> None:
    """Puts postscreen(8) in the place of the smtpd(8) of port 25."""
    master = instance.state / "postfix/master.cf"
    text = master.read_text()
    smtp = next(line for line in text.split("\n") if line.endswith(" inet n - n - - smtpd"))
    services = _POSTSCREEN_SERVICES.format(smtp=smtp.split()[0])
    master.write_text(text.replace(f"{smtp}\n", services, 1))
    subprocess.run(["postfix", "-c", master.parent, "reload"], check=True, capture_output=True)


def main(words: Sequence[str]) -> None:
    runs = next((int(word) for word in words if word.isdecimal()), 3)
    options = [word for word in words if word.startswith("--")]
    with own_network():
        instance = Instance(listen="0.0.0.0")
        lines = "".join(f"{user}|{HASH}\n" for user in USERS)
        instance.file("postfix-accounts.cf").write_text(lines)
        postfix = _PLAIN_POSTFIX if "--plain" in options else ""
        postfix += _POSTSCREEN if "--postscreen" in options else ""
        instance.file("postfix-main.cf").write_text(postfix)
        instance.file("dovecot.cf").write_text(_PLAIN_DOVECOT if "--plain" in options else "")
        try:
            instance.start()
            if "--postscreen" in options:
                use_postscreen(instance)
            for _ in range(runs):
                if "--postscreen" not in options:
                    logins(instance)
                banners(instance)
        finally:
            instance.close()


if __name__ == "__main__":
    main(sys.argv[1:])
