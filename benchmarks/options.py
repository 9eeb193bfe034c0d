"""The cost of each option beside a server without options: `python -m benchmarks.options [RUNS]`.

A server with 1,000 accounts for each option, and one without options, the yardstick. In each run
each server in turn starts, serves logins and messages, is idle, and stops; the first run does not
count. Names behind RUNS choose some of the options.

Times are followed by the CPU of all processes of the server, which the load of the machine hardly
changes.

- ready: from the start of `up` to its line "ready"; the tables exist.
- login: from the command of IMAP to the answer.
- submitted, incoming: a message of 2 kB from MAIL to the answer after the text, on an open session;
  the submitting one has logged in. Deliveries wait (`defer_transports`), so both cores work for it.
- idle: CPU of all processes, in percent of a core.
- memory: the PSS of all processes (proc(5)), after that; of added ones, and of `up`.
- installed: the size of the packages that the option adds to those of the server, by dpkg.
"""

import hashlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support import processes, spam
from tests.support.instance import HASH, PASSWORD, Instance, free_ports, message
from tests.support.pki import Authority

from benchmarks.accepted import postfix
from benchmarks.folder import write_config
from benchmarks.login import login_ms
from mailroster.base.layout import Layout
from mailroster.servers import running

ACCOUNTS, LOGINS, MESSAGES, SIZE_BYTES = 1000, 60, 150, 2048
SETTLE_S, IDLE_S = 1.5, 5.0
DOMAIN = "domain1.example.com"
SOMEBODY = f"somebody@{DOMAIN}"
STRANGER = "somebody@elsewhere.test"
APP_PASSWORD = "k3wz9p-known-app-password"
SERVER_PACKAGES = (
    "python3", "openssl", "postfix", "postfix-lmdb", "postfix-pcre", "dovecot-imapd",
    "dovecot-pop3d", "dovecot-lmtpd", "dovecot-sieve", "dovecot-managesieved", "dovecot-sqlite",
)  # fmt: skip


class Option(NamedTuple):
    """What differs from a server without options."""

    settings: Mapping[str, object] = {}
    prepare: Callable[[Instance], object] = id
    started: Callable[[Instance], object] = id
    packages: Sequence[str] = ()
    password: str = PASSWORD


class Cost(NamedTuple):
    """What one start, login or message takes."""

    wall_ms: float
    cpu_ms: float


class Run(NamedTuple):
    """What one run of one server took."""

    ready: Cost
    login: Cost
    submitted: Cost
    incoming: Cost
    idle_percent: float
    memory: dict[str, float]  # MiB by the name of the process


def options(folder: Path) -> dict[str, Option]:
    """All options; `folder` gets their files."""
    issued = Authority(folder).issue("mail.example.test")
    certificate, key = folder / "chain.pem", folder / "key.pem"
    certificate.write_text(issued.chain)
    key.write_text(issued.key)
    reports, guessing, forward, reverse = free_ports(4)
    return {
        "none": Option(),
        "DKIM": Option(prepare=make_keys("rsa"), packages=["opendkim"]),
        "DKIM, two types": Option(prepare=make_keys("rsa", "ed25519"), packages=["opendkim"]),
        "SRS": Option(
            {"enable_srs": True, "srs_forward_port": forward, "srs_reverse_port": reverse},
            packages=["postsrsd"],
        ),
        "app passwords": Option(prepare=write_app_passwords, password=APP_PASSWORD),
        "login reports": Option({"login_reports_port": reports}),
        "blocks": Option({"login_reports_port": guessing, "block_guessing": True}),
        "certificate": Option({"tls_certificate": certificate, "tls_key": key}),
        "Rspamd": Option(
            {"enable_rspamd": True}, started=spam.wait_for_filter, packages=["rspamd"]
        ),
    }


def make_keys(*kinds: str) -> Callable[[Instance], None]:
    def make(instance: Instance) -> None:
        for kind in kinds:
            instance.setup("config", "dkim", "keytype", kind, "domain", DOMAIN)

    return make


def write_app_passwords(instance: Instance) -> None:
    """One for each account, and one of SOMEBODY."""
    users = [f"user{n}@domain{n % 10}.example.com" for n in range(ACCOUNTS)]
    words = [*((user, user) for user in users), (SOMEBODY, APP_PASSWORD)]
    lines = (
        f"{user}|phone|{{SHA256.HEX}}{hashlib.sha256(word.encode()).hexdigest()}\n"
        for user, word in words
    )
    instance.file("dovecot-app-passwords.cf").write_text("".join(lines))


def made(option: Option) -> Instance:
    """A server that does not run yet."""
    instance = Instance(index_from_bytes=1 << 20, **option.settings)
    write_config(instance.config, ACCOUNTS)
    with instance.file("postfix-accounts.cf").open("a") as file:
        file.write(f"{SOMEBODY}|{HASH}\n")
    instance.file("postfix-main.cf").write_text("defer_transports = lmtp, smtp\n")
    option.prepare(instance)
    return instance


# -- one run


def measured(instance: Instance, option: Option) -> Run:
    instance.log.write_bytes(b"")  # the next line about Rspamd is a new one
    begin = time.perf_counter()
    instance.start()
    ready = Cost(1000 * (time.perf_counter() - begin), start_cpu_ms(instance))
    option.started(instance)
    time.sleep(SETTLE_S)
    login = cost(instance, (login_ms(instance, SOMEBODY, option.password) for _ in range(LOGINS)))
    with instance.smtp("submission") as session:
        session.login(SOMEBODY, option.password)
        submitted = cost(instance, accepted_ms(session.sendmail, SOMEBODY, STRANGER))
    with instance.smtp() as session:
        incoming = cost(instance, accepted_ms(session.sendmail, STRANGER, SOMEBODY))
    postfix(instance, "postsuper", "-d", "ALL")
    time.sleep(SETTLE_S)
    before, began = cpu_ns(instance), time.perf_counter()
    time.sleep(IDLE_S)
    used_s = used_ns(instance, before) / 1e9
    idle = 100 * used_s / (time.perf_counter() - began)
    memory = memory_mib(instance)
    assert instance.stop() == 0
    return Run(ready, login, submitted, incoming, idle, memory)


def cost(instance: Instance, times_ms: Iterator[float]) -> Cost:
    """The median of some times, which are taken now, and the CPU of the server for each. That of
    processes which end meanwhile is left out."""
    next(times_ms)  # it starts processes
    before = cpu_ns(instance)
    taken = list(times_ms)
    return Cost(median(taken), used_ns(instance, before) / 1e6 / len(taken))


def median(figures: Iterable[float]) -> float:
    return statistics.median(figures)


def accepted_ms(send: Callable[..., object], sender: str, recipient: str) -> Iterator[float]:
    text = message("a letter", recipient, SIZE_BYTES)
    text.replace_header("From", sender)
    raw = text.as_bytes()
    for _ in range(MESSAGES):
        start = time.perf_counter()
        send(sender, [recipient], raw)
        yield 1000 * (time.perf_counter() - start)


def names(instance: Instance) -> dict[int, str]:
    """The processes of a server by their pids; those of mailroster by what they do."""
    found = {}
    commands = processes.of(instance)
    if running.filter_pid(Layout(str(instance.state))) is not None:
        commands |= dict.fromkeys(spam.pids(instance), "")
    for pid, command in commands.items():
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue  # it has ended
        if "mailroster" in command and name.startswith("python"):
            name = "policy service" if "policy" in command else "up"
        found[pid] = name
    return found


def cpu_ns(instance: Instance) -> dict[int, int]:
    """The time on a core of each process so far (proc(5), schedstat)."""
    used: dict[int, int] = defaultdict(int)
    for pid in names(instance):
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                used[pid] += int(path.read_text().split()[0])
            except OSError:
                continue
    return used


def used_ns(instance: Instance, before: Mapping[int, int]) -> int:
    return sum(spent - before.get(pid, 0) for pid, spent in cpu_ns(instance).items())


def start_cpu_ms(instance: Instance) -> float:
    """The time on a core of all processes so far, with their children that have ended (proc(5),
    stat)."""
    ticks = 0
    for pid in names(instance):
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        ticks += sum(map(int, text.rpartition(")")[2].split()[11:15]))
    return 1000 * ticks / os.sysconf("SC_CLK_TCK")


def memory_mib(instance: Instance) -> dict[str, float]:
    """The PSS by the name of the process, in MiB."""
    sizes: dict[str, float] = defaultdict(float)
    for pid, name in names(instance).items():
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        sizes[name] += int(re.findall(r"^Pss: +(\d+)", text, re.M)[0]) / 1024
    return dict(sizes)


# -- packages


def installed_mb(added: Sequence[str]) -> float:
    """The size of packages, with all that they depend on and a server does not need, in MB."""
    form = "${Package}\t${Provides}\t${Installed-Size}\t${Pre-Depends},${Depends}\n"
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True
    )
    sizes: dict[str, int] = {}
    needs: dict[str, list[str]] = {}
    providers: dict[str, str] = {}
    for line in done.stdout.splitlines():
        name, provides, size, depends = line.split("\t")
        sizes[name] = int(size or 0)
        needs[name] = depends.split(",")
        providers |= dict.fromkeys(re.findall(r"[a-z0-9][a-z0-9.+-]+", provides), name)

    def closure(names: Iterable[str]) -> set[str]:
        reached, waiting = set[str](), list(names)
        while waiting:
            name = waiting.pop()
            name = name if name in sizes else providers.get(name, "")
            if not name or name in reached:
                continue
            reached.add(name)
            for need in needs[name]:
                choices = [re.split(r"[ :(]", word.strip())[0] for word in need.split("|")]
                waiting += [word for word in choices if word in sizes or word in providers][:1]
        return reached

    more = closure(added) - closure(SERVER_PACKAGES)
    return sum(sizes[name] for name in more) * 1024 / 1e6


# -- the table


def main(runs: int, chosen: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        every = options(Path(folder))
        wanted = {n: o for n, o in every.items() if n == "none" or not chosen or n in chosen}
        figures: dict[str, list[Run]] = {name: [] for name in wanted}
        instances: dict[str, Instance] = {}
        try:
            for name, option in wanted.items():
                instances[name] = made(option)
            for run in range(-1, runs):
                for name, instance in instances.items():
                    try:
                        result = measured(instance, wanted[name])
                    except (OSError, AssertionError) as error:  # a port is in use, for example
                        print(f"a run of {name!r} failed: {error}\n{instance.log.read_text()}")
                        instance.stop()
                        continue
                    if run >= 0:
                        figures[name].append(result)
        except KeyboardInterrupt:
            print("interrupted: the medians of the runs so far")
        finally:
            for instance in instances.values():
                instance.close()
    print(f"{ACCOUNTS} accounts, {runs} runs; medians, and multiples of those without options")
    for name, option in wanted.items():
        if figures[name] and figures["none"]:
            show(name, figures[name], figures["none"], installed_mb(option.packages))


def show(name: str, found: Sequence[Run], base: Sequence[Run], installed: float) -> None:
    words = []
    for field in ("ready", "login", "submitted", "incoming"):
        costs, without = ([getattr(run, field) for run in runs] for runs in (found, base))
        wall, cpu = median(each.wall_ms for each in costs), median(each.cpu_ms for each in costs)
        wall_ratio = wall / median(each.wall_ms for each in without)
        cpu_ratio = cpu / median(each.cpu_ms for each in without)
        words.append(
            f"{field} {wall:.1f} ms ({wall_ratio:.2f} x), CPU {cpu:.1f} ms ({cpu_ratio:.2f} x)"
        )
    idle, usual = (median(run.idle_percent for run in runs) for runs in (found, base))
    words.append(f"idle {idle:.2f} % ({idle / usual:.2f} x)")
    print("\n  ".join([name, *words, f"memory {memory_words(found, base)}"]))
    print(f"  installed {installed:.1f} MB", flush=True)


def memory_words(found: Sequence[Run], base: Sequence[Run]) -> str:
    """All processes, those that a server without options does not have, and `up`."""
    without = by_process(base)
    sizes = by_process(found)
    added = {name: size for name, size in sizes.items() if name not in without}
    total = median(sum(run.memory.values()) for run in found)
    words = [f"{name} {size:.1f}" for name, size in sorted(added.items())]
    grown = [f"{each} {sizes[each] - without[each]:+.1f}" for each in ("up", "auth")]
    return f"{total:.1f} MiB  added: {', '.join(words) or 'none'}  grown: {', '.join(grown)}"


def by_process(runs: Sequence[Run]) -> dict[str, float]:
    """The median of each process, in MiB."""
    every = {name for run in runs for name in run.memory}
    return {name: median(run.memory.get(name, 0.0) for run in runs) for name in every}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:])
