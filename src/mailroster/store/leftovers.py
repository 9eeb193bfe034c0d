"""The files that an interrupted edit left in a config folder, and the result of its recovery.

This module only reads: editing commands recover the folder (store/recovery.py), reading commands
see the files as they will be afterwards. Users other than root may write the folder, so leftovers
are trusted only as far as these users could make the same change themselves: they have the names of
config files; they are regular files in the folder itself, with one name, opened without following a
link; their owner may write the folder or the replaced file. With any other leftover the journal is
ignored: its edit is neither completed nor shown.
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
    """A leftover that no recovery uses."""


class Foreign(Untrusted):
    """A leftover of a user who may not write the folder."""


class Unreadable(Untrusted):
    """A file of the folder that can't be read; its edit can't be completed until it can."""


class PendingEdit(NamedTuple):
    """The rest of an edit that was cut short, which a recovery completes."""

    staged: Mapping[str, bytes] = {}  # file -> its new content
    identities: Mapping[str, Identity] = {}  # of the staged files
    set_aside: tuple[str, ...] = ()  # written by another program since; staged files are kept
    append: "Append | None" = None
    seen: Mapping[str, Identity] = {}  # path -> all that this was read from, links not followed

    def files(self) -> tuple[str, ...]:
        """The files that the rest of the edit changes."""
        return (*self.staged, *((self.append.file,) if self.append else ()))

    def identity(self, file: str) -> Identity:
        """The identity of the file that has the new content of a file."""
        return self.identities[file]

    def is_current(self) -> bool:
        """Whether nothing has changed since it was read."""
        return all(own_identity(path) == known for path, known in self.seen.items())


NOTHING = PendingEdit()


class TrustedFiles:
    """Reads the leftovers of one folder that are trusted, and remembers what it has read."""

    def __init__(self, config: ConfigFolder) -> None:
        self._config = config
        self.seen: dict[str, Identity] = {}

    def see(self, path: str) -> None:
        """Remembers the identity of a path before it is read."""
        self.seen.setdefault(path, own_identity(path))

    def read(self, path: str, file: str, max_bytes: int = -1) -> bytes | None:
        """The content of a leftover about a file of the folder ("": about none); None if there is
        no such leftover. Raises OSError; Untrusted if it is not trusted."""
        self.see(path)
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
            self._check(path, file, os.fstat(fd), max_bytes)
        except OSError:
            os.close(fd)
            raise
        with FileIO(fd) as opened:
            return opened.readall()

    def _check(self, path: str, file: str, status: os.stat_result, max_bytes: int) -> None:
        if stat.S_ISDIR(status.st_mode):
            raise Untrusted(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise Untrusted(errno.EINVAL, "is not a regular file with one name", path)
        if 0 <= max_bytes < status.st_size:
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


class Leftovers:
    """The staged files and the journal of one folder."""

    def __init__(self, config: ConfigFolder) -> None:
        self._config, self._files = config, TrustedFiles(config)

    def path(self, file: str) -> str:
        return self._config.path_of(file)

    def new(self, file: str) -> str:
        return self.path(f".{file}{NEW}")

    def old(self, file: str) -> str:
        return self.path(f".{file}{OLD}")

    def staged(self, file: str) -> bytes | None:
        """The staged content of a file; None if there is none. Raises OSError."""
        return self._files.read(self.new(file), file)

    def copy(self, file: str) -> bytes | None:
        """The copy of a file from before it was overwritten in place; None if there is none."""
        return self._files.read(self.old(file), file)

    def current(self, file: str) -> bytes:
        """The content of a file now. Raises Unreadable."""
        for path in (self.path(file), os.path.realpath(self.path(file))):
            self._files.see(path)
        try:
            return self._config.read(file)
        except OSError as error:
            raise Unreadable(error.errno, error.strerror, self.path(file)) from None

    def journal(self) -> bytes:
        """The journal without its checksum; empty if it was cut short. Raises OSError."""
        whole = self._files.read(self.path(JOURNAL), "", JOURNAL_MAX_BYTES) or b""
        content = whole[: -len(ending(b""))]
        return content if whole == content + ending(content) else b""

    def waits(self, file: str) -> bool:
        """Whether a staged file is not in its place yet."""
        staged = self.staged(file)
        return staged is not None and staged != self.current(file)

    def is_cut(self, file: str) -> bool:
        """Whether a file is what an interrupted overwrite leaves: each byte is the old one, the
        new one, or (after a power cut) zero."""
        old = self.copy(file)
        if old is None:
            return False
        new, content = self.staged(file) or b"", self.current(file)
        return len(content) >= min(len(old), len(new)) and all(
            byte in (before, after, 0)
            for byte, before, after in zip_longest(content, old, new, fillvalue=0)
        )

    def has_stamp(self, file: str, stamp: str) -> bool:
        """Whether a file is still the version with a stamp."""
        if "-" in stamp:
            return stamp == identity_stamp(identity(self.path(file)))
        return stamp == checksum(self.current(file))

    def pending_edit(self) -> PendingEdit:
        """The rest of the edit of the journal. Raises OSError; Untrusted for a leftover that is not
        trusted."""
        self._files.seen = {}
        pending = self._pending_edit()
        return pending._replace(seen=dict(self._files.seen))

    def _pending_edit(self) -> PendingEdit:
        from mailroster.store.append import Append

        journal, files = self.journal(), {document.format.file for document in Roster()}
        if append := Append.of(journal):
            if append.file not in files or self.appended(append) is None:
                return NOTHING
            identities = {append.file: identity(self.path(append.file))}
            return PendingEdit({}, identities, append=append)
        lines = [line.split() for line in journal.decode("ascii", "replace").splitlines()]
        # If the checksum is right, an unknown line was written by another version of mailroster.
        stamps = {words[1]: words[0] for words in lines if len(words) == 2 and words[1] in files}
        waiting = [file for file in stamps if self.waits(file)]
        cut = [file for file in waiting if self.is_cut(file)]
        changed = [f for f in waiting if f not in cut and not self.has_stamp(f, stamps[f])]
        if changed and waiting == list(stamps) and not cut:
            return NOTHING  # no file of it is in its place, and no command has reported it as done
        staged = {file: self.staged(file) or b"" for file in waiting if file not in changed}
        identities = {file: own_identity(self.new(file)) for file in staged}
        return PendingEdit(staged, identities, tuple(changed))

    def appended(self, append: "Append") -> bytes | None:
        """The content of the file of an append once that is completed; None if it is complete
        already, or another program has written to the file."""
        content = self.current(append.file)
        tail = content[append.size :]
        if len(content) < append.size or not append.was_cut(tail) or append.is_in(tail):
            return None
        return content[: append.size] + append.lines


def own_identity(path: str) -> Identity:
    """The identity of a path, links not followed; ABSENT if it does not exist."""
    try:
        status = os.lstat(path)
    except OSError:
        return ABSENT
    return Identity(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _may_write(uid: int, folder: os.stat_result) -> bool:
    """Whether a user who does not own a folder may replace any of its files, by its mode."""
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
