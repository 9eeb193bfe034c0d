"""The journal of renamed mail folders: the file `.mailroster-moves` in the config folder.

    begun old@example.com new@example.com 0.0

A line has a state, the old and the new address, and for `live` the time of that, in seconds since
the machine started. The last line of a move counts. After a crash the next command undoes a move
that has `begun`, unless the config files have the new address, and finishes all others.

| state    | what is on disk                                                    |
|----------|--------------------------------------------------------------------|
| `begun`  | the folder may have its new name; the config files may be changed  |
| `counts` | the config files have the new address                              |
| `live`   | the tables have the new address                                    |
| `over`   | nothing is left of the move                                        |
"""

import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from mailroster.base.address import Address, account
from mailroster.base.findings import ParseError, Refused, TryAgain
from mailroster.base.layout import MOVES
from mailroster.system.files import Disk, read

if TYPE_CHECKING:
    from types import TracebackType

BEGUN, COMMITTED, LIVE, DONE = "begun", "counts", "live", "over"
_LOCK_STEP_S = 0.05


class Move(NamedTuple):
    """A mail folder that gets another name."""

    old: Address
    new: Address


class MoveState(NamedTuple):
    """The state of a move, and when it went live (s since the machine started; 0 before)."""

    state: str
    live_s: float


class MoveJournal:
    """The journal, locked for one process by a `with` block.

    Raises TryAgain if another process has it locked for longer than `wait_s`.
    """

    def __init__(self, config: str, wait_s: float = 60.0) -> None:
        self.path, self._wait_s = os.path.join(config, MOVES), wait_s
        self._fd = -1

    def __enter__(self) -> "MoveJournal":
        deadline = time.monotonic() + self._wait_s
        while not self._try_lock():
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

    def _try_lock(self) -> bool:
        fd = self._open()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(self.path)):
                self._fd = fd
        except (BlockingIOError, FileNotFoundError):
            pass  # locked by another process, or removed since it was opened
        finally:
            if self._fd != fd:
                os.close(fd)
        return self._fd == fd

    def _open(self) -> int:
        """Opens the file, never through a link. Raises Refused for a file of another user."""
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
            os.fchmod(fd, 0o600)  # other users must not be able to lock it
        return fd

    def moves(self) -> dict[Move, MoveState]:
        """The unfinished moves. A line that a power cut left incomplete is skipped: its step had
        not begun."""
        result: dict[Move, MoveState] = {}
        for line in read(self.path).decode("ascii", "replace").split("\n")[:-1]:
            words = line.split(" ")
            if len(words) != 4:
                continue
            try:
                move = Move(account(words[1]), account(words[2]))
                if words[0] == DONE:
                    result.pop(move, None)
                elif words[0] in (BEGUN, COMMITTED, LIVE):
                    result[move] = MoveState(words[0], float(words[3]))
            except (ParseError, ValueError):
                continue
        return result

    def append(self, state: str, move: Move, live_s: float = 0.0) -> None:
        """Appends the state of a move; on disk when this returns."""
        content = read(self.path)
        start = "\n" if content and not content.endswith(b"\n") else ""
        os.write(self._fd, f"{start}{state} {move.old} {move.new} {live_s}\n".encode())
        os.fsync(self._fd)
        if not content:
            Disk().sync_folder(os.path.dirname(self.path))
