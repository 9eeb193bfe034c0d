"""Where tables are put in force. Each applies a change so that no other row is disturbed."""

from typing import Protocol

from mailroster.tables import Changes, Rows


class Target(Protocol):
    """One table as a server reads it."""

    def is_there(self) -> bool:
        """Whether there is a table at all."""

    def read(self) -> Rows:
        """Every row that is in force."""

    def apply(self, changes: Changes) -> None:
        """Puts rows in force, all at once, and makes the table where there is none."""
