"""Config folders of any size, and the measure of a process."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mailroster.base.layout import Layout
from mailroster.publish.destinations import targets_of
from mailroster.publish.live_tables import LiveTables
from mailroster.publish.reconcile import reconcile
from mailroster.roster.dovecot.versions import VERSIONS
from mailroster.store.config_folder import Store
from mailroster.system.stability import Settling

DOMAINS = 10
HASH = (
    "{SHA512-CRYPT}$6$DBoFQvCT4OJ0fEDb$" + "5Xz/lRgjVO9VHdlWfVG94Oahw.NG2Vo/SaR8gwgV5W" * 2 + "ab"
)


class Measured(NamedTuple):
    """One process: CPU (user and system, children included) in ms."""

    cpu_ms: float
    wall_ms: float


def write_config(config: Path, accounts: int) -> None:
    """N accounts over ten domains, each with an alias and a quota."""
    config.mkdir(parents=True, exist_ok=True)
    users = [f"user{n}@domain{n % DOMAINS}.example.com" for n in range(accounts)]
    for name, lines in (
        ("postfix-accounts.cf", [f"{user}|{HASH}\n" for user in users]),
        ("dovecot-quotas.cf", [f"{user}:5G\n" for user in users]),
        ("postfix-virtual.cf", [f"alias-of-{user} {user}\n" for user in users]),
    ):
        (config / name).write_text("".join(lines))
    (config / "postfix-accounts.cf").chmod(0o600)


def make_tables(home: Path) -> None:
    """The tables of an instance that is not running."""
    layout = Layout(str(home / "mail-state"))
    for folder in (layout.tables, layout.sql):
        os.makedirs(folder, exist_ok=True)
    tables = LiveTables(layout, targets_of(layout))
    tables.begin("mail.example.test", VERSIONS[0], str(home / "mail-data"))
    reconcile(Store(str(home / "config")), tables, layout, Settling(1.0))


def measure(argv: Sequence[str]) -> Measured:
    """Runs a command once. Raises if it fails."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Compiled modules are kept, as wherever the program is installed.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )
    start = time.perf_counter()
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{argv}: {said.decode()}")
    return Measured(1000 * (usage.ru_utime + usage.ru_stime), 1000 * (time.perf_counter() - start))


def medians(commands: Mapping[str, Callable[[int], Sequence[str]]], runs: int) -> dict[str, float]:
    """Median CPU in ms of each command, all of them in turn, so that noise hits all alike."""
    figures: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(-1, runs):
        for name, argv in commands.items():
            measured = measure(argv(run))
            if run >= 0:
                figures[name].append(measured.cpu_ms)
    return {name: statistics.median(values) for name, values in figures.items()}


def python() -> str:
    """This interpreter, in its own environment."""
    return sys.executable


def setup_script() -> str:
    """The console script beside this interpreter."""
    return str(Path(sys.executable).with_name("setup"))
