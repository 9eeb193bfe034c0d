"""The use and the limit of each mailbox."""

from collections.abc import Mapping
from typing import NamedTuple

from mailroster.analysis.mailbox_limit import default, limit_of
from mailroster.app.home import Home
from mailroster.app.usage import MailboxUse
from mailroster.base.address import Address
from mailroster.roster.roster import Roster
from mailroster.servers.version import recorded_version


class QuotaRow(NamedTuple):
    """An account and the fields of its MailboxUse. `default`: it has the default limit."""

    address: str
    used: int | None
    limit: int | None
    percent: int | None
    default: bool


def quota_rows(home: Home, roster: Roster, usages: Mapping[str, MailboxUse]) -> list[QuotaRow]:
    """All accounts in the order of the file, with their use if it is known."""
    by_default = default(home.settings.mailbox_size_limit, recorded_version(home.layout))
    rows = []
    for address in map(Address, roster.accounts.keys()):
        limit = limit_of(roster, address, by_default, home.settings.mail)
        use = usages.get(address) or MailboxUse(None, limit.size, None)
        rows.append(QuotaRow(address, *use, limit.is_default))
    return rows
