"""Where tables are put in force. Each applies a change so that no other row is disturbed."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from mailroster.publish.tables.table import Changes, Row, Rows


class Filled(NamedTuple):
    """What it took to make the given rows stand in a table."""

    changed: int
    surplus: list[str]  # keys that stand there and were not given
    replaced: bool = False  # a new file has the name now: who had the old one open must open it


class Target(Protocol):
    """One table as a server reads it. Raises OSError that names the file if it can't be used."""

    def is_there(self) -> bool:
        """Whether there is a table that looks usable, by its size and its first bytes."""

    def damage(self) -> str:
        """Why the table can't be used, from a look at all of it; "" if it can. Never raises."""

    def mark(self) -> tuple[int, ...]:
        """Changes when somebody else writes the table, as far as its file tells."""

    def read(self) -> Rows:
        """Every row that is in force; none where there is no table."""

    def apply(self, changes: Changes) -> None:
        """Puts rows in force, all at once, and makes the table where there is none."""

    def fill(self, rows: Iterable[tuple[str, Row]], *, is_sorted: bool = False) -> Filled:
        """Makes rows stand in the table, each key once, and drops none.

        `is_sorted`: they come in the order of their keys; then they are never held in memory all at
        once. A usable table is changed in place and only where it differs, a part at a time. One
        that is missing or damaged is made anew beside its place.
        """
