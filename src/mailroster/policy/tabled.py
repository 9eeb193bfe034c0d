"""The roster as Postfix's tables tell it, one row at a time: for who needs to know where an address
goes and must not read a million lines for it."""

from collections.abc import Callable
from typing import Any, TypeVar

from mailroster.document import Document, Format
from mailroster.formats.accounts import ACCOUNTS, Account
from mailroster.formats.local_aliases import LOCAL_ALIASES
from mailroster.formats.virtual import VIRTUAL, Alias
from mailroster.instance.layout import Layout
from mailroster.roster import Roster
from mailroster.targets.lmdb_lookup import LmdbLookup

E = TypeVar("E")


class Tabled(Document[E]):
    """A document of which only `get` and `in` can be asked; both raise OSError without a table."""

    __slots__ = ("_entry", "_table")

    def __init__(
        self, format: Format[E], table: LmdbLookup, entry: Callable[[str, str], E]
    ) -> None:
        super().__init__(format)
        self._table, self._entry = table, entry

    @property
    def text(self) -> str:
        raise TypeError("a table has no text")

    def get(self, key: str) -> E | None:
        value = self._table.get(key)
        return None if value is None else self._entry(key, value)

    def __contains__(self, key: str) -> bool:
        return self._table.get(key) is not None


def tabled(layout: Layout) -> Roster:
    """Accounts and aliases as they are served. Passwords are in none of these tables."""
    documents: dict[str, Any] = {
        "accounts": Tabled(ACCOUNTS, LmdbLookup(layout.table("mailboxes")), _account),
        "virtual": Tabled(VIRTUAL, LmdbLookup(layout.table("aliases")), _alias),
        "local_aliases": Tabled(LOCAL_ALIASES, LmdbLookup(layout.table("local_aliases")), _alias),
    }
    return Roster(**documents)


def _account(key: str, value: str) -> Account:
    from mailroster.address import Address

    return Account(Address(value), "")


def _alias(key: str, value: str) -> Alias:
    return Alias(key, tuple(value.split(", ")))
