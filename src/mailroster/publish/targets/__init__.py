"""Targets: the places where tables are published. A change disturbs no other row."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from mailroster.publish.tables.table import Changes, Row, Rows


class FillResult(NamedTuple):
    """What `Target.fill` did."""

    changed: int  # rows
    surplus: list[str]  # keys in the table that were not given
    replaced: bool = False  # whether there is a new file, which servers must open


class Target(Protocol):
    """One table as a server reads it. Raises OSError that names the file if it can't be used."""

    @property
    def visible_at(self) -> float:
        """When every lookup sees the last change, by the monotonic clock; 0.0: at once."""

    def is_there(self) -> bool:
        """Whether the table exists and looks usable, by its size and its first bytes."""

    def damage(self) -> str:
        """Why the table can't be used; "" if it can. Reads all of it. Never raises."""

    def mark(self) -> tuple[int, ...]:
        """Changes when another process writes the table, as far as its file shows that."""

    def read(self) -> Rows:
        """Every row; none where there is no table."""

    def apply(self, changes: Changes) -> None:
        """Writes rows and removes others, atomically. Makes the table if there is none."""

    def fill(self, rows: Iterable[tuple[str, Row]], *, is_sorted: bool = False) -> FillResult:
        """Makes the table hold the rows, each key once. Removes no row.

        `is_sorted`: the rows come in the order of their keys, and are never in memory all at once.
        A usable table is changed in place, where it differs, in parts. A missing or damaged one is
        rebuilt in a new file, which then replaces it.
        """
