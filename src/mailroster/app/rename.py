"""Renames an account and its mailbox."""

import os
from collections.abc import Callable

from mailroster.app.home import Edit, EditResult, Home
from mailroster.app.leftovers import mover_of
from mailroster.base.address import Address
from mailroster.base.findings import Location, TryAgain
from mailroster.roster.roster import Roster
from mailroster.servers import mailboxes
from mailroster.servers.mailbox_moves import complete_moves
from mailroster.servers.move_journal import COMMITTED, Move, MoveJournal

#: How long the command waits for deliveries that use the old name of the folder.
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
    """`Home.edit` for an edit that renames an account; its mailbox moves, too. Raises as that does,
    and TryAgain while deliveries to an earlier name are running."""
    move, mover = Move(old, new), mover_of(home.settings, home.layout)
    if dry_run:
        mover.check(move)
        return home.edit(edit, dry_run=True, removals=removals, written=written)
    with MoveJournal(home.settings.config) as journal:

        def finish(wait_s: float) -> bool:
            """Completes or rolls back the moves; whether none is left."""
            return complete_moves(journal, mover, home.roster, home.live_roster, wait_s)

        def edited(result: EditResult) -> None:
            if result.plan.edits:
                journal.append(COMMITTED, move)
            written(result)

        finish(0)
        _wait_for_link(journal, new, finish)
        mover.check(move)
        try:
            result = home.edit(
                edit,
                wait=wait,
                removals=removals,
                before=lambda: mover.begin(journal, move),
                written=edited,
            )
        except BaseException:
            finish(0)
            raise
        if not finish(_PATIENCE_S) and wait:
            home.warn(
                "the old name of the mail folder stays a link to the new one until the running "
                "deliveries end; the running server, or the next command, removes it"
            )
    return result


def _wait_for_link(journal: MoveJournal, address: str, finish: Callable[[float], bool]) -> None:
    """Waits until the link of an earlier rename of an address is removed. Raises TryAgain if it
    stays."""

    def has_link() -> bool:
        return any(move.old == address for move in journal.moves())

    if has_link():
        finish(_PATIENCE_S)
        if has_link():
            raise TryAgain(f"deliveries to the former mail folder of {address!r} are still running")


def folders(home: Home, old: Address, new: Address) -> tuple[str, str] | None:
    """The mailbox of an account before and after a rename; None if there is none."""
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
