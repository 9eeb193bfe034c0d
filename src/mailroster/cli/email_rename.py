"""`setup email rename`."""

import os
from collections.abc import Callable

from mailroster.base.findings import Busy, Refused
from mailroster.cli.call import Call, account_address, warn
from mailroster.edits.rename import rename_account
from mailroster.roster.roster import Roster
from mailroster.servers import mailboxes
from mailroster.servers.mailbox_moves import COUNTS, Move, Mover, Record
from mailroster.servers.mailbox_moves import settle as settle_moves
from mailroster.system.programs import Captures

#: How long the command waits for deliveries that have the old name of the folder.
_PATIENCE_S = 1.0


def rename(call: Call) -> int:
    """Gives an account another address, everywhere, and its mail folder the name of that."""
    old, new = map(account_address, call.arguments)
    alias = "--no-alias" not in call.options

    def verb(roster: Roster) -> Roster:
        captured = Captures(roster.regexp)
        return rename_account(roster, old, new, call.settings.hostname, captured, alias=alias)

    call.rehearse(verb)
    status = edit_and_move(call, verb, Move(old, new))
    if not alias and "--dry-run" not in call.options:
        _warn_of_patterns(call.roster(), old)
    return status


def edit_and_move(call: Call, verb: Callable[[Roster], Roster], move: Move) -> int:
    """`Call.edit` for a verb that gives an account another address: its mail folder gets the name
    of that."""
    mover = _mover(call)
    if "--dry-run" in call.options:
        return _rehearsed(call, verb, mover, move)
    with Record(call.settings.config) as record:
        _settled(call, record, 0)
        if _is_left(record, move.new):
            _settled(call, record, _PATIENCE_S)
        if _is_left(record, move.new):
            raise Busy(f"deliveries that began when {move.new!r} had that mail folder are not over")
        mover.check(move)
        try:
            status = call.edit(
                verb,
                before=lambda: mover.begin(record, move),
                done=lambda: record.note(COUNTS, move),
                judged=True,
            )
        except BaseException:
            _settled(call, record, 0)
            raise
        if not _settled(call, record, _PATIENCE_S) and "--no-wait" not in call.options:
            warn(
                "the old name of the mail folder stays a link to the new one until deliveries that "
                "began before are over; the running server, or the next command, takes it away"
            )
    return status


def settle(call: Call) -> None:
    """Completes or takes back what a rename has left; leaves it alone while one is at work."""
    try:
        with Record(call.settings.config, 0) as record:
            _settled(call, record, 0)
    except Busy:
        pass
    except (Refused, OSError) as error:
        warn(f"warning: a renamed mail folder is not in its place: {error}")


def _settled(call: Call, record: Record, wait_s: float) -> bool:
    def served() -> Roster | None:
        tables = call.tables()
        return tables.copies.roster() if tables.exist() else None

    return settle_moves(record, _mover(call), call.roster, served, wait_s)


def _is_left(record: Record, address: str) -> bool:
    """Whether an address has a link yet that an earlier rename has left."""
    return any(move.old == address for move in record.moves())


def _mover(call: Call) -> Mover:
    return Mover(call.settings.config, call.mail_folder(), call.layout())


def _rehearsed(call: Call, verb: Callable[[Roster], Roster], mover: Mover, move: Move) -> int:
    mover.check(move)
    status = call.edit(verb, judged=True)
    folders = [mailboxes.folder(call.settings.mail, address) for address in move]
    if os.path.lexists(folders[0]):
        print(f"would move {folders[0]} to {folders[1]}")
    return status


def _warn_of_patterns(roster: Roster, old: str) -> None:
    """Rules that lead to an address which is not there any more."""
    document = roster.regexp
    for position, line in enumerate(document.lines):
        rule = document.readable(line)
        if rule is not None and old in rule.result.lower():
            warn(f"warning: {document.location(position)}: this rule leads to {old!r}")
