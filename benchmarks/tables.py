"""All tables from scratch: `python -m benchmarks.tables [N…]`. CPU, peak memory, and the yardstick:
`postmap` building the same alias table alone."""

import resource
import sys
import tempfile
from pathlib import Path

from benchmarks.folder import make_tables, measure, python, write_config


def main(sizes: list[int]) -> None:
    for accounts in sizes:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            write_config(home / "config", accounts)
            measured = measure([python(), "-m", "benchmarks.tables", "--build", folder])
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            source = home / "aliases"
            source.write_bytes((home / "config/postfix-virtual.cf").read_bytes())
            postmap = measure(["postmap", f"lmdb:{source}"])
            print(
                f"{accounts:8} accounts, aliases and quotas: {measured.cpu_ms / 1000:7.2f} s CPU, "
                f"{1000 * measured.cpu_ms / accounts:6.1f} us an account, peak {peak:.0f} MB; "
                f"postmap of the aliases alone: {postmap.cpu_ms / 1000:.2f} s CPU"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--build"]:
        make_tables(Path(sys.argv[2]))
    else:
        main([int(word) for word in sys.argv[1:]] or [1000, 10_000])
