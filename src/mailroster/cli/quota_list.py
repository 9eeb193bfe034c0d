"""`setup quota list`."""

from mailroster.analysis.mailbox_limit import default, limit_of
from mailroster.base.address import Address
from mailroster.base.findings import NotUnderstood
from mailroster.base.named_tuple import NamedTuple
from mailroster.base.sizes import human_size
from mailroster.cli.call import Call, print_json, warn
from mailroster.cli.table import print_table
from mailroster.cli.usage import Shown, limit_told, shown
from mailroster.servers.running import dovecot_pid
from mailroster.servers.version import meant

_BAR = 20


class Row(NamedTuple):
    """One mailbox in bytes, as --json shows it; None for what is not known: without a server the
    use, and a limit that only Dovecot can tell."""

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
    sizes = [_sizes(row, counted) for row in rows]
    room = max(map(len, sizes), default=0)
    for row, size in zip(rows, sizes, strict=True):
        words = (f"{row.address:{width}}  {size:>{room}}", _bar(row), "default" * row.default)
        print("  ".join(filter(None, words)))
    return 0


#: What one can sort by, the largest first, and the field of a row that it is.
ORDERS = {"address": "", "use": "used", "percent": "percent"}


def _rows(call: Call) -> tuple[list[Row], bool]:
    """Every account, in the order of the file; and whether a server counts what they hold."""
    roster, layout = call.roster("accounts", "quotas").in_memory(), call.layout()
    if not call.settings.enable_quotas:
        warn("quotas are off (ENABLE_QUOTAS=0): no limit holds")
    elif dovecot_pid(layout) is None:
        warn("no server runs here: limits only, usage unknown")
    by_default = default(call.settings.mailbox_size_limit, meant(layout))
    known = shown(call, roster, roster.accounts.counted())
    rows = []
    for address in map(Address, roster.accounts.keys()):
        limit = limit_of(roster, address, by_default, call.settings.mail)
        its = known.get(address) or Shown(None, limit.size, None)
        rows.append(Row(address, *its, limit.is_default))
    return rows, bool(known)


def _sizes(row: Row, counted: bool) -> str:
    """`1.0K / 5.0G`, without a server the limit alone."""
    its = Shown(row.used, row.limit, row.percent)
    return its.sizes() if counted else limit_told(row.limit)


def _cells(row: Row, counted: bool) -> tuple[str, ...]:
    unknown = "?" if counted else ""
    used = unknown if row.used is None else human_size(row.used)
    percent = unknown if row.percent is None else f"{row.percent}%"
    return (row.address, used, limit_told(row.limit), percent, "default" * row.default)


def _bar(row: Row) -> str:
    """The part that is used; nothing where there is no limit, or no use is known."""
    if not row.limit or row.percent is None:
        return ""
    full = min(_BAR, row.percent * _BAR // 100)
    return f"[{'#' * full}{'.' * (_BAR - full)}] {row.percent:3}%"
