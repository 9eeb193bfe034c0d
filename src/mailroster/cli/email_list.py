"""`setup email list`."""

from collections.abc import Mapping, Sequence

from mailroster.app.usage import MailboxUse
from mailroster.base.address import fold
from mailroster.base.sizes import human_size
from mailroster.cli.call import Call, print_json, print_list
from mailroster.cli.notes import note_fields, note_lines, notes_by_key
from mailroster.cli.table import print_table
from mailroster.cli.usage import limit_text, percent, sizes, usages
from mailroster.roster.documents.notes import Notes
from mailroster.roster.formats.accounts import Account
from mailroster.roster.roster import Roster


def show(call: Call) -> int:
    """Prints each account with its use and limit, its notes, and the aliases that name it."""
    roster = call.home.roster("accounts").in_memory()  # each account is read
    usage = usages(call, roster, roster.accounts.counted())
    aliases = _aliases(roster)
    accounts, notes = dict(roster.accounts.items()), notes_by_key(roster.accounts)
    if "--json" in call.options:
        print_json(
            [
                {
                    "address": address,
                    "aliases": aliases.get(address, []),
                    "locked": account.is_locked(),
                    **note_fields(notes.get(address)),
                    "quota": usage[address]._asdict() if address in usage else None,
                }
                for address, account in accounts.items()
            ]
        )
        return 0
    if "--table" in call.options:
        _print_table(accounts, usage, aliases, notes)
        return 0
    blocks = []
    for address, account in accounts.items():
        block = f"* {address}"
        if address in usage:
            block += f" ( {sizes(usage[address])} ) [{percent(usage[address])}]"
        if address in aliases:
            block += f"\n    [ aliases -> {', '.join(aliases[address])} ]"
        blocks.append(block + note_lines(notes.get(address), locked=account.is_locked()))
    print_list(blocks)
    return 0


def _aliases(roster: Roster) -> dict[str, list[str]]:
    """The aliases that name a recipient, by recipient; an alias of itself doesn't count."""
    aliases: dict[str, list[str]] = {}
    for key, alias in roster.virtual.items():
        for recipient in map(fold, alias.recipients):
            if recipient != key:
                aliases.setdefault(recipient, []).append(key)
    return aliases


def _print_table(
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
            used_text = "?" if used is None else human_size(used)
            quota = used_text, limit_text(limit), percent(usage[address])
        note = notes.get(address, Notes())
        state = f"locked {note.until}".rstrip() if account.is_locked() else note.until
        rows.append((address, *quota, ", ".join(aliases.get(address, ())), state, note.comment))
    print_table(("ADDRESS", "USED", "LIMIT", "FULL", "ALIASES", "LOCKED", "COMMENT"), rows)
