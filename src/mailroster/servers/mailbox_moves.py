"""Renames the mail folder of an account while mail arrives.

At every moment both names lead to the one folder, or no process uses the new name yet:

1. The move is recorded in the journal (`move_journal`).
2. A link to the new name is created at the new name itself, where it leads nowhere. The link and
   the folder exchange their names in one step (renameat2(2)): now the folder has the new name, and
   the old name is a link to it. The mail's user does this (`mail_renames.move`).
3. The config files are changed, then the tables: new logins and deliveries use the new name.
4. The sessions of the old address end. A delivery that began before knows the old name, so the link
   stays until every LMTP process from that time has ended.

If the command is killed before step 3, the next command undoes the move; after it, the next command
finishes it. The account's Sieve script in the config folder gets a hard link with the new name
before step 3, and loses the old name after it.
"""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mailroster.base.address import Address, fold
from mailroster.base.findings import Refused
from mailroster.base.layout import Layout
from mailroster.roster.formats.sieve import SUFFIX
from mailroster.servers.deliveries import wait_until_unused
from mailroster.servers.mailboxes import MailFolder, prove_below
from mailroster.servers.move_journal import BEGUN, COMMITTED, DONE, LIVE, Move, MoveJournal
from mailroster.servers.running import dovecot_pid

if TYPE_CHECKING:
    from mailroster.roster.roster import Roster


class Mover:
    """Applies moves to a mail folder and a config folder."""

    def __init__(self, config: str, mail: MailFolder, layout: Layout) -> None:
        self._config, self._mail, self._layout = config, mail, layout

    def check(self, move: Move) -> None:
        """Raises Refused if the new name exists, or if a name leads out of the mail folder."""
        old, new = self._mail.folder(move.old), self._mail.folder(move.new)
        if os.path.lexists(new):
            raise Refused(f"{new} is there already; move its mail away first")
        if os.path.lexists(old):
            prove_below(self._mail.path, old)
        for folder in (old, new):
            if os.path.islink(os.path.dirname(folder)):
                prove_below(self._mail.path, folder)
        if script := self._script(move.new):  # of a former owner: the account would get it
            raise Refused(f"{script} is there already; move it away first")

    def begin(self, journal: MoveJournal, move: Move) -> None:
        """Gives the folder its new name, and makes the old name a link to it. Raises Refused as
        `check` does; then nothing was changed."""
        if move in (moves := journal.moves()) and moves[move].state == BEGUN:
            return  # the edit is repeated, as a file was changed in the meantime
        self.check(move)
        journal.append(BEGUN, move)
        may_arrive = os.path.isdir(self._layout.tables) and os.path.isdir(self._mail.path)
        self._mail.move(move.old, move.new, make=may_arrive, may_step=self._may_step())
        script = self._script(move.old)
        if script:
            os.link(script, os.path.join(self._config, move.new + SUFFIX), follow_symlinks=False)

    def undo(self, move: Move) -> None:
        """Undoes a complete or partial `begin`. Safe to repeat."""
        try:
            self._mail.move_back(move.old, move.new, may_step=self._may_step())
        except Refused:
            pass  # the folder of the domain is a link by now: the move left nothing behind it
        self._drop_script(move.new, other=move.old)

    def finish(self, move: Move, roster: "Roster", live_s: float, wait_s: float) -> bool:
        """Removes the old name once no process can use it, or at once if it is an account again;
        returns whether it did. Safe to repeat."""
        self._drop_script(move.old, other=move.new)
        is_unused = wait_until_unused(self._layout, (move.old,), live_s, wait_s)
        if not is_unused and move.old not in roster.accounts:
            return False
        try:
            self._mail.drop_link(move.old, move.new)
        except Refused:
            pass  # as in `undo`
        return True

    def _may_step(self) -> bool:
        """Whether no Dovecot runs that could miss a mailbox for a moment."""
        return dovecot_pid(self._layout) is None

    def _drop_script(self, address: Address, other: Address) -> None:
        """Removes the Sieve script of an address if it is the same file as that of another one."""
        path, other_path = self._script(address), self._script(other)
        if path and other_path and os.path.samestat(os.lstat(path), os.lstat(other_path)):
            os.unlink(path)

    def _script(self, address: Address) -> str:
        """The Sieve script of an account in the config folder, in any spelling; "" for none."""
        for name in os.listdir(self._config) if os.path.isdir(self._config) else ():
            if name.endswith(SUFFIX) and fold(name.removesuffix(SUFFIX)) == address:
                return os.path.join(self._config, name)
        return ""


def complete_moves(
    journal: MoveJournal,
    mover: Mover,
    roster: Callable[[], "Roster"],
    served: Callable[[], "Roster | None"],
    wait_s: float = 0.0,
) -> bool:
    """Undoes moves whose edit was not committed, and finishes the others; returns whether no move
    is left.

    `roster` reads the config files, `served` the tables (None if nothing is served). An old address
    that is an account again gets its name at once: its mail must not get into the other mailbox.
    """
    deadline = time.monotonic() + wait_s
    for move, (state, live_s) in journal.moves().items():
        current = roster()
        if state == BEGUN:
            if move.old in current.accounts or move.new not in current.accounts:
                mover.undo(move)
                journal.append(DONE, move)
                continue
            journal.append(COMMITTED, move)  # the new address may change again soon
        if state != LIVE:
            if move.old not in current.accounts and not _is_live(move, current, served()):
                continue
            live_s = time.clock_gettime(time.CLOCK_BOOTTIME)
            journal.append(LIVE, move, live_s)
        if mover.finish(move, current, live_s, deadline - time.monotonic()):
            journal.append(DONE, move)
    return not journal.moves()


def _is_live(move: Move, current: "Roster", live: "Roster | None") -> bool:
    """Whether the tables have the new address; if it was removed since, whether they no longer
    have the old one. True if nothing is served."""
    if live is None:
        return True
    if move.old in live.accounts:
        return False
    return move.new in live.accounts or move.new not in current.accounts
