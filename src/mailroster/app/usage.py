"""What mailboxes hold and may hold, as a running server counts it."""

from collections.abc import Callable, Collection
from typing import NamedTuple

from mailroster.app.home import Home
from mailroster.roster.roster import Roster
from mailroster.servers.running import dovecot_pid


class MailboxUse(NamedTuple):
    """Bytes and percent of one mailbox: `used` and `percent` are None where the use is not known,
    `limit` where only Dovecot can tell it. 0 = unlimited."""

    used: int | None
    limit: int | None
    percent: int | None


def usages(
    home: Home, roster: Roster, addresses: Collection[str], progress: Callable[[int], object]
) -> dict[str, MailboxUse]:
    """Use and limit of some accounts; empty where quotas are off, or no Dovecot runs that counts.
    One warning says that some are not known, and why. `progress` gets how many are counted."""
    if not home.settings.enable_quotas or not addresses or dovecot_pid(home.layout) is None:
        return {}
    from mailroster.servers import quota_usage

    report = quota_usage.usages(home.settings, home.layout, roster, addresses, progress)
    unknown = len(report.limits) - len(report.by_address)
    if unknown:
        many = "one mailbox" if unknown == 1 else f"{unknown} mailboxes"
        home.warn(f"warning: the use of {many} is not known, shown as '?': {report.why}")
    uses = {}
    for address, limit in report.limits.items():
        use = report.by_address.get(address)
        uses[address] = MailboxUse(None, limit, None) if use is None else MailboxUse(*use)
    return uses


def is_counted(home: Home) -> bool:
    """Whether a Dovecot runs that counts what mailboxes hold."""
    return dovecot_pid(home.layout) is not None
