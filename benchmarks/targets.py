"""The tables alone: `python -m benchmarks.targets [N…]`. Each figure is a new process that fills a
table with N rows, fills it again, or changes one; the yardstick is `postmap` of the same rows."""

import gc
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.folder import DOMAINS, HASH, measure, python
from mailroster.publish.tables.table import Row
from mailroster.publish.targets import Target
from mailroster.publish.targets.lmdb_table import LmdbTable
from mailroster.publish.targets.sqlite_table import SqliteTable
from mailroster.servers.config.dovecot.schema import ACCOUNT, AccountRow

FORMS = ("lmdb", "sqlite")


def target(form: str, folder: Path) -> Target:
    if form == "lmdb":
        return LmdbTable(str(folder / "table"))
    return SqliteTable(str(folder / "roster.db"), ACCOUNT)


def rows(form: str, count: int) -> Iterator[tuple[str, Row]]:
    """Aliases for lmdb, accounts for SQLite; in the order of a config file, not of the keys."""
    return (item(form, number) for number in range(count))


def item(form: str, number: int) -> tuple[str, Row]:
    """One of them."""
    user = f"user{number}@domain{number % DOMAINS}.example.com"
    if form == "lmdb":
        return f"alias-of-{user}", user
    return user, AccountRow(HASH, user, quota_rule="*:storage=5G")


def act(form: str, deed: str, folder: Path, count: int) -> None:
    """One deed on a table, and on standard output the peak of this process's memory in MB."""
    gc.disable()  # as the commands do
    if deed == "fill":
        # As the program does: keys are in memory and sorted, a row is made when it is written.
        order = sorted(range(count), key=lambda number: item(form, number)[0])
        target(form, folder).fill((item(form, n) for n in order), is_sorted=True)
    else:
        key, row = next(rows(form, 1))
        target(form, folder).apply({key: row})
    status = Path("/proc/self/status").read_text()
    anonymous = next(line.split()[1] for line in status.splitlines() if "RssAnon" in line)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (folder / "memory").write_text(f"{int(anonymous) // 1024} MB, {peak // 1024} MB with its files")


def report(form: str, count: int, folder: Path, postmap_ms: float) -> None:
    for name, deed in (("fill", "fill"), ("fill again", "fill"), ("one row", "change")):
        argv = [python(), "-m", "benchmarks.targets", "--act", form, deed, str(folder), str(count)]
        done = measure(argv)
        ratio = f"{done.cpu_ms / postmap_ms:5.2f} x postmap" if deed == "fill" else ""
        print(
            f"{form:7} {count:8} rows  {name:10} {done.cpu_ms / 1000:7.2f} s CPU "
            f"{done.wall_ms / 1000:7.2f} s  memory {(folder / 'memory').read_text()} {ratio}",
            flush=True,
        )
    size = sum(os.stat(path).st_size for path in folder.iterdir()) / (1 << 20)
    print(f"{form:7} {count:8} rows  {size:.0f} MB on the disk")


def main(sizes: list[int]) -> None:
    for count in sizes:
        with tempfile.TemporaryDirectory() as name:
            source = Path(name) / "aliases"
            with source.open("w") as file:
                file.writelines(f"{key} {row}\n" for key, row in rows("lmdb", count))
            postmap = measure(["postmap", f"lmdb:{source}"])
            print(f"postmap {count:8} rows  {postmap.cpu_ms / 1000:18.2f} s CPU")
            for form in FORMS:
                folder = Path(name) / form
                folder.mkdir()
                report(form, count, folder, postmap.cpu_ms)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--act"]:
        act(sys.argv[2], sys.argv[3], Path(sys.argv[4]), int(sys.argv[5]))
    else:
        main([int(word) for word in sys.argv[1:]] or [1000, 100_000])
