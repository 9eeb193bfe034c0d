"""`setup quota`: the limits of mailboxes."""

from typing import TYPE_CHECKING

from mailroster.base.findings import UsageError
from mailroster.base.sizes import human_size, normal_size
from mailroster.cli.call import Call, account_address, print_json
from mailroster.cli.edit import run_edit
from mailroster.cli.streams import warn
from mailroster.edits import accounts
from mailroster.roster.formats.quotas import Quota

if TYPE_CHECKING:
    from mailroster.app.quotas import QuotaRow

_BAR_WIDTH = 20
#: The values of --sort, and the field of a row by which each sorts, the largest first.
ORDERS = {"address": "", "use": "used", "percent": "percent"}


def put(call: Call) -> int:
    quota = Quota(account_address(call.arguments[0]), normal_size(call.arguments[1]))
    return run_edit(
        call,
        lambda roster: accounts.set_quota(roster, quota),
        notes_on=("quotas", quota.address),
        report_findings=True,
    )


def delete(call: Call) -> int:
    address = account_address(call.arguments[0])
    return run_edit(call, lambda roster: accounts.delete_quota(roster, address))


def show(call: Call) -> int:
    """Prints the use and the limit of each mailbox."""
    order = call.options.get("--sort", "address")
    if order not in ORDERS:
        raise UsageError(f"unknown order {order!r}; give --sort one of {', '.join(ORDERS)}")
    rows, counted = _rows(call)
    if field := ORDERS[order]:
        rows.sort(key=lambda row: getattr(row, field) or 0, reverse=True)
    if "--json" in call.options:
        print_json([row._asdict() for row in rows])
    elif "--table" in call.options:
        from mailroster.cli.table import print_table

        headings = ("ADDRESS", "USED", "LIMIT", "FULL", "DEFAULT")
        print_table(headings, [_cells(row, counted) for row in rows])
    else:
        _print_bars(rows, counted)
    return 0


def _rows(call: Call) -> "tuple[list[QuotaRow], bool]":
    """A row for each account, in the order of the file; and whether a server counts the use."""
    from mailroster.app import usage
    from mailroster.app.quotas import quota_rows
    from mailroster.cli.usage import usages

    roster = call.home.roster("accounts", "quotas").in_memory()
    if not call.settings.enable_quotas:
        warn("quotas are off (ENABLE_QUOTAS=0): the limits have no effect")
    elif not usage.is_counted(call.home):
        warn("no server is running: the use is unknown, only limits are shown")
    known = usages(call, roster, roster.accounts.counted())
    return quota_rows(call.home, roster, known), bool(known)


def _print_bars(rows: "list[QuotaRow]", counted: bool) -> None:
    """Prints `john@x.com  1.0K / 5.0G  [####....]  50%` for each row."""
    texts = [_sizes(row, counted) for row in rows]
    address_width = max((len(row.address) for row in rows), default=0)
    text_width = max(map(len, texts), default=0)
    for row, text in zip(rows, texts, strict=True):
        parts = f"{row.address:{address_width}}", f"{text:>{text_width}}", _bar(row), _default(row)
        print("  ".join(filter(None, parts)))


def _sizes(row: "QuotaRow", counted: bool) -> str:
    """`1.0K / 5.0G`; the limit alone if no server counts the use."""
    from mailroster.app.usage import MailboxUse
    from mailroster.cli.usage import limit_text, sizes

    use = MailboxUse(row.used, row.limit, row.percent)
    return sizes(use) if counted else limit_text(row.limit)


def _cells(row: "QuotaRow", counted: bool) -> tuple[str, ...]:
    from mailroster.cli.usage import limit_text

    unknown = "?" if counted else ""
    used = unknown if row.used is None else human_size(row.used)
    percent = unknown if row.percent is None else f"{row.percent}%"
    return (row.address, used, limit_text(row.limit), percent, _default(row))


def _default(row: "QuotaRow") -> str:
    return "default" if row.default else ""


def _bar(row: "QuotaRow") -> str:
    """The used part as a bar; "" if there is no limit or the use is unknown."""
    if not row.limit or row.percent is None:
        return ""
    full = min(_BAR_WIDTH, row.percent * _BAR_WIDTH // 100)
    return f"[{'#' * full}{'.' * (_BAR_WIDTH - full)}] {row.percent:3}%"
