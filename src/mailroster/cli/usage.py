"""What mailboxes hold, for the commands that show it."""

from collections.abc import Collection

from mailroster.base.named_tuple import NamedTuple
from mailroster.base.sizes import human_size
from mailroster.cli.call import Call, warn
from mailroster.cli.progress import Bar
from mailroster.roster.roster import Roster
from mailroster.servers.running import Usage, dovecot_pid


class Shown(NamedTuple):
    """What is shown of a mailbox: `used` and `percent` are None where nobody could tell the use,
    `limit` where nobody could tell that. 0 = unlimited."""

    used: int | None
    limit: int | None
    percent: int | None

    def sizes(self) -> str:
        """`1.0K / 5.0G`; `?` for what is not known, `~` for no limit."""
        return f"{_size(self.used)} / {limit_told(self.limit)}"

    def full(self) -> str:
        return "?%" if self.percent is None else f"{self.percent}%"


def limit_told(limit: int | None) -> str:
    return "~" if limit == 0 else _size(limit)


def _size(size: int | None) -> str:
    return "?" if size is None else human_size(size)


def shown(call: Call, roster: Roster, addresses: Collection[str]) -> dict[str, Shown]:
    """Use and limit of some accounts; empty where quotas are off, or no Dovecot runs that counts.
    One warning tells that some are not known, and why."""
    layout = call.layout()
    if not call.settings.enable_quotas or not addresses or dovecot_pid(layout) is None:
        return {}
    from mailroster.servers.quota_usage import usages

    with Bar(len(addresses), "mailboxes counted") as bar:
        report = usages(call.settings, layout, roster, addresses, bar)
    unknown = len(report.limits) - len(report.by_address)
    if unknown:
        many = "one mailbox" if unknown == 1 else f"{unknown} mailboxes"
        warn(f"warning: the use of {many} is not known, shown as '?': {report.why}")
    return {
        address: _shown(report.by_address.get(address), limit)
        for address, limit in report.limits.items()
    }


def _shown(usage: Usage | None, limit: int | None) -> Shown:
    return Shown(None, limit, None) if usage is None else Shown(*usage)
