"""`setup quota list`."""

from mailroster.address import Address
from mailroster.cli.call import Call, print_json, warn
from mailroster.cli.table import print_table
from mailroster.finding import NotUnderstood
from mailroster.limits import limit_of
from mailroster.quota import human_size
from mailroster.running import dovecot_pid
from mailroster.services import quotas
from mailroster.values import NamedTuple

_BAR = 20


class Row(NamedTuple):
    """One mailbox in bytes, as --json shows it. Without a running server only its limit is known;
    of a rule that only Dovecot can read not even that."""

    address: str
    used: int | None
    limit: int | None  # 0 = unlimited
    percent: int | None
    default: bool  # whether it has the server's default


def show(call: Call) -> int:
    """Use and limit of each mailbox."""
    by = call.options.get("--sort", "address")
    if by not in ORDERS:
        raise NotUnderstood(f"--sort {by!r} is none of {', '.join(ORDERS)}")
    rows = _rows(call)
    if key := ORDERS[by]:
        rows.sort(key=lambda row: getattr(row, key) or 0, reverse=True)
    if "--json" in call.options:
        print_json([row._asdict() for row in rows])
        return 0
    if "--table" in call.options:
        print_table(("ADDRESS", "USED", "LIMIT", "FULL", "DEFAULT"), [_cells(row) for row in rows])
        return 0
    width = max((len(row.address) for row in rows), default=0)
    sizes = [_sizes(row) for row in rows]
    room = max(map(len, sizes), default=0)
    for row, size in zip(rows, sizes, strict=True):
        words = (f"{row.address:{width}}  {size:>{room}}", _bar(row), "default" * row.default)
        print("  ".join(filter(None, words)))
    return 0


#: What one can sort by, the largest first, and the field of a row that it is.
ORDERS = {"address": "", "use": "used", "percent": "percent"}


def _rows(call: Call) -> list[Row]:
    """Every account, in the order of the file."""
    roster, layout = call.roster(), call.layout()
    if not call.settings.enable_quotas:
        warn("quotas are off (ENABLE_QUOTAS=0): no limit holds")
    running = call.settings.enable_quotas and dovecot_pid(layout) is not None
    if call.settings.enable_quotas and not running:
        warn("no server runs here: limits only, usage unknown")
    usage = quotas(layout, roster.accounts.keys()) if running else {}
    rows = []
    for address in map(Address, roster.accounts.keys()):
        limit = limit_of(roster, address, call.settings.mailbox_size_limit)
        use = usage.get(address)
        if use is None:
            rows.append(Row(address, None, limit.size, None, limit.is_default))
        else:
            rows.append(Row(address, use.used, use.limit, use.percent, limit.is_default))
    return rows


def _sizes(row: Row) -> str:
    """`1.0K / 5.0G`, or the limit alone."""
    limit = _limit(row)
    return limit if row.used is None else f"{human_size(row.used)} / {limit}"


def _limit(row: Row) -> str:
    """`~` for none, `?` for one that nobody could tell."""
    return "?" if row.limit is None else human_size(row.limit) if row.limit else "~"


def _cells(row: Row) -> tuple[str, ...]:
    used = "" if row.used is None else human_size(row.used)
    percent = "" if row.percent is None else f"{row.percent}%"
    return (row.address, used, _limit(row), percent, "default" * row.default)


def _bar(row: Row) -> str:
    """The part that is used; nothing where there is no limit, or no use is known."""
    if not row.limit or row.percent is None:
        return ""
    full = min(_BAR, row.percent * _BAR // 100)
    return f"[{'#' * full}{'.' * (_BAR - full)}] {row.percent:3}%"
