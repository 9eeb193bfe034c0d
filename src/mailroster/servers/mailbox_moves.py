"""Gives the mail folder of a renamed account its new name, while mail arrives.

At every moment both names lead to the one folder, or the new one is not asked for yet:

1. The move is noted (`.mailroster-moves` in the config folder).
2. At the new name a link is made that leads to that very name, and so nowhere. It and the folder
   exchange their names in one step (renameat2(2)): now the folder has the new name, and the link
   stands at the old one and leads to it. The mail's user does this (`mail_work.move`).
3. The text files are changed, then the tables: new logins and deliveries use the new name.
4. The sessions of the old address end. A delivery that was under way knows the old name; so the
   link stays until no process of Dovecot's LMTP service is left that was there before.

Killed before 3, the move is taken back by the next command; after it, it is completed. An account's
Sieve script in the config folder is linked to its new name before 3 and loses the old one after it.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

from mailroster.base.address import Address, account, fold
from mailroster.base.findings import ParseError, Refused, TryAgain
from mailroster.base.layout import MOVES, Layout
from mailroster.roster.formats.sieve import SUFFIX
from mailroster.servers.mailboxes import MailFolder, prove_below
from mailroster.servers.running import dovecot_pid
from mailroster.servers.sessions import end_sessions
from mailroster.system import processes
from mailroster.system.files import Disk, read

if TYPE_CHECKING:
    from types import TracebackType

    from mailroster.roster.roster import Roster

#: How far a move is: noted; its edit counts; the tables say so (with the time of that).
BEGUN, COUNTS, LIVE = "begun", "counts", "live"
_STEP_S = 0.02
_LOCK_STEP_S = 0.05


class Move(NamedTuple):
    """A mail folder that gets another name."""

    old: Address
    new: Address


class MoveJournal:
    """The moves that are not over, for a `with` block: one process at a time has them.

    Raises TryAgain if another has them for longer than `wait_s`.
    """

    def __init__(self, config: str, wait_s: float = 60.0) -> None:
        self.path, self._wait_s = os.path.join(config, MOVES), wait_s
        self._fd = -1

    def __enter__(self) -> "MoveJournal":
        deadline = time.monotonic() + self._wait_s
        while not self._try():
            if time.monotonic() >= deadline:
                raise TryAgain("another account is being renamed")
            time.sleep(_LOCK_STEP_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        if os.path.exists(self.path) and not self.moves():
            os.unlink(self.path)
        os.close(self._fd)

    def _try(self) -> bool:
        fd = self._open()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(self.path)):
                self._fd = fd
        except (BlockingIOError, FileNotFoundError):
            pass  # held, or gone since it was opened
        finally:
            if self._fd != fd:
                os.close(fd)
        return self._fd == fd

    def _open(self) -> int:
        """Never follows a link. Raises Refused for what another user put there."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(self.path, flags, 0o600)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise
            raise Refused(f"{self.path} is not a regular file; remove it") from None
        status = os.fstat(fd)
        owners = (os.stat(os.path.dirname(self.path)).st_uid, 0, os.geteuid())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or status.st_uid not in owners:
            os.close(fd)
            raise Refused(f"{self.path} is not a regular file of the folder's owner; remove it")
        if status.st_mode & 0o077:
            os.fchmod(fd, 0o600)  # who can open it can lock it
        return fd

    def moves(self) -> dict[Move, tuple[str, float]]:
        """Every move that is not over: how far it is, and when (s since the machine started) it
        went live. What a power cut has left half written is not there: nothing was done yet."""
        found: dict[Move, tuple[str, float]] = {}
        for line in read(self.path).decode("ascii", "replace").split("\n")[:-1]:
            words = line.split(" ")
            if len(words) != 4:
                continue
            try:
                move = Move(account(words[1]), account(words[2]))
                if words[0] == "over":
                    found.pop(move, None)
                elif words[0] in (BEGUN, COUNTS, LIVE):
                    found[move] = words[0], float(words[3])
            except (ParseError, ValueError):
                continue
        return found

    def note(self, word: str, move: Move, when_s: float = 0.0) -> None:
        """Notes how far a move is; on the disk when this returns."""
        whole = read(self.path)
        start = "\n" if whole and not whole.endswith(b"\n") else ""
        os.write(self._fd, f"{start}{word} {move.old} {move.new} {when_s}\n".encode())
        os.fsync(self._fd)
        if not whole:
            Disk().sync_folder(os.path.dirname(self.path))


class Mover:
    """The effects of moves, in a mail folder and in one config folder."""

    def __init__(self, config: str, mail: MailFolder, layout: Layout) -> None:
        self._config, self._mail, self._layout = config, mail, layout

    def check(self, move: Move) -> None:
        """Refused if the new name is taken, or if a name leads out of the mail folder."""
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

    # -- forth and back

    def begin(self, record: MoveJournal, move: Move) -> None:
        """Gives the folder its new name; the old one leads to it. Raises Refused, with nothing
        done, as `check` does."""
        if record.moves().get(move, ("",))[0] == BEGUN:
            return  # the edit is made anew, since somebody wrote a file meanwhile
        self.check(move)
        record.note(BEGUN, move)
        self._mail.move(move.old, move.new, make=self._is_served(), may_step=self._may_step())
        script = self._script(move.old)
        if script:
            os.link(script, os.path.join(self._config, move.new + SUFFIX), follow_symlinks=False)

    def take_back(self, move: Move) -> None:
        """Undoes what `begin` did, as far as it got. Safe to repeat."""
        try:
            self._mail.move_back(move.old, move.new, may_step=self._may_step())
        except Refused:
            pass  # somebody's link has the place of a domain: nothing of ours is behind it
        theirs, ours = self._script(move.old), self._script(move.new)
        if theirs and ours and os.path.samestat(os.lstat(theirs), os.lstat(ours)):
            os.unlink(ours)

    def _may_step(self) -> bool:
        """Whether no Dovecot runs that could find a mailbox missing for a moment."""
        return dovecot_pid(self._layout) is None

    def finish(self, move: Move, roster: "Roster", live_s: float, wait_s: float) -> bool:
        """Takes the old name away once nobody can use it any more, or somebody has to have it;
        False if that is not yet. Safe to repeat."""
        self._drop_script(move)
        quiet = is_quiet(self._layout, (move.old,), live_s, wait_s)
        if not quiet and move.old not in roster.accounts:
            return False
        try:
            self._mail.drop_link(move.old, move.new)
        except Refused:
            pass  # as above
        return True

    def _drop_script(self, move: Move) -> None:
        theirs, ours = self._script(move.old), self._script(move.new)
        if theirs and ours and os.path.samestat(os.lstat(theirs), os.lstat(ours)):
            os.unlink(theirs)

    # -- names

    def _script(self, address: Address) -> str:
        """The Sieve script of an account in the config folder, in any spelling; "" for none."""
        for name in os.listdir(self._config) if os.path.isdir(self._config) else ():
            if name.endswith(SUFFIX) and fold(name.removesuffix(SUFFIX)) == address:
                return os.path.join(self._config, name)
        return ""

    def _is_served(self) -> bool:
        """Whether mail may arrive at any time."""
        return os.path.isdir(self._layout.tables) and os.path.isdir(self._mail.path)


def is_quiet(layout: Layout, addresses: Collection[Address], live_s: float, wait_s: float) -> bool:
    """Whether no session of some addresses is left, and no delivery that began before a time; asks
    them to end, and waits so long."""
    deadline = time.monotonic() + wait_s
    while end_sessions(layout, addresses) or _delivering(layout, live_s):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_STEP_S)
    return True


def _delivering(layout: Layout, live_s: float) -> bool:
    """Whether a process of the LMTP service is left that began before a time. Each is asked to end
    if it is idle: to SIGINT Dovecot's processes end between two clients only. One that is still
    starting would die of it, for which Dovecot lets all deliveries wait for seconds."""
    import signal

    master = dovecot_pid(layout)
    old = list(_deliveries(master, live_s))
    for pid in old:
        if processes.catches(pid, signal.SIGINT):
            processes.send(pid, signal.SIGINT, lambda pid: _is_delivery(pid, master))
    return bool(old)


def settle(
    record: MoveJournal,
    mover: Mover,
    roster: Callable[[], "Roster"],
    served: Callable[[], "Roster | None"],
    wait_s: float = 0.0,
) -> bool:
    """Takes back what did not come to count, and finishes what did; whether all of it is over.

    `roster` is what the folder says; `served` what is live, None where nothing is served. An old
    address that is an account again gets its name at once: its mail must not get into the other's.
    """
    deadline = time.monotonic() + wait_s
    for move, (word, when_s) in record.moves().items():
        says = roster()
        if word == BEGUN:
            if move.old in says.accounts or move.new not in says.accounts:
                mover.take_back(move)
                record.note("over", move)
                continue
            record.note(COUNTS, move)  # the new address may be another one soon
        if word != LIVE:
            if move.old not in says.accounts and not _is_live(move, says, served()):
                continue
            when_s = time.clock_gettime(time.CLOCK_BOOTTIME)
            record.note(LIVE, move, when_s)
        if mover.finish(move, says, when_s, deadline - time.monotonic()):
            record.note("over", move)
    return not record.moves()


def _is_live(move: Move, says: "Roster", live: "Roster | None") -> bool:
    """Whether what is served says the new address, if anything is served; if that is gone again by
    now, whether it says no more the old one."""
    if live is None:
        return True
    if move.old in live.accounts:
        return False
    return move.new in live.accounts or move.new not in says.accounts


def _deliveries(master: int | None, before_s: float) -> Iterator[int]:
    """The processes of the LMTP service of a Dovecot that began before a time, in seconds since the
    machine started."""
    ticks = os.sysconf("SC_CLK_TCK")
    for pid in processes.children(master) if master is not None else ():
        try:
            state, _, *rest = processes.stat(pid)
        except OSError:
            continue  # it has ended
        began_s = int(rest[17]) / ticks
        if state != "Z" and began_s <= before_s and _is_delivery(pid, master):
            yield pid


def _is_delivery(pid: int, master: int | None) -> bool:
    return processes.parent(pid) == master and processes.program_name(pid) == "lmtp"
