"""Mutation testing: do the tests notice a small mistake in a core module?

    .venv/bin/python script/mutants.py                         all core modules
    .venv/bin/python script/mutants.py --each 50 splices plan  50 mutants of each of two

Makes mutants of each module: a comparison turned round, a statement left out, a number one higher …
Each runs the tests that enter the changed function, those named after the module first. A mutant
that no test notices survives and is printed as a hunk: a test is missing. An equivalent mutant does
the same work as the module: its hunk belongs in script/mutants.txt, with the reason below it. The
same seed gives the same mutants. One that takes five times the CPU time and 10 s counts as killed.

As root: all of it runs in a mount and process namespace, so the checkout stays as it is, and a run
leaves nothing behind, even after SIGKILL. Exits 1 where less than 95 % of the mutants are killed,
or where an entry of script/mutants.txt fits no mutant any more.
"""

import argparse
import ctypes
import functools
import multiprocessing
import os
import random
import re
import resource
import select
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import pytest
from lib.mutations import Mutant, mutants

CORE = [
    *("routing/router", "routing/lookups", "publish/removal_guard", "store/transaction"),
    *("roster/documents/document", "roster/documents/search", "roster/documents/large"),
    *("roster/documents/splices", "roster/documents/format"),
    *("routing/change", "roster/plan", "edits/accounts", "edits/aliases", "store/history/undo"),
    *("store/history/writer", "base/address", "base/sizes", "publish/published_files"),
    *("publish/copy_patch", "publish/indexed_file", "publish/targets/sqlite_file"),
    *("store/config_folder", "system/files", "store/history/log", "edits/rename"),
    *("edits/senders", "roster/formats/virtual", "roster/formats/regexp"),
    *("roster/formats/accounts", "analysis/checks/aliases", "analysis/checks/regexps"),
    *("analysis/effects/routes", "publish/targets/lmdb_table", "publish/targets/sqlite_table"),
    *("publish/tables/dovecot", "publish/tables/postfix", "daemons/policy/decisions"),
    *("store/staging", "store/recovery", "routing/senders", "roster/documents/compare"),
    *("store/reader", "daemons/policy/complaints"),
    *("daemons/guesses", "daemons/blocker", "daemons/login_reports", "publish/block_table"),
    *("base/client_network", "roster/formats/app_passwords", "edits/app_passwords"),
    *("servers/config/dkim", "servers/config/rspamd", "servers/dkim_keys"),
    *("analysis/dns/spf", "analysis/dns/sender_checks", "analysis/dns/route_checks"),
    *("analysis/dns/extra_checks", "analysis/dns/advice", "analysis/dns/record"),
    *("analysis/dns/tags", "system/dns_messages"),
]
TESTS = ["tests/unit", "tests/properties", "tests/golden"]
FIRST_FILES = 3
EQUIVALENT = Path(__file__).with_suffix(".txt")
SCRATCH = "/mnt"  # a tmpfs in the namespace
ISOLATED = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
ISOLATED += [f'mount -t tmpfs -o mode=1777 tmpfs {SCRATCH} && exec "$@"', "sh", sys.executable]
CLONE_NEWNS = 0x00020000  # sched.h
HEAD = "| module | tried | killed | equivalent | survived | score |\n|---|---|---|---|---|---|"


def _cpu_s() -> float:
    """The CPU time so far of this process and its children: waiting for a CPU does not count."""
    return sum(os.times()[:4])


class Test(NamedTuple):
    """A test that passes; `entered` has each function that it enters, as (module, first line)."""

    name: str
    cpu_s: float
    entered: set[tuple[str, int]]

    @property
    def file(self) -> str:
        return self.name.partition("::")[0]


class Trace:
    """For pytest: collects `tests`. Forked children write to the same `log`, so they count too."""

    def __init__(self, modules: list[str]) -> None:
        self.modules = {os.path.abspath(f"src/mailroster/{name}.py"): name for name in modules}
        self.log = os.open(f"{SCRATCH}/log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.tests = list[Test]()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        os.truncate(self.log, 0)
        self.began_s = _cpu_s()
        seen = set[int]()

        def enter(frame: FrameType, *_: object) -> None:
            code = frame.f_code
            if id(code) not in seen:
                seen.add(id(code))
                if module := self.modules.get(code.co_filename):
                    os.write(self.log, f"{module} {code.co_firstlineno}\n".encode())

        threading.settrace(enter)
        sys.settrace(enter)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            log = os.pread(self.log, os.fstat(self.log).st_size, 0).decode()
            calls = (line.split() for line in log.splitlines())
            entered = {(module, int(line)) for module, line in calls}
            self.tests.append(Test(report.nodeid, _cpu_s() - self.began_s, entered))
        elif report.failed:
            print("left out, it fails without a mutant:", report.nodeid, file=sys.stderr)


class Choice:
    """For pytest: only these tests, in this order."""

    def __init__(self, tests: list[Test]) -> None:
        self.place = {test.name: n for n, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self.place]
        items.sort(key=lambda item: self.place[item.nodeid])


def _run_pytest(*arguments: str, plugin: object) -> int:
    """Runs pytest, once in a process. The laws have the same few examples, and keep none."""
    folder = Path(f"{SCRATCH}/{os.getpid()}")
    folder.mkdir()
    os.environ |= {"LAWS": "25", "HYPOTHESIS_STORAGE_DIRECTORY": str(folder)}
    os.dup2(os.open(folder / "output", os.O_WRONLY | os.O_CREAT), 1)
    options = ["-q", "-p", "no:cacheprovider", "--hypothesis-seed=1", *arguments]
    return pytest.main(options, plugins=[plugin])


def _trace(options: argparse.Namespace) -> list[Test]:
    _run_pytest(*options.tests, plugin=(trace := Trace(options.modules)))
    return trace.tests


def _choose(tests: list[Test], module: str, function: int, budget_s: float) -> list[Test]:
    """The tests for a mutant in a function: those that enter it, then others of the module."""
    own = [f"_{name}.py" for name in (module.replace("/", "_"), module.rpartition("/")[2])]

    def rank(test: Test) -> tuple[bool, bool, float]:
        is_own = any(name in test.name for name in own)
        return (module, function) not in test.entered, not is_own, test.cpu_s

    chosen = list[Test]()
    for test in sorted(tests, key=rank):
        if any(name == module for name, _ in test.entered) and test.cpu_s <= budget_s:
            chosen.append(test)
            budget_s -= test.cpu_s
    return chosen


def _is_killed(tests: list[Test]) -> bool:
    """Whether a test fails. Most mutants fail in the first files: the others are not even read."""
    files = list(dict.fromkeys(test.file for test in tests))
    first = [test for test in tests if test.file in files[:FIRST_FILES]]
    others = [test for test in tests if test.file not in files[:FIRST_FILES]]
    return _fails(first) or _fails(others)


def _fails(tests: list[Test]) -> bool:
    """Whether one of the tests fails, or all together take much longer than without the mutant."""
    if not tests:
        return False
    limit_s = 10 + 5 * round(sum(test.cpu_s for test in tests))
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
        os._exit(_run_pytest("-x", *{test.file: 0 for test in tests}, plugin=Choice(tests)))
    has_ended = select.select([os.pidfd_open(child)], [], [], 20 * limit_s)[0]
    os.killpg(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return not has_ended or status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def _try(tests: list[Test], options: argparse.Namespace, module: str) -> tuple[Counter[str], str]:
    """How many mutants have which fate, and the hunks to show."""
    path, mutated = Path(f"src/mailroster/{module}.py"), Path(SCRATCH, module.replace("/", "."))
    places = list(mutants(source := path.read_text()))
    entries = _equivalent(module)
    stale = entries - {mutant.hunk for mutant in places}
    shown = [f"{module}: no mutant fits this entry of script/mutants.txt\n{hunk}" for hunk in stale]
    count = Counter(stale=len(stale))
    mutated.write_text(source)
    sys.dont_write_bytecode = True  # of a mutant it would stay in the checkout
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    ctypes.CDLL(None).unshare(CLONE_NEWNS)  # other jobs do not see these mutants
    subprocess.run(["mount", "--bind", mutated, path], check=True)
    unchanged = _choose(tests, module, 0, budget_s=3)
    if _is_killed(unchanged) and _is_killed(unchanged):
        return Counter(broken=1), f"\n{module}: its tests fail without a mutant\n"
    random.Random(f"{options.seed}/{module}").shuffle(places)
    for n, mutant in enumerate(_sample(places, options.each)):
        mutated.write_text(mutant.text)
        os.utime(mutated, (n, n))  # so that no compiled file fits
        if mutant.hunk in entries:
            count["equivalent"] += 1
        elif _is_killed(_choose(tests, module, mutant.function, options.budget)):
            count["killed"] += 1
        else:
            count["survived"] += 1
            shown.append(f"{module}:{mutant.line}\n{mutant.hunk}")
    return count, "".join(f"\n{hunk}\n" for hunk in shown)


def _sample(places: list[Mutant], most: int) -> list[Mutant]:
    """The first ones, and at most two of a line."""
    lines = Counter[int]()
    lines_so_far = ((place, lines.update([place.line])) for place in places)
    return [place for place, _ in lines_so_far if lines[place.line] <= 2][:most]


def _equivalent(module: str) -> set[str]:
    """A module's hunks in script/mutants.txt, each below its name and above the reason."""
    entry = rf"^{module}(?::\d+)?\n( .*\n-.*\n\+.*)"
    return set(re.findall(entry, EQUIVALENT.read_text(), re.MULTILINE))


def _score(count: Counter[str]) -> float:
    return 100 * count["killed"] / max(1, count["killed"] + count["survived"])


def _row(name: str, count: Counter[str]) -> str:
    fates = [count[fate] for fate in ("killed", "equivalent", "survived")]
    return f"| {name} | {sum(fates)} | {' | '.join(map(str, fates))} | {_score(count):.0f} % |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", default=CORE, metavar="MODULE")
    parser.add_argument("--each", type=int, default=14, help="mutants of a module (14)")
    parser.add_argument("--seed", type=int, default=1, help="which mutants (1)")
    parser.add_argument("--jobs", type=int, default=1, help="modules at once (1)")
    parser.add_argument(
        "--budget", type=int, default=10, help="CPU seconds of a mutant's tests (10)"
    )
    parser.add_argument("--tests", nargs="+", default=TESTS, help=f"({' '.join(TESTS)})")
    parser.add_argument("--isolated", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for module in options.modules:
        if not os.path.exists(path := f"src/mailroster/{module}.py"):
            parser.error(f"there is no file {path} in this folder")
    return options


def main(options: argparse.Namespace) -> int:
    if not options.isolated:
        os.environ["TMPDIR"] = SCRATCH
        os.execvp("unshare", [*ISOLATED, *sys.argv, "--isolated"])
    total = Counter[str]()
    with multiprocessing.get_context("fork").Pool(options.jobs, maxtasksperchild=1) as pool:
        attempt = functools.partial(_try, pool.apply(_trace, [options]), options)
        results = pool.imap(attempt, options.modules)
        print(HEAD)
        for module, (count, hunks) in zip(options.modules, results, strict=True):
            print(_row(module, count), *filter(None, [hunks]), sep="\n", flush=True)
            total += count
    print(_row("all", total))
    return int(_score(total) < 95 or total["stale"] + total["broken"] > 0)


if __name__ == "__main__":
    sys.exit(main(_options()))
