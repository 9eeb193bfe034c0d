"""`setup email list`."""

from collections.abc import Mapping, Sequence

from mailroster.app.usage import MailboxUse
from mailroster.base.address import fold
from mailroster.base.sizes import human_size
from mailroster.cli.call import Call, print_json, print_list
from mailroster.cli.notes import by_key, fields_of, lines_of
from mailroster.cli.table import print_table
from mailroster.cli.usage import limit_text, percent, sizes, usages
from mailroster.roster.documents.notes import Notes
from mailroster.roster.formats.accounts import Account


def show(call: Call) -> int:
    """Each account with its use and limit, and below it the aliases that name it."""
    roster = call.home.roster("accounts").in_memory()  # each account is looked at
    usage = usages(call, roster, roster.accounts.counted())
    aliases: dict[str, list[str]] = {}
    for key, alias in roster.virtual.items():
        for recipient in alias.recipients:
            if fold(recipient) != key:
                aliases.setdefault(fold(recipient), []).append(key)
    accounts, notes = dict(roster.accounts.items()), by_key(roster.accounts)
    if "--json" in call.options:
        print_json(
            [
                {
                    "address": address,
                    "aliases": aliases.get(address, []),
                    "locked": account.is_locked(),
                    **fields_of(notes.get(address)),
                    "quota": usage[address]._asdict() if address in usage else None,
                }
                for address, account in accounts.items()
            ]
        )
        return 0
    if "--table" in call.options:
        _print_accounts(accounts, usage, aliases, notes)
        return 0
    blocks = []
    for address, account in accounts.items():
        block = f"* {address}"
        if address in usage:
            block += f" ( {sizes(usage[address])} ) [{percent(usage[address])}]"
        if address in aliases:
            block += f"\n    [ aliases -> {', '.join(aliases[address])} ]"
        blocks.append(block + lines_of(notes.get(address), locked=account.is_locked()))
    print_list(blocks)
    return 0


def _print_accounts(
    accounts: Mapping[str, Account],
    usage: Mapping[str, MailboxUse],
    aliases: Mapping[str, Sequence[str]],
    notes: Mapping[str, Notes],
) -> None:
    rows = []
    for address, account in accounts.items():
        quota = ("", "", "")
        if address in usage:
            used, limit, _ = usage[address]
            told = "?" if used is None else human_size(used)
            quota = told, limit_text(limit), percent(usage[address])
        some = notes.get(address, Notes())
        state = " ".join(filter(None, ("locked" * account.is_locked(), some.until)))
        rows.append((address, *quota, ", ".join(aliases.get(address, ())), state, some.comment))
    print_table(("ADDRESS", "USED", "LIMIT", "FULL", "ALIASES", "LOCKED", "COMMENT"), rows)
