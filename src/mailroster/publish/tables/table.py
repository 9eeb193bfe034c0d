"""The served form: named tables of rows, and the difference between two states of them.

A table is defined by its keys and by one function that gives the row of a key, so the full build
and a delta agree by construction: both ask the same function. A delta only has to know which keys
a change *may* concern; asking for too many is slow, never wrong.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from mailroster.routing.change import Change
from mailroster.routing.router import Router

#: A row is one text, or one field for each column; None is no row, or a field that is not set.
Row = str | tuple[str | None, ...]
Rows = dict[str, Row]
Changes = dict[str, Row | None]


class Table(Protocol):
    """One table as a function of the roster. Pure."""

    name: str

    def keys(self, router: Router) -> Iterable[str]:
        """The keys that may have a row."""

    def row(self, router: Router, key: str) -> Row | None:
        """The row of a key, or None."""

    def concerned(self, change: Change) -> Iterable[str]:
        """The keys whose row a change may alter; more than need be is allowed."""


def stream(table: Table, router: Router) -> Iterator[tuple[str, Row]]:
    """Every row of a table, one after the other, in the order of the keys.

    The keys are sorted, which are in memory already, and not the rows: so rows take no memory, and
    no files to sort them.
    """
    for key in sorted(table.keys(router)):
        row = table.row(router, key)
        if row is not None:
            yield key, row


def full(table: Table, router: Router) -> Rows:
    """Every row of a table."""
    return dict(stream(table, router))


def delta(table: Table, change: Change, *, every: bool = False) -> Changes:
    """The rows of a table that a change alters; or every one that it may, whatever was before."""
    changes: Changes = {}
    for key in table.concerned(change):
        row = table.row(change.after, key)
        if every or row != table.row(change.before, key):
            changes[key] = row
    return changes


def difference(before: Mapping[str, Row], after: Mapping[str, Row]) -> Changes:
    """What turns one set of rows into another."""
    changes: Changes = dict.fromkeys(before.keys() - after.keys())
    changes |= {key: row for key, row in after.items() if before.get(key) != row}
    return changes
