"""Rows in the order of their keys, and how they differ from those that stand in a table.

Sorted rows fill a table three times as fast as unsorted ones, and a quarter of the space.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import IO

from mailroster.tables import Changes, Row
from mailroster.targets import Filled

#: Sorted in memory, about 50 MB of accounts; more are sorted in files.
RUN_ROWS = 100_000
#: Written in one transaction, which Postfix's readers wait for: 10 to 20 ms.
PART_ROWS = 2_000
_BLOCK_ROWS = 500
_LENGTH_BYTES = 4

Item = tuple[str, Row]


def in_order(rows: Iterable[Item], folder: str) -> Iterator[Item]:
    """The rows, sorted by the UTF-8 of their keys; those that are many by way of files without a
    name in a folder, which are gone with this process."""
    waiting = iter(rows)
    run = sorted(islice(waiting, RUN_ROWS), key=_key)
    if len(run) < RUN_ROWS:
        yield from run
        return
    import heapq
    import tempfile

    runs: list[Iterator[Item]] = []
    while run:
        # Closed with the last reference: each is read until the merge ends.
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        _spool(run, file)
        runs.append(_spooled(file))
        run = sorted(islice(waiting, RUN_ROWS), key=_key)
    yield from heapq.merge(*runs, key=_key)


def differing(given: Iterator[Item], standing: Iterator[Item]) -> Iterator[tuple[str, Row | None]]:
    """The given rows that don't stand there; and None for each key that was not given. Both come in
    the order of their keys."""
    new, old = next(given, None), next(standing, None)
    while new is not None or old is not None:
        if old is None or (new is not None and new[0] < old[0]):
            assert new is not None
            yield new
            new = next(given, None)
        elif new is None or old[0] < new[0]:
            yield old[0], None
            old = next(standing, None)
        else:
            if new[1] != old[1]:
                yield new
            new, old = next(given, None), next(standing, None)


def put_in_place(
    given: Iterator[Item], standing: Iterator[Item], apply: Callable[[Changes], None]
) -> Filled:
    """Applies what differs, a part at a time. What stands behind the row that was applied last must
    still come."""
    changed, surplus, part = 0, [], Changes()
    for key, row in differing(given, standing):
        if row is None:
            surplus.append(key)
            continue
        part[key] = row
        changed += 1
        if len(part) == PART_ROWS:
            apply(part)
            part = {}
    if part:
        apply(part)
    return Filled(changed, surplus)


def _key(item: Item) -> str:
    return item[0]


def _spool(run: list[Item], file: IO[bytes]) -> None:
    import marshal

    plain = [(key, row if isinstance(row, str) else tuple(row)) for key, row in run]
    for start in range(0, len(plain), _BLOCK_ROWS):
        # marshal.load() would call the file for every field.
        raw = marshal.dumps(plain[start : start + _BLOCK_ROWS])
        file.write(len(raw).to_bytes(_LENGTH_BYTES, "big") + raw)
    file.seek(0)


def _spooled(file: IO[bytes]) -> Iterator[Item]:
    import marshal

    with file:
        while length := int.from_bytes(file.read(_LENGTH_BYTES), "big"):
            yield from marshal.loads(file.read(length))
