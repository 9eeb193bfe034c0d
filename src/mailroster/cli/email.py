"""`setup email`: accounts."""

import os
import sys
from collections.abc import Mapping, Sequence

from mailroster import edits
from mailroster.address import fold
from mailroster.annotations import annotate
from mailroster.cli.call import Call, account_address, alias_key, print_json, print_list, warn
from mailroster.cli.notes import by_key, fields_of, lines_of, said
from mailroster.cli.secret import secret_for
from mailroster.finding import NotUnderstood, Refused
from mailroster.formats.accounts import Account
from mailroster.notes import Notes
from mailroster.quota import human_size
from mailroster.roster import Roster
from mailroster.running import Usage, is_running


def add(call: Call) -> int:
    address = account_address(call.arguments[0])
    lenient = "--if-not-exists" in call.options
    if lenient and os.path.isdir(call.settings.config) and address in call.roster().accounts:
        return 0
    blank = Account(address, "")
    secret = secret_for(call, address, lambda: call.rehearse(lambda r: edits.add_account(r, blank)))
    account, about = Account(address, secret.hash), said(call)

    def verb(roster: Roster) -> Roster:
        if lenient and address in roster.accounts:
            return roster
        return annotate(edits.add_account(roster, account), "accounts", address, about)

    return call.edit(verb, done=secret.show)


def update(call: Call) -> int:
    address = account_address(call.arguments[0])
    secret = secret_for(
        call, address, lambda: call.rehearse(lambda r: edits.set_password(r, address, ""))
    )

    def verb(roster: Roster) -> Roster:
        account = roster.accounts.get(address)
        after = edits.set_password(roster, address, secret.hash)
        if account is not None and account.is_locked():
            warn(f"warning: {address!r} stays locked; 'setup email unlock {address}' lets it in")
        return after

    return call.edit(verb, done=secret.show)


def delete(call: Call) -> int:
    from mailroster import mailstore

    addresses = list(dict.fromkeys(account_address(text) for text in call.arguments))
    if "-y" in call.options and "-n" in call.options:
        raise NotUnderstood("-y and -n exclude each other")
    call.settle_moves()
    roster = call.roster()
    for address in addresses:
        if address not in roster.accounts:
            raise Refused(f"there is no account {address!r}")
    folders = [mailstore.folder(call.settings.mail, address) for address in addresses]
    there = [folder for folder in folders if os.path.lexists(folder)]
    dry_run = "--dry-run" in call.options
    silent = "-n" in call.options or dry_run
    doomed = there if "-y" in call.options or (not silent and _asked(there)) else []
    for folder in doomed:
        mailstore.prove_below(call.settings.mail, folder)
    call.edit(lambda roster: edits.delete_accounts(roster, addresses), deletes=doomed)
    for folder in [] if dry_run else doomed:
        mailstore.delete(call.settings.mail, folder)
    return 0


def show(call: Call) -> int:
    """Each account with its use and limit, and below it the aliases that name it."""
    roster = call.roster()
    usage = _usage(call)
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
            used, limit, percent = usage[address]
            block += f" ( {human_size(used)} / {human_size(limit) if limit else '~'} ) [{percent}%]"
        if address in aliases:
            block += f"\n    [ aliases -> {', '.join(aliases[address])} ]"
        blocks.append(block + lines_of(notes.get(address), locked=account.is_locked()))
    print_list(blocks)
    return 0


def _print_accounts(
    accounts: Mapping[str, Account],
    usage: Mapping[str, Usage],
    aliases: Mapping[str, Sequence[str]],
    notes: Mapping[str, Notes],
) -> None:
    from mailroster.cli.table import print_table

    rows = []
    for address, account in accounts.items():
        used, limit, percent = usage.get(address, (None, 0, 0))
        quota = ("", "", "")
        if used is not None:
            quota = human_size(used), human_size(limit) if limit else "~", f"{percent}%"
        some = notes.get(address, Notes())
        state = " ".join(filter(None, ("locked" * account.is_locked(), some.until)))
        rows.append((address, *quota, ", ".join(aliases.get(address, ())), state, some.comment))
    print_table(("ADDRESS", "USED", "LIMIT", "FULL", "ALIASES", "LOCKED", "COMMENT"), rows)


def restrict(call: Call) -> int:
    (field, address), about = _direction(call), said(call)

    def verb(roster: Roster) -> Roster:
        if not about or address not in getattr(roster, field):
            roster = edits.restrict(roster, field, address)
        return annotate(roster, field, address, about)

    return call.edit(verb)


def allow(call: Call) -> int:
    field, address = _direction(call)
    return call.edit(lambda roster: edits.allow(roster, field, address))


def restricted(call: Call) -> int:
    field, address = _direction(call)
    document = getattr(call.roster(), field)
    notes = by_key(document)
    found = [(entry, notes.get(key)) for key, entry in document.items() if address in ("", key)]
    if "--table" in call.options:
        from mailroster.cli.table import print_table

        rows = [(e.key, e.action, (n or Notes()).until, (n or Notes()).comment) for e, n in found]
        print_table(("ADDRESS", "ACTION", "UNTIL", "COMMENT"), rows)
    elif "--json" in call.options:
        print_json(
            [
                {"address": entry.key, "action": entry.action, **fields_of(some)}
                for entry, some in found
            ]
        )
    else:
        print_list([f"* {entry.key} {entry.action}{lines_of(some)}" for entry, some in found])
    return 0


def _direction(call: Call) -> tuple[str, str]:
    """The field of the roster, and the address ("" where none is given)."""
    fields = {"send": "send_access", "receive": "receive_access"}
    direction, *rest = call.arguments
    if direction not in fields:
        raise NotUnderstood(f"{direction!r} is neither 'send' nor 'receive'")
    if not rest:
        return fields[direction], ""
    key = alias_key(rest[0])
    if key.startswith("@"):
        raise Refused(f"access(5) has no {key!r}; for a whole domain write {key[1:]!r}")
    return fields[direction], key


def _asked(folders: list[str]) -> bool:
    """Whether the mail is to go too; no where nobody can be asked."""
    if not folders:
        return False
    if sys.stdin is None or not sys.stdin.isatty():
        warn(f"the mail in {', '.join(folders)} stays; delete it with -y")
        return False
    print(
        f"Delete the mail in {', '.join(folders)} as well? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _usage(call: Call) -> dict[str, Usage]:
    """Use and limit of every mailbox, if quotas are on and a server runs to tell them."""
    layout = call.layout()
    if not call.settings.enable_quotas or not is_running(layout):
        return {}
    from mailroster.services import quotas

    return quotas(layout)
