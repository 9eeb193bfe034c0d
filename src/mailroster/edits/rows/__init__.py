"""Accounts and aliases as rows: from CSV, JSON lines, or the files of a config folder.

    account = address [ password / hash ] [ extra ] [ quota ] [ app_passwords ]
    alias   = alias recipients

Each bad row gives a finding with its place, and the other rows are read. A finding shows the
content of a cell only if it must be an address: with mixed-up columns any cell may have a password.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from mailroster.base import address
from mailroster.base.address import Address
from mailroster.base.findings import Finding, Location, ParseError
from mailroster.base.sizes import normal_size
from mailroster.roster.documents.text import check_text
from mailroster.roster.formats import app_passwords, credentials, extra_fields, virtual
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.app_passwords import APP_PASSWORDS, AppPassword
from mailroster.roster.formats.virtual import Alias

T = TypeVar("T", bound=str)

#: The cells of one row by column, or the error of the row.
Cells = Mapping[str, str] | ParseError

FORMATS = ("csv", "jsonl", "folder")
#: In the order of an export.
COLUMNS = ("address", "password", "hash", "quota", "extra", "app_passwords", "alias", "recipients")
#: Between the app passwords in a cell.
APP_PASSWORD_BETWEEN = "; "
_OF_ALIASES = ("alias", "recipients")
_BLANKS = " \t\r\n\ufeff"
#: A text that can only be an address, so that a message may show it.
_ADDRESS = r"[^\s:;,|{}$\"\\@]*@[^\s:;,|{}$\"\\@]*\.[^\s:;,|{}$\"\\@]*"


class AccountRow(NamedTuple):
    """The wanted state of an account; "" for a value that the row does not have."""

    address: Address
    password: str = ""  # in clear text; a row with one has no hash
    hash: str = ""
    quota: str = ""  # in normal form
    extra: str = ""
    #: Lines of `dovecot-app-passwords.cf` without the address, with APP_PASSWORD_BETWEEN between.
    app_passwords: str = ""

    def parsed_app_passwords(self) -> list[AppPassword]:
        """Its app passwords. Raises ParseError, which shows no digest."""
        words = self.app_passwords.split(APP_PASSWORD_BETWEEN.strip())
        lines = (f"{self.address}|{word.strip(_BLANKS)}" for word in words if word.strip(_BLANKS))
        return [APP_PASSWORDS.parse(line) for line in lines]


class Row(NamedTuple):
    """One row, and its first line."""

    where: Location
    entry: AccountRow | Alias


def key(entry: AccountRow | Alias) -> str:
    """The key of the entry in its file."""
    return entry.key if isinstance(entry, Alias) else entry.address


class Rows(NamedTuple):
    """The rows of an input that can be read, in its order, and findings about the others."""

    rows: list[Row]
    findings: list[Finding]


def read(records: Iterable[tuple[Location, Cells]]) -> Rows:
    """The rows of an input, from the place and the cells of each."""
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
                message = f"{name!r} is already in line {line}"
                raise ParseError("duplicate-row", message, "remove one of the two")
        except ParseError as fault:
            findings.append(fault.at(where))
        else:
            rows.append(row)
    return Rows(rows, findings)


def entry(cells: Mapping[str, str]) -> AccountRow | Alias:
    """The entry in the cells of one row. Blanks around a cell are ignored, except for a password.
    Raises ParseError."""
    for column, cell in cells.items():
        if any("\ud800" <= char <= "\udfff" for char in cell):
            raise ParseError("not-utf-8", f"the {column} is not UTF-8", "save the file as UTF-8")
    values = {
        column: cell if column == "password" else cell.strip(_BLANKS)
        for column, cell in cells.items()
    }
    values = {column: value for column, value in values.items() if value}
    if "alias" in values and "address" in values:
        hint = "give each a row of its own"
        raise ParseError("malformed-row", "the row has both an address and an alias", hint)
    if "alias" in values:
        return _alias(values)
    if "address" in values:
        return _account(values)
    raise ParseError("malformed-row", "the row has neither an address nor an alias", "fill in one")


def _account(values: Mapping[str, str]) -> AccountRow:
    if "recipients" in values:
        raise ParseError("malformed-row", "an account has no recipients", "make it an alias")
    if "password" in values and "hash" in values:
        hint = "give one of the two"
        raise ParseError("malformed-row", "the row has both a password and a hash", hint)
    login = _parsed("address", values["address"], address.account)
    quota, extra = values.get("quota", ""), values.get("extra", "")
    hash = credentials.check_hash(values["hash"]) if "hash" in values else ""
    if quota:
        try:
            quota = normal_size(quota)
        except ParseError as fault:
            raise ParseError(fault.code, "invalid quota", fault.hint) from None
    if not extra.isprintable() and ("\n" in extra or "\r" in extra):
        raise ParseError("control-character", "the extra fields have a line break", "remove it")
    check_text(extra)
    extra_fields.check(Account(login, hash, extra).fields())
    row = AccountRow(
        login, values.get("password", ""), hash, quota, extra, values.get("app_passwords", "")
    )
    keys = [entry.key for entry in row.parsed_app_passwords()]
    if len(set(keys)) < len(keys):
        message = "two app passwords of the row have the same label"
        raise ParseError("malformed-row", message, "remove one of the two")
    return row


def app_password_cell(entries: Iterable[AppPassword]) -> str:
    """The app passwords of an account as a cell."""
    lines = (app_passwords.line(entry).partition("|")[2] for entry in entries)
    return APP_PASSWORD_BETWEEN.join(lines)


def _alias(values: Mapping[str, str]) -> Alias:
    for column in values:
        if column not in _OF_ALIASES:
            raise ParseError("malformed-row", f"an alias has no {column}", "leave it out")
    words = values.get("recipients", "")
    check_text(words)
    name = _parsed("alias", values["alias"], address.alias)
    recipients = [
        _parsed("recipient", word, address.recipient) for word in words.replace(",", " ").split()
    ]
    return virtual.VIRTUAL.parse(virtual.line(name, recipients))


def _parsed(column: str, text: str, parse: Callable[[str], T]) -> T:
    """The address in a cell. The error shows the text only if it must be an address."""
    try:
        return parse(text)
    except ParseError as fault:
        if re.fullmatch(_ADDRESS, text):
            raise
        raise ParseError(
            fault.code, f"invalid address in the column {column!r}", fault.hint
        ) from None
