"""All tables from scratch, and a large start: `python -m benchmarks.tables [N…]`.

CPU and peak memory of each, and two yardsticks in the same run: `postmap` building the same alias
table alone, and bare Python. A large start: the files are saved by hand into a folder with one
account that is in force.
"""

import resource
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.folder import make_tables, measure, python, write_config


def main(sizes: list[int]) -> None:
    for accounts in sizes:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            write_config(home / "config", accounts)
            built = build(home)
            shutil.rmtree(home / "mail-state")
            write_config(home / "config", 1)
            build(home)
            write_config(home / "config", accounts)
            started = build(home)
            bare = statistics.median(measure([python(), "-c", "pass"]).cpu_ms for _ in range(9))
            source = home / "aliases"
            source.write_bytes((home / "config/postfix-virtual.cf").read_bytes())
            postmap = measure(["postmap", f"lmdb:{source}"])
            for what, cpu_ms, peak in (("from scratch", *built), ("a large start", *started)):
                print(
                    f"{accounts:8} accounts, aliases and quotas, {what}: {cpu_ms / 1000:7.2f} s "
                    f"CPU, {1000 * cpu_ms / accounts:6.1f} us an account, peak {peak} MB"
                )
            print(
                f"{'':8} postmap of the aliases alone: {postmap.cpu_ms / 1000:.2f} s CPU; "
                f"bare Python: {bare:.1f} ms"
            )


def build(home: Path) -> tuple[float, int]:
    """CPU in ms and peak memory in MB of a process that brings the tables in step."""
    cpu_ms = measure([python(), "-m", "benchmarks.tables", "--build", str(home)]).cpu_ms
    return cpu_ms, int((home / "peak").read_text())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--build"]:
        make_tables(Path(sys.argv[2]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        Path(sys.argv[2], "peak").write_text(str(peak))
    else:
        main([int(word) for word in sys.argv[1:]] or [1000, 10_000])
