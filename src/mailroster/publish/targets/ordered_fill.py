"""Fills a table with rows in the order of their keys, where they differ from its own rows.

Sorted rows fill a table three times as fast as unsorted ones, and take a quarter of the space.
"""

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter

from mailroster.publish.tables.table import Changes, Row
from mailroster.publish.targets import FillResult

#: Rows in one transaction, for which Postfix's readers wait: 10 to 20 ms.
PART_ROWS = 2_000

Item = tuple[str, Row]


def in_order(rows: Iterable[Item]) -> Iterator[Item]:
    """The rows, sorted by their keys: by code points, which is the order of their UTF-8."""
    return iter(sorted(rows, key=itemgetter(0)))


def differing(given: Iterator[Item], current: Iterator[Item]) -> Iterator[tuple[str, Row | None]]:
    """The given rows that differ from the current ones, and None for each current key that was not
    given. Both come in the order of their keys."""
    new, old = next(given, None), next(current, None)
    while new is not None or old is not None:
        if old is None or (new is not None and new[0] < old[0]):
            assert new is not None
            yield new
            new = next(given, None)
        elif new is None or old[0] < new[0]:
            yield old[0], None
            old = next(current, None)
        else:
            if new[1] != old[1]:
                yield new
            new, old = next(given, None), next(current, None)


def fill_in_place(
    given: Iterator[Item], current: Iterator[Item], apply: Callable[[Changes], None]
) -> FillResult:
    """Applies the rows that differ, in parts. `current` reads on behind the last applied row."""
    changed, surplus, part = 0, [], Changes()
    for key, row in differing(given, current):
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
    return FillResult(changed, surplus)
