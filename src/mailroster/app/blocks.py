"""The blocked clients of a running server: listed, and changed by an administrator."""

import os
import time
from typing import NamedTuple

from mailroster.app.home import Home
from mailroster.base.client_network import network
from mailroster.base.end_date import end_of
from mailroster.base.findings import Refused
from mailroster.publish.block_table import (
    NEVER,
    BlockRow,
    BlockTable,
    ClosedRow,
    moment_of,
    text_of,
)
from mailroster.servers import host_logins
from mailroster.store.history.log import user_name
from mailroster.system.log import words_of

__all__ = ["NEVER", "Blocks", "add", "blocks", "delete", "end_text"]


class Blocks(NamedTuple):
    """What is blocked now. Times are YYYY-MM-DD hh:mm:ss, UTC."""

    clients: list[BlockRow]
    accounts: list[ClosedRow]


def blocks(home: Home) -> Blocks:
    """Raises Refused."""
    table, now = _table(home), text_of(time.time())
    try:
        return Blocks(
            [row for row in table.blocks() if row.until > now],
            [row for row in table.closed() if row.until > now],
        )
    except OSError as error:
        raise _refused(error) from error


def add(home: Home, address: str, until: str) -> str:
    """Blocks a client until an end date in local time, "" for ever; an earlier block of it is
    replaced. Returns the client. Raises Refused."""
    client, now = _client(address), time.time()
    row = BlockRow(
        client, text_of(now), end_text(until), user_name(os.getuid()) or str(os.getuid()), 0
    )
    try:
        _table(home).write(now, [row])
    except OSError as error:
        raise _refused(error) from error
    _record(home)
    return client


def delete(home: Home, address: str) -> str:
    """Unblocks a client, which begins with all of its guesses. Returns the client. Raises
    Refused."""
    client = _client(address)
    try:
        is_removed = _table(home).remove(client)
    except OSError as error:
        raise _refused(error) from error
    if not is_removed:
        raise Refused(f"{client} is not blocked")
    _record(home)
    return client


def _client(address: str) -> str:
    """The client of an address or a /64. Raises Refused."""
    try:
        client = network(address.removesuffix("/64" if ":" in address else "/32"))
    except ValueError:
        hint = "write an address, as 192.0.2.17 or 2001:db8::17; of IPv6 its /64 is blocked"
        raise Refused(f"{address!r} is not an IP address; {hint}") from None
    if client == network("::1"):
        raise Refused(f"{address!r} is this machine, or belongs to no client")
    return client


def _table(home: Home) -> BlockTable:
    settings = home.settings
    is_host = settings.layout == "host"
    daemon = "watch" if is_host else "up"
    if not settings.block_guessing:
        raise Refused(
            f"blocks are off; set block_guessing and restart '{daemon}' (docs/topics/blocks.md)"
        )
    if is_host and not host_logins.are_blocked(home.layout):
        raise Refused(
            "Dovecot does not read the blocks yet; run 'setup integrate --apply --reload'"
        )
    table = BlockTable(home.layout)
    if not os.path.lexists(home.layout.blocks):
        raise Refused(f"there is no database of blocks yet; start 'mailroster {daemon}' first")
    return table


def _record(home: Home) -> None:
    """Records the command in the history."""
    if fault := home.store().record_command():
        home.warn(f"warning: the history has no entry of this: {fault}")


def end_text(until: str) -> str:
    """The end of a block as the database has it: of an end date in local time, or "" for never.
    One behind the year 9999, which the database can't compare, is never."""
    end_s = _seconds(end_of(until)) if until else moment_of(NEVER)
    return text_of(min(end_s, moment_of(NEVER)))


def _seconds(end: str) -> float:
    """The time in seconds of a local time; the hour may be 24."""
    day, _, clock = end.partition("T")
    year, month, mday = map(int, day.split("-"))
    hour, minute, second = map(int, clock.split(":"))
    return time.mktime((year, month, mday, hour, minute, second, 0, 0, -1))


def _refused(error: OSError) -> Refused:
    hint = "" if os.geteuid() == 0 else "; only root can use it"
    return Refused(f"the database of blocks: {words_of(error)}{hint}")
