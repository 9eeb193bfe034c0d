"""Every parser under atheris: the same few inputs each time, and with FUZZ=600 new ones for ten
minutes each. `-k` chooses.

Where there is no atheris (no wheel for this Python or machine) inputs by chance stand in for it,
and a warning says so. What breaks a parser is kept among its cases.
"""

import importlib.util
import os
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS
from tests.fuzz.test_corpus import by_chance
from tests.support.project import ROOT

SECONDS = int(os.environ.get("FUZZ", "0"))
#: So many inputs of libFuzzer's making, the same each time, where no seconds are asked for.
_INPUTS = 400
AT_ONCE = 2
#: For atheris to start, and to end by itself.
_GRACE_S = 120
#: So many inputs by chance between two looks at the clock.
_STEP = 50

HAVE_ATHERIS = importlib.util.find_spec("atheris") is not None

Runs = dict[str, "Future[subprocess.CompletedProcess[str]]"]


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs]:
    """The targets that were chosen, at work."""
    folder = tmp_path_factory.mktemp("fuzz")
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    chosen = [str(i.callspec.params["name"]) for i in items if i.function is test_a_parser]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(fuzzed, name, folder) for name in chosen}
        pool.shutdown(cancel_futures=True)


def fuzzed(name: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    length = [f"-max_total_time={SECONDS}"] if SECONDS else [f"-runs={_INPUTS}", "-seed=1"]
    argv = [sys.executable, "-m", "tests.fuzz", name, *length]
    return subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS + _GRACE_S,
    )


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser(name: str, request: pytest.FixtureRequest) -> None:
    if HAVE_ATHERIS:
        runs: Runs = request.getfixturevalue("runs")
        done = runs[name].result()
        assert done.returncode == 0, done.stdout[-5000:]
        assert "INFO: Instrumenting mailroster" in done.stdout
        assert "DONE" in done.stdout
    else:
        if SECONDS:
            count = by_chance_for(name, SECONDS)
        else:
            by_chance(name, count := _INPUTS, seed=1)
        warnings.warn(f"{name}: no atheris here; {count} inputs by chance instead", stacklevel=1)


def by_chance_for(name: str, seconds: float) -> int:
    """How many inputs were tried, new ones each time."""
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        by_chance(name, _STEP, random.SystemRandom().getrandbits(64))
        count += _STEP
    return count


def test_inputs_by_chance_are_tried() -> None:
    """What stands in for atheris works where it isn't asked to, too."""
    assert by_chance_for("size", 0.01) >= _STEP
