"""A transaction over several files of the config folder: all of it, or nothing.

It stages every new file in the folder (`.FILE.mailroster-new`), whole and on the disk;
then writes a journal that names them; then renames each over its place, and drops the journal. From
the journal on the edit counts: the next edit finishes it, or takes it back if there is no whole
journal; commands that only read see it as finished (store/recovery.py). A single rename needs no
journal: it is the edit.

What a power cut may lose is whatever was not synced, in any order. So the staged names are synced
before the journal is written, the journal before the first rename, the renames before the journal
is dropped, and its drop before the next transaction may stage a file of the same name. A journal
that was cut short lacks its own checksum, and then nothing has been renamed yet. It has names, not
paths, so it means the same wherever the folder is mounted.

Two kinds of file can't be had by one rename. One behind a symlink that is followed
(store/links.py) is copied beside its place first. One that can't be renamed over (a mount point,
a folder where we may not write, an owner that we can't give) is overwritten in place, always under
the journal and with a copy of what it held (`.FILE.mailroster-old`), by which an overwriting that
was cut short is told from an edit by hand.

Lines at the end of a large file are added in place, under a journal that holds them
(store/append.py).

The entry of an edit in the history (store/history/log.py) is written before the edit counts, and
marked as done behind it; a recovery settles that too.

Others write the files without our lock. A file that no longer holds what we read is never replaced:
before the first rename the edit is made anew, and a crashed one is taken back. Between that look
and the rename remain microseconds, which only a lock that editors take could close.
"""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from mailroster.base.findings import Busy, Conflict, Refused
from mailroster.base.named_tuple import NamedTuple
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import Indexed, appended
from mailroster.roster.plan import FileEdit
from mailroster.roster.roster import Roster
from mailroster.store.links import ConfigFolder, Target
from mailroster.store.recovery import (
    JOURNAL,
    JOURNAL_MAX_BYTES,
    NEW,
    NOTHING,
    OLD,
    Foreign,
    Leftovers,
    Recovery,
    Unreadable,
    Untrusted,
    checksum,
    named,
)
from mailroster.system.files import (
    ABSENT,
    Disk,
    Identity,
    content_of,
    identity,
    identity_of,
    owner_and_mode,
    remedy,
)

if TYPE_CHECKING:
    from mailroster.store.append import Append
    from mailroster.store.history.log import History, Note

#: Mail folders that are about to get another name (servers/mailbox_moves.py).
MOVES = ".mailroster-moves"
#: Our version of a file that somebody wrote while our edit lay half finished after a crash.
UNAPPLIED = ".mailroster-unapplied"

UNCHANGED = "nothing was changed"
_COUNTS = "the edit is committed; the next edit finishes writing it"
_UNDECIDED = "the edit was cut short; the next edit completes it or takes it back"
_READ_ONLY = (
    "the folder is mounted read-only: change it where it comes from, or name a writable folder "
    "with --overlay"
)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
#: Only a person can mend these; anything else may pass.
_REFUSED = (*_NO_RIGHT, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)
_NOT_RENAMED = (*_NO_RIGHT, errno.EBUSY, errno.EXDEV)
#: The last: an owner that this user namespace has no number for.
_NOT_GIVEN = (errno.EPERM, errno.EACCES, errno.EINVAL)


class SetAside(Busy):
    """A file was written by somebody else while an edit lay half finished after a crash."""


class _Debris(NamedTuple):
    """What a transaction left: paths in the folder, and files beside whose links' targets there is
    something."""

    paths: list[str]
    beside: list[str]


class Commit:
    """Transactions in one folder. Whoever calls holds its lock."""

    def __init__(self, config: ConfigFolder, disk: Disk) -> None:
        self.folder = config.path
        self._config, self._disk = config, disk
        self._left = Leftovers(config)
        self._history: History | None = None

    @property
    def history(self) -> "History":
        if self._history is None:
            from mailroster.store.history.log import History  # for edits only

            self._history = History(self._config, self._disk)
        return self._history

    def path(self, file: str) -> str:
        return os.path.join(self.folder, file)

    def put(
        self,
        edits: Sequence[FileEdit],
        found: Mapping[str, Identity],
        note: "Note | None" = None,
        history_bytes: int = 0,
    ) -> Mapping[str, Identity]:
        """Puts new documents in place; which file holds each, by field, ABSENT where that is not
        sure.

        `found` says by field which file the edit was made of; `note` gives its entry in a history
        of that size. Raises Conflict, with nothing done,
        if a file no longer holds what the edit was made of. Busy or Refused, if something fails,
        say whether the edit counts.
        """
        lines = appended(edits[0].after) if len(edits) == 1 else b""
        if lines and len(lines) < JOURNAL_MAX_BYTES // 2:
            from mailroster.store.append import Append  # for large files only

            there = found[edits[0].field]
            append = Append(edits[0].file, there.size, lines)
            written = {edits[0].field: self._append(append, there, note)}
            self._noted(note, history_bytes)
            return written
        files = [edit.file for edit in edits]
        try:
            for edit in edits:
                self._stage(edit)
            self._begin(note)
            if len(files) > 1:
                self._disk.sync_folder(self.folder)
                stamps = {edit.file: _stamp(edit.before, found[edit.field]) for edit in edits}
                self._write_journal(_lines(stamps))
            for edit in edits:
                if not self._holds(edit, found[edit.field]):
                    raise Conflict(edit.file)
            staged = [identity(self._left.new(file)) for file in files]
        except (OSError, Conflict) as error:
            self._take_back(error)
        held = {edit.file: partial(self._holds, edit, found[edit.field]) for edit in edits}
        try:
            theirs = self._install(files, held)
        except Conflict as error:
            self._take_back(error)
        except OSError as error:
            if self._is_not_begun(files[0]):
                self._take_back(error)
            raise Busy(f"{self._words(error)}; {_COUNTS}") from error
        self._noted(note, history_bytes)
        if theirs:
            raise _set_aside(theirs)
        now = [identity(self.path(file)) for file in files]
        return {  # a rename leaves all but the ctime
            edit.field: there if there[:3] == before[:3] else ABSENT
            for edit, before, there in zip(edits, staged, now, strict=True)
        }

    def _begin(self, note: "Note | None") -> None:
        if note is not None:
            self.history.begin(note)

    def _noted(self, note: "Note | None", history_bytes: int) -> None:
        if note is not None:
            self.history.done(history_bytes)

    def _not_noted(self) -> None:
        if self._history is not None:
            self._history.take_back()

    def _holds(self, edit: FileEdit, found: Identity) -> bool:
        """Whether a file still is what an edit was made of."""
        path = self.path(edit.file)
        if isinstance(edit.before, Indexed):
            return identity(path) == found
        return self._config.read(edit.file) == bytes(edit.before)

    def _is_not_begun(self, file: str) -> bool:
        """Whether the first file is not in its place yet, and no journal says that it will be."""
        try:
            return self._left.waits(file) and not self._left.journal()
        except OSError:
            return False  # the next edit looks again

    def _append(self, append: "Append", found: Identity, note: "Note | None") -> Identity:
        """Adds lines to a file in place. Raises as `put` does."""
        with Target(self._config, append.file) as path:
            if not os.access(path, os.W_OK):
                where = self.path(append.file)
                raise self.explained(PermissionError(errno.EACCES, "can't be written", where))
            return self._append_at(path, append, found, note)

    def _append_at(
        self, path: str, append: "Append", found: Identity, note: "Note | None"
    ) -> Identity:
        try:
            if identity(path) != found:
                raise Conflict(append.file)
            self._begin(note)
            self._write_journal(bytes(append))
            flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(path, flags)
            try:
                if identity_of(fd) != found:
                    raise Conflict(append.file)
                self._disk.append(fd, append.lines)
            finally:
                os.close(fd)
        except (OSError, Conflict) as error:
            self._take_back_append(path, append, error)
        there = identity(self.path(append.file))
        try:
            whole = there.size == append.size + len(append.lines)
            behind = append.size if whole else 0  # else somebody has written it at the same time
            lost = there.inode != found.inode or not append.is_in(self._behind(append, behind))
            self._drop_journal()
        except OSError as error:
            raise Busy(f"{self._words(error)}; {_COUNTS}") from error
        if lost:  # somebody has put another file in its place
            self._not_noted()
            raise Conflict(append.file)
        return there if whole else ABSENT

    def _behind(self, append: "Append", size: int) -> bytes:
        """What the file of an append holds from an offset on."""
        with self._config.opened(append.file) as file:
            file.seek(size)
            return file.readall()

    def _take_back_append(self, path: str, append: "Append", error: OSError | Conflict) -> NoReturn:
        try:
            behind = self._behind(append, append.size)
            if behind and append.was_cut(behind):
                self._disk.patch(path, (), (), append.size, sync=True)
        except OSError as another:
            raise Busy(f"{self._words(another)}; {_UNDECIDED}") from another
        self._take_back(error)

    def _finish_append(self, append: "Append") -> None:
        """Completes one that a crash has cut short; what somebody else has written stays."""
        if self._left.appended(append) is None:
            return
        size = append.size + len(append.lines)
        with Target(self._config, append.file) as path:
            self._disk.patch(path, (), [(append.size, append.lines)], size, sync=True)

    def _stage(self, edit: FileEdit) -> None:
        """Writes the new file. Refused here is what could not be put in its place later."""
        new, owner = self._left.new(edit.file), None
        with Target(self._config, edit.file) as target:
            place = target
            try:
                owner, mode = owner_and_mode(target)
            except FileNotFoundError:
                place = os.path.dirname(target)
                mode = 0o600 if getattr(Roster(), edit.field).format.secret else 0o640
            if not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, "can't be written", place)
        try:
            self._disk.create(new, content_of(edit.after), mode, owner)
        except OSError as error:
            if owner is None or error.errno not in _NOT_GIVEN:
                raise
            self._remove_if_there(new)
            self._disk.create(new, content_of(edit.after), 0o600, None)

    def _install(
        self, files: Sequence[str], held: Mapping[str, Callable[[], bool]] | None = None
    ) -> list[str]:
        """Puts staged files in their places; gives those that somebody else has written meanwhile.

        The edit counts: safe to repeat, never taken back. `held` tells of a file whether it still
        is what the edit was made of, at the last moment. Raises Conflict if the first one isn't:
        nothing of the edit is in its place then.
        """
        theirs = []
        for number, file in enumerate(files):
            still = held[file] if held else _untouched
            try:
                self._place(file, still)
            except Conflict:
                if not number:
                    raise
                self._set_aside(file)
                theirs.append(file)
        self._disk.sync_folder(self.folder)
        self._drop_journal()
        return theirs

    def _set_aside(self, file: str) -> None:
        self._disk.rename(self._left.new(file), self.path(file) + UNAPPLIED)

    def _place(self, file: str, still: Callable[[], bool]) -> None:
        with Target(self._config, file) as target:
            try:
                renamed = self._rename(file, target, still)
            except OSError as error:
                if error.errno not in _NOT_RENAMED:
                    raise
                renamed = False
            if not renamed and self._left.waits(file):
                self._overwrite(file, target, still)
        self._remove_if_there(self._left.new(file))

    def _rename(self, file: str, target: str, still: Callable[[], bool]) -> bool:
        """By a rename; False if that would change the owner or the mode."""
        new = self._left.new(file)
        if os.path.lexists(target) and owner_and_mode(target) != owner_and_mode(new):
            return False
        if target == self.path(file):
            _look(file, still)
            self._disk.rename(new, target)
            return True
        beside = _beside(target)
        owner, mode = owner_and_mode(new)
        content = self._staged(file)  # first: it may be a link to what is removed now
        self._remove_if_there(beside)
        try:
            self._disk.create(beside, content, mode, owner)
            _look(file, still)
            self._disk.rename(beside, target)
            self._disk.sync_folder(os.path.dirname(target))
        finally:
            self._remove_if_there(beside)
        self._disk.remove(new)
        return True

    def _overwrite(self, file: str, target: str, still: Callable[[], bool]) -> None:
        """In place. The copy of the old bytes is made once, not from what a crash left of them."""
        new, old = self._left.new(file), self._left.old(file)
        if not self._left.is_cut(file):
            held = self._config.read(file)
            if not self._journal_stands():
                self._disk.sync_folder(self.folder)
                self._write_journal(_lines({file: checksum(held)}))
            self._remove_if_there(old)
            self._disk.create(old, held, 0o600, None)
            self._disk.sync_folder(self.folder)
            _look(file, still)
        self._disk.overwrite(target, self._staged(file))
        self._disk.remove(new)
        self._disk.remove(old)

    def _staged(self, file: str) -> bytes:
        """Raises FileNotFoundError if there is none."""
        content = self._left.staged(file)
        if content is None:
            path = self._left.new(file)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return content

    # -- the journal

    def _write_journal(self, content: bytes) -> None:
        end = f"{checksum(content)} {JOURNAL}\n".encode()
        self._disk.create(self.path(JOURNAL), content + end, 0o600, None)
        self._disk.sync_folder(self.folder)

    def _drop_journal(self) -> None:
        if self._journal_stands():
            self._disk.remove(self.path(JOURNAL))
            self._disk.sync_folder(self.folder)

    def _journal_stands(self) -> bool:
        return os.path.lexists(self.path(JOURNAL))

    # -- after a crash

    def pending(self) -> Recovery:
        """What `recover` would complete, for commands that only read. Costs one look at the folder
        if nothing was left. Raises Busy for an edit that we may not read."""
        if not self._journal_stands():
            return NOTHING._replace(seen={self.path(JOURNAL): ABSENT})
        try:
            return self._left.recovery()
        except Untrusted:
            return NOTHING
        except OSError as error:
            raise self._cut_short(error) from error

    def content(self, file: str, pending: Recovery) -> bytes:
        """What a file will hold then. Raises OSError."""
        if file in pending.staged:
            return pending.staged[file]
        if pending.append is not None and pending.append.file == file:
            content = self._left.appended(pending.append)
            if content is not None:
                return content
        return self._config.read(file)

    def is_left(self) -> bool:
        """Whether an edit is under way, or was cut short: its journal stands, or staged files."""
        return any(self._debris())

    def recover(self) -> None:
        """Finishes or takes back what a crash left. Costs one listing of the folder if it left
        nothing.

        Refused if another user left it who may not write the folder.
        """
        if not any(self._debris()):
            return
        try:
            unapplied = self._finish()
            self._sweep()
            self.history.settle()
        except Foreign as error:
            raise Refused(
                f"{self._words(error)}, who may not write {self.folder}; look at the files "
                f"{self.folder}/.*mailroster-*, and remove them"
            ) from error
        except IsADirectoryError as error:
            raise Refused(f"{self._words(error)}, where a file should be; remove it") from error
        except OSError as error:
            if error.errno in _NO_RIGHT and not self._journal_stands():
                return  # only leftovers: what there is to read is right
            raise self._cut_short(error) from error
        if unapplied:
            raise _set_aside(unapplied)

    def _cut_short(self, error: OSError) -> Busy:
        return Busy(
            f"{self._words(error)}; an edit of {self.folder} was cut short: the next edit of a "
            "user who may write there completes it"
        )

    def _finish(self) -> Sequence[str]:
        """Completes what the journal names; gives the files that somebody else wrote meanwhile."""
        if not self._journal_stands():
            return ()
        try:
            recovery = self._left.recovery()
        except (Foreign, Unreadable):
            raise
        except Untrusted:
            return ()  # nobody of us wrote it: it is swept away
        if recovery.append:
            self._finish_append(recovery.append)
        for file in recovery.set_aside:
            self._set_aside(file)
        if recovery.staged or recovery.set_aside:
            self._install(list(recovery.staged))
        return recovery.set_aside

    def _take_back(self, error: OSError | Conflict) -> NoReturn:
        """Undoes a transaction of which nothing is in its place yet, and raises why."""
        try:
            self._sweep()
        except OSError as another:
            if self._journal_stands():
                raise Busy(f"{self._words(another)}; {_UNDECIDED}") from another
        self._not_noted()
        if isinstance(error, OSError):
            raise self.explained(error) from error
        raise error

    def _sweep(self) -> None:
        self._drop_journal()
        left = self._debris()
        for path in left.paths:
            self._disk.remove(path)
        for file in left.beside:
            with Target(self._config, file) as target:
                self._remove_if_there(_beside(target))

    def _debris(self) -> "_Debris":
        """What a transaction left here, and beside the files that links lead to."""
        files = {document.format.file for _, document in Roster().documents()}
        paths, links = [], []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name in files:
                    links += [entry.name] if entry.is_symlink() else []
                elif entry.name[0] == "." and entry.name.endswith((NEW, OLD, JOURNAL)):
                    paths.append(entry.path)
        return _Debris(paths, [file for file in links if self._is_beside(file)])

    def _is_beside(self, file: str) -> bool:
        """Whether something that was staged beside the target of a link is there still."""
        try:
            with Target(self._config, file) as target:
                return os.path.lexists(_beside(target))
        except OSError:
            return False  # a link that is not followed

    # -- names and words

    def _remove_if_there(self, path: str) -> None:
        if os.path.lexists(path):
            self._disk.remove(path)

    def _words(self, error: OSError) -> str:
        return f"{error.filename or self.folder}: {error.strerror}"

    def _is_read_only(self) -> bool:
        """Whether the folder is mounted so that nobody can write it."""
        try:
            return bool(os.statvfs(self.folder).f_flag & os.ST_RDONLY)
        except OSError:
            return False

    def explained(self, error: OSError) -> Exception:
        """Refused for what only a person can mend, Busy for what may pass."""
        fault = Refused if error.errno in _REFUSED else Busy
        read_only = error.errno in _NO_RIGHT and self._is_read_only()
        mend = f"; {_READ_ONLY}" if read_only else remedy(error)
        return fault(f"{self._words(error)}; {UNCHANGED}{mend}")


def _untouched() -> bool:
    """Somebody has looked already."""
    return True


def _look(file: str, still: Callable[[], bool]) -> None:
    if not still():
        raise Conflict(file)


def _set_aside(files: Sequence[str]) -> SetAside:
    return SetAside(
        f"{', '.join(files)}: written by somebody while an edit of ours lay there half finished; "
        f"that stays, and ours is kept as *{UNAPPLIED}: compare them, and run the command again"
    )


def _beside(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}{NEW}")


def _lines(stamps: Mapping[str, str]) -> bytes:
    return "".join(f"{stamp} {file}\n" for file, stamp in stamps.items()).encode()


def _stamp(document: Document[object], found: Identity) -> str:
    """What tells a file from another version of it: a checksum, or for a large one which file it
    is."""
    return named(found) if isinstance(document, Indexed) else checksum(bytes(document))
