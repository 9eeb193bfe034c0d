"""Rows as another config folder: its accounts with their quotas and app passwords, and its aliases.

The folder is read like any other: of lines with the same key the first counts, and lines that can't
be read are skipped.
"""

import os
from collections.abc import Iterable, Iterator

from mailroster.base.findings import Finding, Location
from mailroster.edits.rows import AccountRow, Row, Rows, app_password_cell, key
from mailroster.roster.formats import accounts, app_passwords, quotas, virtual
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.app_passwords import AppPassword
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.formats.virtual import Alias
from mailroster.roster.roster import Roster


def entries(roster: Roster) -> Iterator[AccountRow | Alias]:
    """Every account and every alias that counts; the accounts first."""
    of_account: dict[str, list[AppPassword]] = {}
    for _, entry in roster.app_passwords.items():
        of_account.setdefault(entry.address, []).append(entry)
    for login, account in roster.accounts.items():
        quota = roster.quotas.get(login)
        size = quota.size if quota else ""
        cell = app_password_cell(of_account.get(login, ()))
        yield AccountRow(account.address, "", account.password, size, account.extra, cell)
    for _, alias in roster.virtual.items():
        yield alias


def read(roster: Roster, source: str, left_out: Iterable[Finding]) -> Rows:
    """The rows of the folder `source`. `left_out`: the findings of analysis.left_out about lines
    that give no row."""
    rows = []
    for entry in entries(roster):
        document = roster.virtual if isinstance(entry, Alias) else roster.accounts
        where = document.location(document.position(key(entry)))
        rows.append(Row(_in(source, where), entry))
    findings = [finding._replace(where=_in(source, finding.where)) for finding in left_out]
    return Rows(rows, findings)


def _in(source: str, where: Location) -> Location:
    return where._replace(file=os.path.join(source, where.file))


def write(entries: Iterable[AccountRow | Alias]) -> Roster:
    """A folder with these accounts, their hashes, quotas and app passwords, and aliases."""
    lines: dict[str, list[str]] = {
        "accounts": [], "quotas": [], "virtual": [], "app_passwords": []
    }  # fmt: skip
    for entry in entries:
        if isinstance(entry, Alias):
            lines["virtual"].append(virtual.line(entry.key, entry.recipients))
            continue
        account = Account(entry.address, entry.hash, entry.extra)
        lines["accounts"].append(accounts.line(account))
        if entry.quota:
            lines["quotas"].append(quotas.line(Quota(entry.address, entry.quota)))
        lines["app_passwords"] += map(app_passwords.line, entry.parsed_app_passwords())
    empty = Roster()
    return empty._replace(
        accounts=empty.accounts.edited({}, lines["accounts"]),
        quotas=empty.quotas.edited({}, lines["quotas"]),
        virtual=empty.virtual.edited({}, lines["virtual"]),
        app_passwords=empty.app_passwords.edited({}, lines["app_passwords"]),
    )
