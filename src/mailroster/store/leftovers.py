"""What an edit that was cut short has left in a config folder, and how its recovery will end.

This module only reads: an editing command carries the recovery out (store/recovery.py), a reading
command takes the files as they will be then. Others than root may write the folder, so it
trusts no more of what it finds than they could do themselves: the names of the files of a config
folder; regular files that lie in the folder itself, with one name, opened without following a link;
of an owner who may write the folder, or the file that is replaced. If anything else is found the
journal counts for nothing: its edit is neither completed nor shown.
"""

import errno
import os
import stat
from collections.abc import Mapping
from io import FileIO
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from mailroster.roster.roster import Roster
from mailroster.store.journal import (
    JOURNAL,
    JOURNAL_MAX_BYTES,
    checksum,
    ending,
    identity_stamp,
)
from mailroster.store.links import ConfigFolder, Target
from mailroster.system.files import ABSENT, Identity, identity
from mailroster.system.folder_lock import user

if TYPE_CHECKING:
    from mailroster.store.append import Append

NEW = ".mailroster-new"
OLD = ".mailroster-old"


class Untrusted(OSError):
    """A leftover that a recovery does not use."""


class Foreign(Untrusted):
    """A leftover of a user who may not write the folder."""


class Unreadable(Untrusted):
    """A file of the folder that can't be read, so that its edit has to wait."""


class PendingEdit(NamedTuple):
    """What completes an edit that was cut short."""

    staged: Mapping[str, bytes] = {}  # file -> what it is about to hold
    identities: Mapping[str, Identity] = {}  # of the staged files
    set_aside: tuple[str, ...] = ()  # written by somebody since: the staged file is kept beside
    append: "Append | None" = None
    #: Everything that was looked at, by path, links not followed.
    seen: Mapping[str, Identity] = {}

    def files(self) -> tuple[str, ...]:
        """The files that hold something else once it is completed."""
        return (*self.staged, *((self.append.file,) if self.append else ()))

    def identity(self, file: str) -> Identity:
        """The identity of the file that holds what a file is about to hold."""
        return self.identities[file]

    def is_current(self) -> bool:
        """Whether everything is still as it was looked at."""
        return all(own_identity(path) == found for path, found in self.seen.items())


NOTHING = PendingEdit()


class Leftovers:
    """The files that an edit stages in a folder, read as the module says."""

    def __init__(self, config: ConfigFolder) -> None:
        self._config = config
        self._seen: dict[str, Identity] = {}

    def path(self, file: str) -> str:
        return self._config.path_of(file)

    def new(self, file: str) -> str:
        return self.path(f".{file}{NEW}")

    def old(self, file: str) -> str:
        return self.path(f".{file}{OLD}")

    def staged(self, file: str) -> bytes | None:
        """What is staged for a file; None for nothing. Raises OSError."""
        return self._own(self.new(file), file)

    def copy(self, file: str) -> bytes | None:
        """What a file held that was overwritten in place."""
        return self._own(self.old(file), file)

    def current(self, file: str) -> bytes:
        for path in (self.path(file), os.path.realpath(self.path(file))):
            self._see(path)
        try:
            return self._config.read(file)
        except OSError as error:
            raise Unreadable(error.errno, error.strerror, self.path(file)) from None

    def journal(self) -> bytes:
        """What the journal says, without its checksum; nothing if it is not whole. Raises
        OSError."""
        whole = self._own(self.path(JOURNAL), "", JOURNAL_MAX_BYTES) or b""
        content = whole[: -len(ending(b""))]
        return content if whole == content + ending(content) else b""

    def waits(self, file: str) -> bool:
        """Whether a staged file is not in its place yet."""
        staged = self.staged(file)
        return staged is not None and staged != self.current(file)

    def is_cut(self, file: str) -> bool:
        """Whether a file holds what an overwriting leaves that was cut short: from each place on
        the old bytes, the new ones, or (after a power cut) zeros."""
        old = self.copy(file)
        if old is None:
            return False
        new, found = self.staged(file) or b"", self.current(file)
        return len(found) >= min(len(old), len(new)) and all(
            byte in (before, after, 0)
            for byte, before, after in zip_longest(found, old, new, fillvalue=0)
        )

    def bears(self, file: str, stamp: str) -> bool:
        """Whether a file is still the one with a stamp."""
        found = identity(self.path(file))
        return stamp == (identity_stamp(found) if "-" in stamp else checksum(self.current(file)))

    def pending_edit(self) -> PendingEdit:
        """What completes the edit of the journal. Raises OSError, which is Untrusted where there is
        something in the folder that is not of us."""
        self._seen = {}
        found = self._pending_edit()
        return found._replace(seen=dict(self._seen))

    def _pending_edit(self) -> PendingEdit:
        from mailroster.store.append import Append

        journal, files = self.journal(), {document.format.file for document in Roster()}
        if append := Append.of(journal):
            if append.file not in files or self.appended(append) is None:
                return NOTHING
            here = identity(self.path(append.file))
            return PendingEdit({}, {append.file: here}, append=append)
        lines = [line.split() for line in journal.decode("ascii", "replace").splitlines()]
        # A line that is not ours, under a checksum that is right, is of another version of us.
        stamps = {words[1]: words[0] for words in lines if len(words) == 2 and words[1] in files}
        waiting = [file for file in stamps if self.waits(file)]
        cut = [file for file in waiting if self.is_cut(file)]
        theirs = [f for f in waiting if f not in cut and not self.bears(f, stamps[f])]
        if theirs and waiting == list(stamps) and not cut:
            return NOTHING  # nothing of it is in its place, and no command has reported it as done
        staged = {file: self.staged(file) or b"" for file in waiting if file not in theirs}
        which = {file: own_identity(self.new(file)) for file in staged}
        return PendingEdit(staged, which, tuple(theirs))

    def appended(self, append: "Append") -> bytes | None:
        """What the file of an append holds once that is completed; None if that is as it stands."""
        content = self.current(append.file)
        behind = content[append.size :]
        if len(content) < append.size or not append.was_cut(behind) or append.is_in(behind):
            return None
        return content[: append.size] + append.lines

    # -- what is trusted

    def _see(self, path: str) -> None:
        self._seen.setdefault(path, own_identity(path))

    def _own(self, path: str, file: str, limit: int = -1) -> bytes | None:
        """What a file of ours holds, which is about a file of the folder."""
        self._see(path)
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        try:
            fd = os.open(path, flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise Untrusted(errno.EINVAL, "is a link", path) from None
        try:
            self._judge(path, file, os.fstat(fd), limit)
        except OSError:
            os.close(fd)
            raise
        with FileIO(fd) as opened:
            return opened.readall()

    def _judge(self, path: str, file: str, status: os.stat_result, limit: int) -> None:
        if stat.S_ISDIR(status.st_mode):
            raise Untrusted(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise Untrusted(errno.EINVAL, "is not a regular file with one name", path)
        if 0 <= limit < status.st_size:
            raise Untrusted(errno.EINVAL, "is too large", path)
        if not self._is_trusted(status.st_uid, file):
            raise Foreign(errno.EINVAL, f"belongs to {user(status.st_uid)}", path)

    def _is_trusted(self, uid: int, file: str) -> bool:
        folder = os.stat(self._config.path)
        if uid in (folder.st_uid, 0, os.geteuid()) or _may_write(uid, folder):
            return True
        try:
            with Target(self._config, file) as target:
                return bool(file) and os.lstat(target).st_uid == uid
        except OSError:
            return False


def own_identity(path: str) -> Identity:
    """The identity of what has a path, links not followed; ABSENT if there is nothing."""
    try:
        status = os.lstat(path)
    except OSError:
        return ABSENT
    return Identity(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _may_write(uid: int, folder: os.stat_result) -> bool:
    """Whether another user than its owner may replace any file of a folder, by its mode."""
    if folder.st_mode & stat.S_ISVTX:
        return False
    if folder.st_mode & stat.S_IWOTH:
        return True
    if not folder.st_mode & stat.S_IWGRP:
        return False
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return False
    return folder.st_gid in os.getgrouplist(entry.pw_name, entry.pw_gid)
