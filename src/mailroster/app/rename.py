"""An account gets another address, and its mailbox the name of that."""

import os
from collections.abc import Callable

from mailroster.app.home import Edit, EditResult, Home
from mailroster.app.leftovers import mover_of
from mailroster.base.address import Address
from mailroster.base.findings import Location, TryAgain
from mailroster.roster.roster import Roster
from mailroster.servers import mailboxes
from mailroster.servers.mailbox_moves import COUNTS, Move, MoveJournal, settle

#: How long the command waits for deliveries that have the old name of the folder.
_PATIENCE_S = 1.0


def edit_and_move(
    home: Home,
    edit: Edit,
    old: Address,
    new: Address,
    *,
    dry_run: bool,
    wait: bool,
    removals: bool,
    written: Callable[[EditResult], object],
) -> EditResult:
    """`Home.edit` for an edit that gives an account another address; its mailbox moves with it.
    Raises as that does, and TryAgain while deliveries to an earlier name go on."""
    move, mover = Move(old, new), mover_of(home.settings, home.layout)
    if dry_run:
        mover.check(move)
        return home.edit(edit, dry_run=True, removals=removals, written=written)
    with MoveJournal(home.settings.config) as record:

        def is_settled(wait_s: float) -> bool:
            return settle(record, mover, home.roster, home.live_roster, wait_s)

        def edited(result: EditResult) -> None:
            if result.plan.edits:
                record.note(COUNTS, move)
            written(result)

        is_settled(0)
        _wait_for_link(record, new, is_settled)
        mover.check(move)
        try:
            result = home.edit(
                edit,
                wait=wait,
                removals=removals,
                before=lambda: mover.begin(record, move),
                written=edited,
            )
        except BaseException:
            is_settled(0)
            raise
        if not is_settled(_PATIENCE_S) and wait:
            home.warn(
                "the old name of the mail folder stays a link to the new one until deliveries that "
                "began before are over; the running server, or the next command, takes it away"
            )
    return result


def _wait_for_link(record: MoveJournal, address: str, is_settled: Callable[[float], bool]) -> None:
    """Returns when an address has no link that an earlier rename has left. Raises TryAgain if it
    keeps one."""

    def has_link() -> bool:
        return any(move.old == address for move in record.moves())

    if has_link():
        is_settled(_PATIENCE_S)
        if has_link():
            raise TryAgain(
                f"deliveries that began when {address!r} had that mail folder are not over"
            )


def folders(home: Home, old: Address, new: Address) -> tuple[str, str] | None:
    """The mailbox of an account and the place to which it would move; None if there is none."""
    before, after = (mailboxes.folder(home.settings.mail, address) for address in (old, new))
    return (before, after) if os.path.lexists(before) else None


def patterns_to(roster: Roster, address: Address) -> list[Location]:
    """The patterns whose result names an address."""
    document = roster.regexp
    return [
        document.location(position)
        for position, line in enumerate(document.lines)
        if (rule := document.readable(line)) is not None and address in rule.result.lower()
    ]
