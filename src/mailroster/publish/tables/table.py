"""Lookup tables as named functions from key to row, and the difference between two states of them.

A rebuild and a delta call the same function for the row of a key, so they agree by construction. A
delta only has to know which keys a change *may* affect; too many are slow, never wrong.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from mailroster.routing.change import Change
from mailroster.routing.router import Router

#: A row is one text, or one field for each column. None is no row, or an unset field.
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

    def affected(self, change: Change) -> Iterable[str]:
        """The keys whose row a change may alter. Too many are allowed."""


def stream(table: Table, router: Router) -> Iterator[tuple[str, Row]]:
    """Every row of a table, one after the other, in the order of the keys.

    It sorts the keys, which are in memory already, and not the rows.
    """
    for key in sorted(table.keys(router)):
        row = table.row(router, key)
        if row is not None:
            yield key, row


def full(table: Table, router: Router) -> Rows:
    """Every row of a table."""
    return dict(stream(table, router))


def delta(table: Table, change: Change, *, every: bool = False) -> Changes:
    """The rows of a table that a change alters. `every`: those that it may alter, too."""
    changes: Changes = {}
    for key in table.affected(change):
        row = table.row(change.after, key)
        if every or row != table.row(change.before, key):
            changes[key] = row
    return changes
