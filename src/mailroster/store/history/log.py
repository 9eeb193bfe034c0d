"""The history of a config folder: `.mailroster-history`, an entry for each change.

An entry is written, and on the disk, before its change counts, and marked as done behind it. Who
finds the last one without that mark looks into the files whether the change was made, and marks it
or takes it out: so of a change that was cut short the entry is neither lost nor there twice.

History is never in the way of a change: what can't be written is told, and missing in it.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from io import FileIO
from typing import TYPE_CHECKING

from mailroster.roster.roster import Roster
from mailroster.store.links import ConfigFolder
from mailroster.system.files import Disk, owner_and_mode

if TYPE_CHECKING:
    from mailroster.store.history.entry import Entry, FileChange

HISTORY = ".mailroster-history"
_HEAD = b"# What was changed here; see 'setup log'. It holds hashes of passwords.\n"
_START = b"\nchange "
_CHUNK_BYTES = 1 << 16
_TAIL_BYTES = 64

#: Gives the text of an entry by its number.
Note = Callable[[int], bytes]
#: Gives what a file of the folder holds. Raises OSError.
Content = Callable[[str], bytes]


class History:
    """The history of one folder. Whoever calls what writes holds the folder's lock."""

    def __init__(self, config: ConfigFolder, disk: Disk) -> None:
        self._config, self._disk = config, disk
        self._path = config.path_of(HISTORY)
        self._fd, self._began, self._number = -1, 0, 0
        self.fault = ""  # why the last change is not in it

    # -- a change: begin, and then done or take_back

    def begin(self, note: Note | None) -> None:
        """Writes the entry of a change that is about to count."""
        self.fault = ""
        self._close()
        if note is None:
            return
        try:
            self._fd = self._open()
            self._began = os.fstat(self._fd).st_size
            self._began, self._number = self._settled(self._fd)
            self._disk.append(self._fd, note(self._number))
        except OSError as error:
            self.fault = f"{self._path}: {error.strerror or error}"
            self.take_back()

    def done(self, limit: int) -> None:
        """The change was made. Drops the older half of a history that has grown beyond a limit."""
        if self._fd < 0:
            return
        try:
            self._disk.write(self._fd, _mark(self._number))
            size = os.fstat(self._fd).st_size
        except OSError:
            return  # who comes next will see that it was made
        finally:
            self._close()
        if size > limit:
            self._halve(limit // 2)

    def take_back(self) -> None:
        """The change was not made."""
        if self._fd < 0:
            return
        try:
            if os.fstat(self._fd).st_size > self._began:
                self._disk.patch(self._path, (), (), self._began)
        except OSError:
            pass  # who comes next will see that it was not made
        finally:
            self._close()

    def put(self, note: Note, limit: int) -> None:
        """An entry of what has happened already."""
        self.begin(lambda number: note(number) + _mark(number))
        if self._fd >= 0:
            size = os.fstat(self._fd).st_size
            self._close()
            if size > limit:
                self._halve(limit // 2)

    def settle(self) -> None:
        """Marks the last entry as done, or takes it out, if a crash has left that open.

        Opens the file for writing only then: to close it would wake who watches the folder.
        """
        try:
            if not self.is_settled():
                self._fd = self._open()
                self._settled(self._fd)
        except OSError:
            pass  # the next one that may write
        finally:
            self._close()

    def is_settled(self) -> bool:
        """Whether the last entry is marked as done, or there is none. Raises OSError."""
        try:
            with self._opened() as file:
                fd, size = file.fileno(), os.fstat(file.fileno()).st_size
                is_marked = _last_number(fd, size) is not None
                return is_marked or next(_backwards(fd, size), None) is None
        except FileNotFoundError:
            return True

    def _opened(self) -> FileIO:
        """For reading. Never follows a link. Raises OSError."""
        if os.path.islink(self._path):
            raise OSError(errno.ELOOP, "is a link; put a file there, or remove it", self._path)
        return self._config.opened(HISTORY)

    def _open(self) -> int:
        """For appending; made, and closed to others, if need be. Never follows a link."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self._path, flags, 0o600)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise OSError(0, "not a regular file with one name")
            if status.st_mode & 0o077:
                os.fchmod(fd, 0o600)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # -- what stands at the end

    def _settled(self, fd: int) -> tuple[int, int]:
        """Where the next entry begins, and its number, once the last one is marked as done or
        taken out."""
        size = os.fstat(fd).st_size
        last = _last_number(fd, size)
        if last is not None:
            return size, last + 1
        if not size:
            self._disk.write(fd, _HEAD)
            return len(_HEAD), 1
        return self._mended(fd, size)

    def _mended(self, fd: int, size: int) -> tuple[int, int]:
        from mailroster.store.history.entry import parse

        last = 0
        for start, raw in _backwards(fd, size):
            entry = parse(raw)
            if entry is None or not self._counts(entry, self._config.read):
                if not last:
                    self._disk.patch(self._path, (), (), start)
                    size = start
                if entry is not None:
                    last = max(last, entry.id - 1)
                continue
            if not entry.done:  # a part of the mark may stand there
                end = f"\nend {entry.id}\n".encode()
                size = start + raw.index(end) + len(end)
                self._disk.patch(self._path, (), (), size)
                self._disk.write(fd, _mark(entry.id))
            last = max(last, entry.id)
            break
        size = os.fstat(fd).st_size
        torn = os.pread(fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES)).rpartition(b"\n")[2]
        if torn and _START[1:].startswith(torn):  # the first word of an entry, or a part of it
            size -= len(torn)
            self._disk.patch(self._path, (), (), size)
        elif torn:
            self._disk.write(fd, b"\n")
            size += 1
        return size, last + 1

    def _counts(self, entry: "Entry", content: Content) -> bool:
        return entry.done or (entry.whole and _was_made(entry, content))

    def _halve(self, wanted: int) -> None:
        """Drops entries, so that the newest ones remain that fit into some bytes."""
        new = f"{self._path}.mailroster-new"
        try:
            content = self.text()
            place = content.find(_START, len(content) - wanted)
            if place < 0:
                place = content.rfind(_START)
            owner, mode = owner_and_mode(self._path)
            self._disk.create(new, _HEAD + content[place + 1 :], mode, owner)
            self._disk.rename(new, self._path)
        except OSError:  # it is only too large
            if os.path.lexists(new):
                try:
                    self._disk.remove(new)
                except OSError:
                    pass

    # -- reading

    def newest_first(self, content: Content) -> "Iterator[Entry]":
        """The changes that were made; by `content` also the last one, if a crash has left it
        without its mark. Raises OSError."""
        from mailroster.store.history.entry import parse

        try:
            file = self._opened()
        except FileNotFoundError:
            return
        with file:
            last = True
            for _, raw in _backwards(file.fileno(), os.fstat(file.fileno()).st_size):
                entry = parse(raw)
                if entry is not None and (self._counts(entry, content) if last else entry.done):
                    last = False
                    yield entry._replace(done=True)

    def text(self) -> bytes:
        """All of it. Raises OSError."""
        try:
            with self._opened() as file:
                return file.readall()
        except FileNotFoundError:
            return b""


# -- whether a change that was cut short counts, by what the files hold


def _was_made(entry: "Entry", content: Content) -> bool:
    """All of its files are old or all are new, but for what somebody has saved since."""
    ours = {document.format.file for document in Roster()}
    changes = [change for change in entry.files if change.file in ours]
    try:
        held = {change.file: content(change.file) for change in changes}
    except OSError:
        return False
    states = [_stands(change, held[change.file]) for change in changes]
    if True in states or False in states:
        return True in states
    return any(_shows(change, held[change.file]) for change in changes)


def _stands(change: "FileChange", content: bytes) -> bool | None:
    """Whether a file is the new one, or the old one (False); None for neither."""
    shift, old, new = 0, len(content) == change.old_size, len(content) == change.new_size
    for hunk in change.hunks:
        start = hunk.offset - shift
        old = old and content[start : start + len(hunk.removed)] == hunk.removed
        new = new and content[hunk.offset : hunk.offset + len(hunk.added)] == hunk.added
        shift += len(hunk.added) - len(hunk.removed)
    return new if new != old else None


def _shows(change: "FileChange", content: bytes) -> bool:
    """Whether the lines that were added stand in a file, or none of those that were removed."""
    lines = set(content.split(b"\n"))
    added = {line for hunk in change.hunks for line in hunk.added.split(b"\n") if line}
    removed = {line for hunk in change.hunks for line in hunk.removed.split(b"\n") if line}
    return added <= lines if added else lines.isdisjoint(removed)


def user_name(uid: int) -> str:
    """The name of a user; "" if there is none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _last_number(fd: int, size: int) -> int | None:
    """The number of the last entry, if that is marked as done."""
    tail = os.pread(fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    word, _, number = tail[tail.rfind(b"\n", 0, -1) + 1 :].partition(b" ")
    is_mark = word == b"done" and number.endswith(b"\n") and number[:-1].isdigit()
    return int(number) if is_mark else None


def _mark(number: int) -> bytes:
    return f"done {number}\n".encode()


def _backwards(fd: int, size: int) -> Iterator[tuple[int, bytes]]:
    """The text of each entry with its offset, from the end, a part of the file in memory."""
    raw, start = b"", size
    while start > 0:
        end, start = start, max(0, start - _CHUNK_BYTES)
        raw = os.pread(fd, end - start, start) + raw
        while (place := raw.rfind(_START)) >= 0:
            yield start + place + 1, raw[place + 1 :]
            raw = raw[: place + 1]
    if raw.startswith(_START[1:]):
        yield 0, raw
