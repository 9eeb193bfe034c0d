"""A roster that is read from Postfix's tables, one row at a time: so an address can be expanded
without reading a million lines."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mailroster.publish.targets.lmdb_lookup import LmdbLookup
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format
from mailroster.roster.formats.accounts import ACCOUNTS, Account
from mailroster.roster.formats.local_aliases import LOCAL_ALIASES
from mailroster.roster.formats.virtual import VIRTUAL, Alias
from mailroster.roster.roster import Roster

E = TypeVar("E")


class TableDocument(Document[E]):
    """A document with only `get`, `in` and `names_domain`; each raises OSError without a table.
    `domains` is the table of all local domains."""

    __slots__ = ("_domains_served", "_entry", "_table")

    def __init__(
        self,
        format: Format[E],
        table: LmdbLookup,
        domains: LmdbLookup,
        entry: Callable[[str, str], E],
    ) -> None:
        super().__init__(format)
        self._table, self._domains_served, self._entry = table, domains, entry

    @property
    def text(self) -> str:
        raise TypeError("a table has no text")

    def get(self, key: str) -> E | None:
        value = self._table.get(key)
        return None if value is None else self._entry(key, value)

    def __contains__(self, key: str) -> bool:
        return self._table.get(key) is not None

    def names_domain(self, domain: str) -> bool:
        """Whether an account or an alias names a domain."""
        return self._domains_served.get(domain) is not None


#: The tables of a roster.
TABLES = ("domains", "mailboxes", "aliases", "local_aliases")


def table_roster(tables: Mapping[str, LmdbLookup]) -> Roster:
    """The live accounts and aliases, from the tables named in TABLES, which have no passwords."""

    def document(format: Format[E], table: str, entry: Callable[[str, str], E]) -> Any:
        return TableDocument(format, tables[table], tables["domains"], entry)

    return Roster(
        accounts=document(ACCOUNTS, "mailboxes", _account),
        virtual=document(VIRTUAL, "aliases", _alias),
        local_aliases=document(LOCAL_ALIASES, "local_aliases", _alias),
    )


def _account(key: str, value: str) -> Account:
    from mailroster.base.address import Address

    return Account(Address(value), "")


def _alias(key: str, value: str) -> Alias:
    return Alias(key, tuple(value.split(", ")))
