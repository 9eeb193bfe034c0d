"""The app passwords of accounts: what each one opens, its state and its last use."""

import time
from typing import NamedTuple

from mailroster.app.home import Home
from mailroster.app.last_use import Use, last_uses
from mailroster.base.address import split
from mailroster.base.end_date import end_of
from mailroster.base.findings import Location
from mailroster.roster.documents.notes import noted
from mailroster.roster.formats.app_passwords import AppPassword
from mailroster.roster.roster import Roster


class AppPasswordReport(NamedTuple):
    """An app password. `state` is "" if it opens something, else `locked`, `ended` or `no account`.
    `use` is None if no use is recorded."""

    entry: AppPassword
    where: Location
    state: str
    comment: str
    use: Use | None


def app_passwords(home: Home, roster: Roster, account: str = "") -> list[AppPasswordReport]:
    """The app passwords of an account, "" for all, in the order of the file."""
    document = roster.app_passwords
    entries = [*(document.mentioning(*split(account)) if account else document.items())]
    uses = last_uses(home, [entry for _, entry in entries])
    comments = {at: notes.comment for at, notes in noted(document).items()}
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime())
    reports = []
    for key, entry in entries:
        position = document.position(key)
        assert position is not None, "the entry is in the file"
        reports.append(
            AppPasswordReport(
                entry,
                document.location(position),
                _state(roster, entry, now),
                comments.get(position, ""),
                uses.get(key),
            )
        )
    return reports


def _state(roster: Roster, entry: AppPassword, now: str) -> str:
    account = roster.accounts.get(entry.address)
    if account is None:
        return "no account"
    if account.is_locked():
        return "locked"
    return "ended" if entry.until and end_of(entry.until) <= now else ""
