"""The use and the limit of mailboxes, as a running server counts them."""

from collections.abc import Callable, Collection
from typing import NamedTuple

from mailroster.app.home import Home
from mailroster.roster.roster import Roster
from mailroster.servers.running import dovecot_pid


class MailboxUse(NamedTuple):
    """The bytes and the percentage of a mailbox. `used` and `percent` are None if the use is not
    known, `limit` if only Dovecot knows it. 0 = unlimited."""

    used: int | None
    limit: int | None
    percent: int | None


def usages(
    home: Home, roster: Roster, addresses: Collection[str], progress: Callable[[int], object]
) -> dict[str, MailboxUse]:
    """The use and the limit of some accounts; empty if quotas are off, or no Dovecot is running.
    A warning says how many are not known, and why. `progress` gets the number that is counted."""
    if not home.settings.enable_quotas or not addresses or dovecot_pid(home.layout) is None:
        return {}
    from mailroster.servers import quota_usage

    report = quota_usage.usages(home.settings, home.layout, roster, addresses, progress)
    unknown = len(report.limits) - len(report.by_address)
    if unknown:
        boxes = "one mailbox" if unknown == 1 else f"{unknown} mailboxes"
        home.warn(f"warning: the use of {boxes} is not known, shown as '?': {report.why}")
    uses = {}
    for address, limit in report.limits.items():
        use = report.by_address.get(address)
        uses[address] = MailboxUse(None, limit, None) if use is None else MailboxUse(*use)
    return uses


def is_counted(home: Home) -> bool:
    """Whether a running Dovecot counts the use of mailboxes."""
    return dovecot_pid(home.layout) is not None
