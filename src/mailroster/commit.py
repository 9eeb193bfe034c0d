"""A transaction over several files of the config folder: all of it, or nothing.

It stages every new file in the folder (`.FILE.mailroster-new`), whole and on the disk;
then writes a journal that names them; then renames each over its place, and drops the journal. From
the journal on the edit counts: who opens the folder next finishes it, or takes it back if there is
no whole journal. A single rename needs no journal: it is the edit.

What a power cut may lose is whatever was not synced, in any order. So the staged names are synced
before the journal is written, the journal before the first rename, the renames before the journal
is dropped, and its drop before the next transaction may stage a file of the same name. A journal
that was cut short lacks its own checksum, and then nothing has been renamed yet. It has names, not
paths, so it means the same wherever the folder is mounted.

Two kinds of file can't be had by one rename. One behind a symlink is copied beside its place first.
One that can't be renamed over (a mount point, a folder where we may not write, an owner that we
can't give) is overwritten in place, always under the journal and with a copy of what it held
(`.FILE.mailroster-old`), by which an overwriting that was cut short is told from an edit by hand.

Lines at the end of a large file are added in place, under a journal that holds them (append.py).

The entry of an edit in the history (history.py) is written before the edit counts, and marked as
done behind it; who mends what a crash left mends that too.

Others write the files without our lock. A file that no longer holds what we read is never replaced:
before the first rename the edit is made anew, and a crashed one is taken back. Between that look
and the rename remain microseconds, which only a lock that editors take could close.
"""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, NoReturn

from mailroster.disk import (
    ABSENT,
    Disk,
    Identity,
    content_of,
    identity,
    identity_of,
    opened,
    owner_and_mode,
    read,
)
from mailroster.document import Document
from mailroster.finding import Busy, Conflict, Refused
from mailroster.indexed import Indexed, appended
from mailroster.plan import FileEdit
from mailroster.roster import Roster

if TYPE_CHECKING:
    from mailroster.append import Append
    from mailroster.history import History, Note

JOURNAL = ".mailroster-journal"
#: Mail folders that are about to get another name (moving.py).
MOVES = ".mailroster-moves"
NEW = ".mailroster-new"
OLD = ".mailroster-old"
#: Our version of a file that somebody wrote while our edit lay half finished after a crash.
UNAPPLIED = ".mailroster-unapplied"

UNCHANGED = "nothing was changed"
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


class Commit:
    """Transactions in one folder. Whoever calls holds its lock."""

    def __init__(self, folder: str, disk: Disk) -> None:
        self.folder = folder
        self._disk = disk
        self._history: History | None = None

    @property
    def history(self) -> "History":
        if self._history is None:
            from mailroster.history import History  # for edits only

            self._history = History(self.folder, self._disk)
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
        if len(edits) == 1 and (lines := appended(edits[0].after)):
            from mailroster.append import Append  # for large files only

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
            staged = [identity(self._new(file)) for file in files]
        except (OSError, Conflict) as error:
            self._take_back(error)
        held = {edit.file: partial(self._holds, edit, found[edit.field]) for edit in edits}
        try:
            theirs = self._install(files, held)
        except Conflict as error:
            self._take_back(error)
        except OSError as error:
            if self._waits(files[0]) and not self._read_journal():
                self._take_back(error)
            raise Busy(
                f"{self._words(error)}; the edit counts, any command completes it"
            ) from error
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
        return read(path) == bytes(edit.before)

    def _append(self, append: "Append", found: Identity, note: "Note | None") -> Identity:
        """Adds lines to a file in place. Raises as `put` does."""
        path = self.path(append.file)
        if not os.access(path, os.W_OK):
            raise self.explained(PermissionError(errno.EACCES, "can't be written", path))
        try:
            if identity(path) != found:
                raise Conflict(append.file)
            self._begin(note)
            self._write_journal(bytes(append))
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                if identity_of(fd) != found:
                    raise Conflict(append.file)
                self._disk.append(fd, append.lines)
            finally:
                os.close(fd)
        except (OSError, Conflict) as error:
            self._take_back_append(append, error)
        there = identity(path)
        try:
            whole = there.size == append.size + len(append.lines)
            behind = append.size if whole else 0  # else somebody has written it at the same time
            lost = there.inode != found.inode or not append.is_in(_behind(path, behind))
            self._drop_journal()
        except OSError as error:
            raise Busy(f"{self._words(error)}; the edit counts") from error
        if lost:  # somebody has put another file in its place
            self._not_noted()
            raise Conflict(append.file)
        return there if whole else ABSENT

    def _take_back_append(self, append: "Append", error: OSError | Conflict) -> NoReturn:
        path = self.path(append.file)
        try:
            behind = _behind(path, append.size)
            if behind and append.was_cut(behind):
                self._disk.patch(path, (), (), append.size, sync=True)
        except OSError as another:
            words = f"{self._words(another)}; any command completes the edit, or takes it back"
            raise Busy(words) from another
        self._take_back(error)

    def _finish_append(self, append: "Append") -> None:
        """Completes one that a crash has cut short; what somebody else has written stays."""
        path = self.path(append.file)
        if identity(path).size < append.size:
            return
        behind = _behind(path, append.size)
        if append.was_cut(behind) and not append.is_in(behind):
            size = append.size + len(append.lines)
            self._disk.patch(path, (), [(append.size, append.lines)], size, sync=True)

    def _stage(self, edit: FileEdit) -> None:
        """Writes the new file. Refused here is what could not be put in its place later."""
        new, target = self._new(edit.file), os.path.realpath(self.path(edit.file))
        place, owner = target, None
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
                self._disk.rename(self._new(file), self.path(file) + UNAPPLIED)
                theirs.append(file)
        self._disk.sync_folder(self.folder)
        self._drop_journal()
        return theirs

    def _place(self, file: str, still: Callable[[], bool]) -> None:
        try:
            renamed = self._rename(file, still)
        except OSError as error:
            if error.errno not in _NOT_RENAMED:
                raise
            renamed = False
        if not renamed and self._waits(file):
            self._overwrite(file, still)
        self._remove_if_there(self._new(file))

    def _rename(self, file: str, still: Callable[[], bool]) -> bool:
        """By a rename; False if that would change the owner or the mode."""
        new, path = self._new(file), self.path(file)
        if os.path.exists(path) and owner_and_mode(path) != owner_and_mode(new):
            return False
        if not os.path.islink(path):
            _look(file, still)
            self._disk.rename(new, path)
            return True
        target = os.path.realpath(path)
        beside = _beside(target)
        owner, mode = owner_and_mode(new)
        content = read(new)  # first: it may be a link to what is removed now
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

    def _overwrite(self, file: str, still: Callable[[], bool]) -> None:
        """In place. The copy of the old bytes is made once, not from what a crash left of them."""
        new, old, path = self._new(file), self._old(file), self.path(file)
        if not self._is_cut(file):
            held = read(path)
            if not self._journal_stands():
                self._disk.sync_folder(self.folder)
                self._write_journal(_lines({file: _checksum(held)}))
            self._remove_if_there(old)
            self._disk.create(old, held, 0o600, None)
            self._disk.sync_folder(self.folder)
            _look(file, still)
        self._disk.overwrite(path, read(new))
        self._disk.remove(new)
        self._disk.remove(old)

    # -- the journal: "STAMP FILE" for each file, as it was before; then a checksum of the journal

    def _write_journal(self, content: bytes) -> None:
        end = f"{_checksum(content)} {JOURNAL}\n".encode()
        self._disk.create(self.path(JOURNAL), content + end, 0o600, None)
        self._disk.sync_folder(self.folder)

    def _read_journal(self) -> bytes:
        """What it says, without its checksum; nothing if it is not whole."""
        whole = read(self.path(JOURNAL))
        end = len(f"{_checksum(b'')} {JOURNAL}\n")
        content = whole[:-end]
        return content if whole[-end:] == f"{_checksum(content)} {JOURNAL}\n".encode() else b""

    def _bears(self, file: str, stamp: str) -> bool:
        """Whether a file is still the one with a stamp."""
        path = self.path(file)
        return stamp == (_named(identity(path)) if "-" in stamp else _checksum(read(path)))

    def _drop_journal(self) -> None:
        if self._journal_stands():
            self._disk.remove(self.path(JOURNAL))
            self._disk.sync_folder(self.folder)

    def _journal_stands(self) -> bool:
        return os.path.lexists(self.path(JOURNAL))

    # -- after a crash

    def recover(self) -> None:
        """Finishes or takes back what a crash left. Costs one listing of the folder if it left
        nothing."""
        if not self._debris():
            return
        try:
            unapplied = self._finish()
            self._sweep()
            self.history.settle()
        except OSError as error:
            if error.errno in _NO_RIGHT and not self._journal_stands():
                return  # only leftovers: what there is to read is right
            raise Busy(
                f"{self._words(error)}; {self.folder} holds an edit that was cut short: any "
                "command of somebody who may write there completes it"
            ) from error
        if unapplied:
            raise _set_aside(unapplied)

    def _finish(self) -> list[str]:
        """Completes what the journal names; gives the files that somebody else wrote meanwhile."""
        from mailroster.append import Append

        journal = self._read_journal()
        if append := Append.of(journal):
            if append.file in {document.format.file for document in Roster()}:
                self._finish_append(append)
            return []
        named = [line.split() for line in journal.decode("ascii", "replace").splitlines()]
        # A line that is not ours, under a checksum that is right, is of another version of us.
        held = {words[1]: words[0] for words in named if len(words) == 2}
        waiting = [file for file in held if self._waits(file)]
        cut = [file for file in waiting if self._is_cut(file)]
        theirs = [file for file in waiting if file not in cut and not self._bears(file, held[file])]
        if theirs and waiting == list(held) and not cut:
            return []  # nothing of it is in its place, and nobody was told that it would be
        for file in theirs:
            self._disk.rename(self._new(file), self.path(file) + UNAPPLIED)
        self._install([file for file in waiting if file not in theirs])
        return theirs

    def _waits(self, file: str) -> bool:
        """Whether a staged file is not in its place yet."""
        new = self._new(file)
        return os.path.lexists(new) and read(new) != read(self.path(file))

    def _is_cut(self, file: str) -> bool:
        """Whether a file holds what an overwriting leaves that was cut short: from each place on
        the old bytes, the new ones, or (after a power cut) zeros."""
        old_path = self._old(file)
        if not os.path.lexists(old_path):
            return False
        old, new, found = read(old_path), read(self._new(file)), read(self.path(file))
        return len(found) >= min(len(old), len(new)) and all(
            byte in (before, after, 0)
            for byte, before, after in zip_longest(found, old, new, fillvalue=0)
        )

    def _take_back(self, error: OSError | Conflict) -> NoReturn:
        """Undoes a transaction of which nothing is in its place yet, and raises why."""
        try:
            self._sweep()
        except OSError as another:
            if self._journal_stands():
                words = f"{self._words(another)}; any command completes the edit, or takes it back"
                raise Busy(words) from another
        self._not_noted()
        if isinstance(error, OSError):
            raise self.explained(error) from error
        raise error

    def _sweep(self) -> None:
        self._drop_journal()
        for path in self._debris():
            self._disk.remove(path)

    def _debris(self) -> list[str]:
        """What a transaction left here, and beside the files that links lead to."""
        files = {document.format.file for _, document in Roster().documents()}
        debris = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name in files:
                    if entry.is_symlink():
                        beside = _beside(os.path.realpath(entry.path))
                        debris += [beside] if os.path.lexists(beside) else []
                elif entry.name[0] == "." and entry.name.endswith((NEW, OLD, JOURNAL)):
                    debris.append(entry.path)
        return debris

    # -- names and words

    def _new(self, file: str) -> str:
        return self.path(f".{file}{NEW}")

    def _old(self, file: str) -> str:
        return self.path(f".{file}{OLD}")

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
        mend = f"; {_READ_ONLY}" if error.errno in _NO_RIGHT and self._is_read_only() else ""
        return fault(f"{self._words(error)}; {UNCHANGED}{mend}")


def _untouched() -> bool:
    """Somebody has looked already."""
    return True


def _look(file: str, still: Callable[[], bool]) -> None:
    if not still():
        raise Conflict(file)


def _set_aside(files: Sequence[str]) -> Busy:
    return Busy(
        f"{', '.join(files)}: written by somebody while an edit of ours lay there half finished; "
        f"that stays, and ours is kept as *{UNAPPLIED}: compare them, and run the command again"
    )


def _beside(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}{NEW}")


def _behind(path: str, size: int) -> bytes:
    """What a file holds from an offset on."""
    with opened(path) as file:
        file.seek(size)
        return file.readall()


def _lines(stamps: Mapping[str, str]) -> bytes:
    return "".join(f"{stamp} {file}\n" for file, stamp in stamps.items()).encode()


def _stamp(document: Document[object], found: Identity) -> str:
    """What tells a file from another version of it: a checksum, or for a large one which file it
    is."""
    return _named(found) if isinstance(document, Indexed) else _checksum(bytes(document))


def _named(found: Identity) -> str:
    return "-".join(map(str, found))


def _checksum(content: bytes) -> str:
    from zlib import crc32  # not for edits of one file

    return f"{crc32(content):08x}"
