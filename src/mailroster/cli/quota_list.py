"""`setup quota list`."""

from mailroster.app import usage
from mailroster.app.quotas import QuotaRow, quota_rows
from mailroster.app.usage import MailboxUse
from mailroster.base.findings import UsageError
from mailroster.base.sizes import human_size
from mailroster.cli.call import Call, print_json, warn
from mailroster.cli.table import print_table
from mailroster.cli.usage import limit_text, sizes, usages

_BAR = 20


def show(call: Call) -> int:
    """Use and limit of each mailbox."""
    by = call.options.get("--sort", "address")
    if by not in ORDERS:
        raise UsageError(f"--sort {by!r} is none of {', '.join(ORDERS)}")
    rows, counted = _rows(call)
    if key := ORDERS[by]:
        rows.sort(key=lambda row: getattr(row, key) or 0, reverse=True)
    if "--json" in call.options:
        print_json([row._asdict() for row in rows])
        return 0
    if "--table" in call.options:
        print_table(
            ("ADDRESS", "USED", "LIMIT", "FULL", "DEFAULT"), [_cells(row, counted) for row in rows]
        )
        return 0
    width = max((len(row.address) for row in rows), default=0)
    texts = [_sizes(row, counted) for row in rows]
    room = max(map(len, texts), default=0)
    for row, size in zip(rows, texts, strict=True):
        words = (f"{row.address:{width}}  {size:>{room}}", _bar(row), "default" * row.default)
        print("  ".join(filter(None, words)))
    return 0


#: What one can sort by, the largest first, and the field of a row that it is.
ORDERS = {"address": "", "use": "used", "percent": "percent"}


def _rows(call: Call) -> tuple[list[QuotaRow], bool]:
    """Every account, in the order of the file; and whether a server counts what they hold."""
    roster = call.home.roster("accounts", "quotas").in_memory()
    if not call.settings.enable_quotas:
        warn("quotas are off (ENABLE_QUOTAS=0): no limit holds")
    elif not usage.is_counted(call.home):
        warn("no server runs here: limits only, usage unknown")
    known = usages(call, roster, roster.accounts.counted())
    return quota_rows(call.home, roster, known), bool(known)


def _sizes(row: QuotaRow, counted: bool) -> str:
    """`1.0K / 5.0G`, without a server the limit alone."""
    use = MailboxUse(row.used, row.limit, row.percent)
    return sizes(use) if counted else limit_text(row.limit)


def _cells(row: QuotaRow, counted: bool) -> tuple[str, ...]:
    unknown = "?" if counted else ""
    used = unknown if row.used is None else human_size(row.used)
    percent = unknown if row.percent is None else f"{row.percent}%"
    return (row.address, used, limit_text(row.limit), percent, "default" * row.default)


def _bar(row: QuotaRow) -> str:
    """The part that is used; nothing where there is no limit, or no use is known."""
    if not row.limit or row.percent is None:
        return ""
    full = min(_BAR, row.percent * _BAR // 100)
    return f"[{'#' * full}{'.' * (_BAR - full)}] {row.percent:3}%"
