"""The use of mailboxes, for the commands that show it."""

from collections.abc import Collection

from mailroster.app import usage
from mailroster.app.usage import MailboxUse
from mailroster.base.sizes import human_size
from mailroster.cli.call import Call
from mailroster.cli.progress import Bar
from mailroster.roster.roster import Roster


def usages(call: Call, roster: Roster, addresses: Collection[str]) -> dict[str, MailboxUse]:
    """The use and the limit of accounts (app.usage), with a progress bar."""
    with Bar(len(addresses), "mailboxes counted") as bar:
        return usage.usages(call.home, roster, addresses, bar)


def sizes(use: MailboxUse) -> str:
    """`1.0K / 5.0G`; `?` means unknown, `~` no limit."""
    return f"{_size(use.used)} / {limit_text(use.limit)}"


def percent(use: MailboxUse) -> str:
    return "?%" if use.percent is None else f"{use.percent}%"


def limit_text(limit: int | None) -> str:
    return "~" if limit == 0 else _size(limit)


def _size(size: int | None) -> str:
    return "?" if size is None else human_size(size)
