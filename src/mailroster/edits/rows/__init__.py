"""Accounts and aliases as rows: of CSV, of JSON lines, or of the files of a config folder.

    account = address [ password / hash ] [ extra ] [ quota ]
    alias   = alias recipients

A row is read leniently and judged whole: every one that is bad gives a finding with its place, and
none hides another. No finding shows what stands in a cell, unless it can only be an address: where
columns are mixed up, any cell may hold a password.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from mailroster.base import address
from mailroster.base.address import Address
from mailroster.base.findings import Finding, Location, ParseError
from mailroster.base.sizes import normal_size
from mailroster.roster.documents.text import check_text
from mailroster.roster.formats import credentials, extra_fields, virtual
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.virtual import Alias

T = TypeVar("T", bound=str)

#: The cells of one row by column, or why it has none.
Cells = Mapping[str, str] | ParseError

FORMATS = ("csv", "jsonl", "folder")
#: In the order in which they are written.
COLUMNS = ("address", "password", "hash", "quota", "extra", "alias", "recipients")
_OF_ALIASES = ("alias", "recipients")
_BLANKS = " \t\r\n\ufeff"
#: What can only be an address, so that a message may show it.
_ADDRESS = r"[^\s:;,|{}$\"\\@]*@[^\s:;,|{}$\"\\@]*\.[^\s:;,|{}$\"\\@]*"


class AccountRow(NamedTuple):
    """An account as somebody wants it; "" is what the row doesn't say."""

    address: Address
    password: str = ""  # plain, as the user types it; then there is no hash
    hash: str = ""
    quota: str = ""  # in normal form
    extra: str = ""


class Row(NamedTuple):
    """One row, and where it begins."""

    where: Location
    entry: AccountRow | Alias


def key(entry: AccountRow | Alias) -> str:
    """The key of what a row says in the file of its kind."""
    return entry.key if isinstance(entry, Alias) else entry.address


class Rows(NamedTuple):
    """What an input says: the rows that can be read, in its order, and what is wrong with it."""

    rows: list[Row]
    findings: list[Finding]


def read(records: Iterable[tuple[Location, Cells]]) -> Rows:
    """The rows of an input, from where each begins and what it holds."""
    rows: list[Row] = []
    findings: list[Finding] = []
    first: dict[tuple[type, str], int] = {}
    for where, cells in records:
        try:
            if isinstance(cells, ParseError):
                raise cells
            row = Row(where, entry(cells))
            name = key(row.entry)
            line = first.setdefault((type(row.entry), name), where.line)
            if line != where.line:
                message = f"{name!r} stands in line {line} already"
                raise ParseError("duplicate-row", message, "remove one of the two")
        except ParseError as fault:
            findings.append(fault.at(where))
        else:
            rows.append(row)
    return Rows(rows, findings)


def entry(cells: Mapping[str, str]) -> AccountRow | Alias:
    """What the cells of one row say, by column; blanks around them don't count, but for a
    password. Raises ParseError."""
    for column, cell in cells.items():
        if any("\ud800" <= char <= "\udfff" for char in cell):
            raise ParseError("not-utf-8", f"the {column} is not UTF-8", "save the file as UTF-8")
    said = {
        column: cell if column == "password" else cell.strip(_BLANKS)
        for column, cell in cells.items()
    }
    said = {column: cell for column, cell in said.items() if cell}
    if "alias" in said and "address" in said:
        hint = "give each a row of its own"
        raise ParseError("malformed-row", "the row has both an address and an alias", hint)
    if "alias" in said:
        return _alias(said)
    if "address" in said:
        return _account(said)
    raise ParseError("malformed-row", "the row has neither an address nor an alias", "fill in one")


def _account(said: Mapping[str, str]) -> AccountRow:
    if "recipients" in said:
        raise ParseError("malformed-row", "an account has no recipients", "make it an alias")
    if "password" in said and "hash" in said:
        hint = "give one of the two"
        raise ParseError("malformed-row", "the row has both a password and a hash", hint)
    login = _parsed("address", said["address"], address.account)
    quota, extra = said.get("quota", ""), said.get("extra", "")
    hash = credentials.check_hash(said["hash"]) if "hash" in said else ""
    if quota:
        try:
            quota = normal_size(quota)
        except ParseError as fault:
            raise ParseError(fault.code, "invalid quota", fault.hint) from None
    if not extra.isprintable() and ("\n" in extra or "\r" in extra):
        raise ParseError("control-character", "the extra fields have a line break", "remove it")
    check_text(extra)
    extra_fields.check(Account(login, hash, extra).fields())
    return AccountRow(login, said.get("password", ""), hash, quota, extra)


def _alias(said: Mapping[str, str]) -> Alias:
    for column in said:
        if column not in _OF_ALIASES:
            raise ParseError("malformed-row", f"an alias has no {column}", "leave it out")
    words = said.get("recipients", "")
    check_text(words)
    name = _parsed("alias", said["alias"], address.alias)
    recipients = [
        _parsed("recipient", word, address.recipient) for word in words.replace(",", " ").split()
    ]
    return virtual.VIRTUAL.parse(virtual.line(name, recipients))


def _parsed(column: str, text: str, parse: Callable[[str], T]) -> T:
    """The address in a cell; a fault shows it only where it can't be anything else."""
    try:
        return parse(text)
    except ParseError as fault:
        if re.fullmatch(_ADDRESS, text):
            raise
        raise ParseError(
            fault.code, f"invalid address in the column {column!r}", fault.hint
        ) from None
