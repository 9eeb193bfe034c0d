"""Rows as another config folder: its accounts, their quotas, and its aliases.

A folder is read as everywhere: of lines with one key the first counts, and a line that can't be
read hides no other.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TypeVar

from mailroster.base.findings import Finding, Location
from mailroster.edits.rows import AccountRow, Row, Rows, key
from mailroster.roster.documents.document import Document
from mailroster.roster.formats import accounts, quotas, virtual
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.formats.virtual import Alias
from mailroster.roster.roster import Roster

E = TypeVar("E")


def entries(roster: Roster) -> Iterator[AccountRow | Alias]:
    """Every account and every alias that counts, as a row says it: the accounts first."""
    for login, account in roster.accounts.items():
        quota = roster.quotas.get(login)
        size = quota.size if quota else ""
        yield AccountRow(account.address, "", account.password, size, account.extra)
    for _, alias in roster.virtual.items():
        yield alias


def read(roster: Roster, source: str, left_out: Iterable[Finding]) -> Rows:
    """The rows of the folder `source`. `left_out`: the findings about lines that are no row
    (analysis.left_out)."""
    places = {False: _places(roster.accounts, source), True: _places(roster.virtual, source)}
    rows = []
    for entry in entries(roster):
        is_alias = isinstance(entry, Alias)
        position = (roster.virtual if is_alias else roster.accounts).position(key(entry))
        assert position is not None, "an entry that counts has a line"
        rows.append(Row(places[is_alias][position], entry))
    findings = [finding._replace(where=_in(source, finding.where)) for finding in left_out]
    return Rows(rows, findings)


def _places(document: Document[E], source: str) -> list[Location]:
    """Where each logical line begins."""
    numbers = accumulate((1 + line.count("\n") for line in document.lines), initial=1)
    return [_in(source, Location(document.format.file, number)) for number in numbers]


def _in(source: str, where: Location) -> Location:
    return where._replace(file=os.path.join(source, where.file))


def write(entries: Iterable[AccountRow | Alias]) -> Roster:
    """A folder of accounts with their hashes, quotas and aliases, and nothing else."""
    lines: dict[str, list[str]] = {"accounts": [], "quotas": [], "virtual": []}
    for entry in entries:
        if isinstance(entry, Alias):
            lines["virtual"].append(virtual.line(entry.key, entry.recipients))
            continue
        account = Account(entry.address, entry.hash, entry.extra)
        lines["accounts"].append(accounts.line(account))
        if entry.quota:
            lines["quotas"].append(quotas.line(Quota(entry.address, entry.quota)))
    empty = Roster()
    return empty._replace(
        accounts=empty.accounts.edited({}, lines["accounts"]),
        quotas=empty.quotas.edited({}, lines["quotas"]),
        virtual=empty.virtual.edited({}, lines["virtual"]),
    )
