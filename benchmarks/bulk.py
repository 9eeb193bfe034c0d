"""An import of N accounts with passwords against hashing alone: `python -m benchmarks.bulk [N]
[RUNS] [THERE]`, into a folder that has THERE accounts already.

Hashing alone is crypt_r and nothing else, in a process for each core. Both are taken in turn; wall
time is what the goal is about, and CPU time says how much of it was the machine's other users.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.folder import Measured, measure, python, setup_script, write_config

GOAL = 1.15
_HASHING = """
import ctypes, sys
library, data = ctypes.CDLL("libcrypt.so.1"), ctypes.create_string_buffer(1 << 18)
for n in range(int(sys.argv[1])):
    library.crypt_r(b"correct horse %d" % n, b"$6$saltsaltsaltsalt$", data)
"""
#: Splits the work over the cores, waits, and so measures all of it as one process.
_ON_ALL_CORES = """
import subprocess, sys
cores, number = int(sys.argv[1]), int(sys.argv[2])
shares = [str(number // cores + (core < number % cores)) for core in range(cores)]
running = [subprocess.Popen([sys.executable, "-c", sys.argv[3], share]) for share in shares]
sys.exit(any([process.wait() for process in running]))
"""


def main(accounts: int, runs: int, there: int) -> None:
    cores = len(os.sched_getaffinity(0))
    alone, imports = [], []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "people.csv"
        rows = (
            f"new{n}@domain{n % 10}.example.com,correct horse {n},5G\n" for n in range(accounts)
        )
        source.write_text(f"address,password,quota\n{''.join(rows)}")
        for run in range(runs):
            home = Path(folder) / str(run)
            if there:
                write_config(home / "config", there)
            hashing = [python(), "-c", _ON_ALL_CORES, str(cores), str(accounts), _HASHING]
            alone.append(measured(hashing))
            imports.append(measured([setup_script(), "--home", str(home), "import", str(source)]))
    print(f"{accounts} accounts into {there}, {cores} cores, {runs} runs in turn")
    for name, figures in (("hashing alone", alone), ("import", imports)):
        wall, cpu = (statistics.median(values) / 1000 for values in zip(*figures, strict=True))
        print(f"{name:14} {wall:7.2f} s wall {cpu:7.2f} s CPU")
    for name, place in (("wall", 0), ("CPU", 1)):
        ratios = [done[place] / bare[place] for done, bare in zip(imports, alone, strict=True)]
        print(
            f"{name:5} {statistics.median(ratios):5.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print(f"goal {GOAL} x wall")


def measured(argv: list[str]) -> tuple[float, float]:
    """Wall and CPU time in ms."""
    start = time.perf_counter()
    figures: Measured = measure(argv)
    return 1000 * (time.perf_counter() - start), figures.cpu_ms


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [10_000, 3, 0][len(numbers) :]))
