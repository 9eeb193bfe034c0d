"""`setup block`: the clients that may not log in."""

import time

from mailroster.app import blocks as app
from mailroster.cli.call import Call, print_json, print_list
from mailroster.cli.notes import until_of
from mailroster.cli.table import print_table


def add(call: Call) -> int:
    until = until_of(call.options.get("--until", ""), time.time())
    client = app.add(call.home, call.arguments[0], until)
    print(f"blocked: {client}")
    return 0


def delete(call: Call) -> int:
    print(f"unblocked: {app.delete(call.home, call.arguments[0])}")
    return 0


def show(call: Call) -> int:
    """Prints the blocked clients, and the accounts that are closed to unknown clients."""
    blocked = app.blocks(call.home)
    if "--json" in call.options:
        print_json(
            {
                "clients": [
                    {
                        "client": row.client,
                        "since": _utc(row.since),
                        "until": None if row.until == app.NEVER else _utc(row.until),
                        "by": row.author or None,
                    }
                    for row in blocked.clients
                ],
                "accounts": [
                    {"account": row.account, "since": _utc(row.since), "until": _utc(row.until)}
                    for row in blocked.accounts
                ],
            }
        )
        return 0
    rows = [
        (row.client, "" if row.until == app.NEVER else _utc(row.until), _reason(row.author))
        for row in blocked.clients
    ]
    rows += [(row.account, _utc(row.until), _CLOSED) for row in blocked.accounts]
    if "--table" in call.options:
        print_table(("BLOCKED", "UNTIL", "REASON"), rows)
        return 0
    print_list(
        [
            f"* {name}\n    [ {f'until {until}' if until else 'without an end'} ]\n    [ {reason} ]"
            for name, until, reason in rows
        ]
    )
    return 0


_CLOSED = "many passwords were guessed; clients that have logged in before may log in"


def _reason(author: str) -> str:
    return f"by {author}" if author else "it guessed passwords"


def _utc(text: str) -> str:
    return f"{text.replace(' ', 'T')}Z"
