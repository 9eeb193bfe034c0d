"""What each mailbox holds and may hold."""

from collections.abc import Mapping
from typing import NamedTuple

from mailroster.analysis.mailbox_limit import default, limit_of
from mailroster.app.home import Home
from mailroster.app.usage import MailboxUse
from mailroster.base.address import Address
from mailroster.roster.roster import Roster
from mailroster.servers.version import meant


class QuotaRow(NamedTuple):
    """One account with the fields of MailboxUse. `default`: whether it has the server's limit."""

    address: str
    used: int | None
    limit: int | None
    percent: int | None
    default: bool


def quota_rows(home: Home, roster: Roster, usages: Mapping[str, MailboxUse]) -> list[QuotaRow]:
    """Every account in the order of its file, with its use if that is known."""
    by_default = default(home.settings.mailbox_size_limit, meant(home.layout))
    rows = []
    for address in map(Address, roster.accounts.keys()):
        limit = limit_of(roster, address, by_default, home.settings.mail)
        use = usages.get(address) or MailboxUse(None, limit.size, None)
        rows.append(QuotaRow(address, *use, limit.is_default))
    return rows
