"""The history of a config folder: `.mailroster-history`, an entry for each change.

An entry is written and synced before its change is committed, and marked as done afterwards. If a
crash prevents the mark, the next writer checks in the files whether the change was made, and marks
or removes the entry: so it is neither lost nor repeated.

The history never prevents a change: an entry that can't be written is reported and missing.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from io import FileIO
from typing import TYPE_CHECKING

from mailroster.store.links import ConfigFolder
from mailroster.system.files import Disk, owner_and_mode

if TYPE_CHECKING:
    from mailroster.store.history.entry import HistoryEntry
    from mailroster.store.history.evidence import Content

HISTORY = ".mailroster-history"
_HEAD = b"# What was changed here; see 'setup log'. It holds hashes of passwords.\n"
_START = b"\nchange "
_CHUNK_BYTES = 1 << 16
_TAIL_BYTES = 64

#: Renders an entry that gets this number.
EntryRenderer = Callable[[int], bytes]


class History:
    """The history of one folder. The caller of a method that writes holds the folder's lock."""

    def __init__(self, config: ConfigFolder, disk: Disk) -> None:
        self._config, self._disk = config, disk
        self._path = config.path_of(HISTORY)
        self._fd, self._start, self._number = -1, 0, 0  # of the entry that was begun
        self.fault = ""  # why the last change has no entry

    # -- the entry of a change: begin, then finish or withdraw

    def begin(self, render: EntryRenderer) -> None:
        """Writes the entry of a change that is about to be committed."""
        self.fault = ""
        self._close()
        try:
            self._fd = _open_for_appending(self._path)
            self._start = os.fstat(self._fd).st_size
            self._start, self._number = self._complete_last(self._fd)
            self._disk.append(self._fd, render(self._number))
        except OSError as error:
            self.fault = f"{self._path}: {error.strerror or error}"
            self.withdraw()

    def finish(self, limit: int) -> None:
        """Marks the entry as done: the change was made. Drops the older half of a history that is
        larger than a limit."""
        if self._fd < 0:
            return
        try:
            self._disk.write(self._fd, _mark(self._number))
        except OSError:
            self._close()  # the next writer marks it
            return
        self._close_within(limit)

    def withdraw(self) -> None:
        """Removes the entry: the change was not made."""
        if self._fd < 0:
            return
        try:
            if os.fstat(self._fd).st_size > self._start:
                self._disk.patch(self._path, (), (), self._start)
        except OSError:
            pass  # the next writer removes it
        finally:
            self._close()

    def add(self, render: EntryRenderer, limit: int) -> None:
        """Adds the entry of a change that was made already."""
        self.begin(lambda number: render(number) + _mark(number))
        if self._fd >= 0:
            self._close_within(limit)

    def recover(self) -> None:
        """Marks the last entry as done, or removes it, if a crash has prevented that.

        Opens the file for writing only then, since closing it would wake all who watch the folder.
        """
        try:
            if not self.is_complete():
                self._fd = _open_for_appending(self._path)
                self._complete_last(self._fd)
        except OSError:
            pass  # left to the next writer
        finally:
            self._close()

    def is_complete(self) -> bool:
        """Whether the last entry is marked as done, or there is none. Raises OSError."""
        try:
            with self._opened() as file:
                fd, size = file.fileno(), os.fstat(file.fileno()).st_size
                is_marked = _last_number(fd, size) is not None
                return is_marked or next(_backwards(fd, size), None) is None
        except FileNotFoundError:
            return True

    def _opened(self) -> FileIO:
        """Opens the file for reading. Raises OSError, also for a link."""
        if os.path.islink(self._path):
            raise OSError(errno.ELOOP, "is a link; put a file there, or remove it", self._path)
        return self._config.opened(HISTORY)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _close_within(self, limit: int) -> None:
        """Closes the file; drops its older half if it is larger than a limit."""
        size = os.fstat(self._fd).st_size
        self._close()
        if size > limit:
            self._drop_oldest(limit // 2)

    # -- the end of the file

    def _complete_last(self, fd: int) -> tuple[int, int]:
        """Marks the last entry as done or removes it, if a crash has prevented that. Returns the
        offset and the number of the next entry."""
        size = os.fstat(fd).st_size
        last = _last_number(fd, size)
        if last is not None:
            return size, last + 1
        if not size:
            self._disk.write(fd, _HEAD)
            return len(_HEAD), 1
        last = self._repair_entries(fd, size)
        return _repair_last_line(fd, self._path, self._disk), last + 1

    def _repair_entries(self, fd: int, size: int) -> int:
        """Removes entries at the end that can't be read, or whose change was not made; marks the
        last one as done. Returns its number, 0 if there is none."""
        from mailroster.store.history.entry import parse

        last = 0
        for start, raw in _backwards(fd, size):
            entry = parse(raw)
            if entry is None or not _is_made(entry, self._config.read):
                if not last:
                    self._disk.patch(self._path, (), (), start)
                if entry is not None:
                    last = max(last, entry.id - 1)
                continue
            if not entry.done:  # but it may have a part of the mark
                end = f"\nend {entry.id}\n".encode()
                self._disk.patch(self._path, (), (), start + raw.index(end) + len(end))
                self._disk.write(fd, _mark(entry.id))
            return max(last, entry.id)
        return last

    def _drop_oldest(self, size: int) -> None:
        """Drops old entries; the newest ones that fit into `size` bytes remain."""
        new = f"{self._path}.mailroster-new"
        try:
            content = self.text()
            position = content.find(_START, len(content) - size)
            if position < 0:
                position = content.rfind(_START)
            owner, mode = owner_and_mode(self._path)
            self._disk.create(new, _HEAD + content[position + 1 :], mode, owner)
            self._disk.rename(new, self._path)
        except OSError:  # it only stays too large
            if os.path.lexists(new):
                try:
                    self._disk.remove(new)
                except OSError:
                    pass

    # -- reading

    def newest_first(self, content: "Content") -> "Iterator[HistoryEntry]":
        """The changes that were made, the newest first. If a crash has left the last one without
        its mark, the `content` of its files decides. Raises OSError."""
        from mailroster.store.history.entry import parse

        try:
            file = self._opened()
        except FileNotFoundError:
            return
        with file:
            is_last = True
            for _, raw in _backwards(file.fileno(), os.fstat(file.fileno()).st_size):
                entry = parse(raw)
                if entry is not None and (_is_made(entry, content) if is_last else entry.done):
                    is_last = False
                    yield entry._replace(done=True)

    def text(self) -> bytes:
        """The whole file. Raises OSError."""
        try:
            with self._opened() as file:
                return file.readall()
        except FileNotFoundError:
            return b""


def _open_for_appending(path: str) -> int:
    """Opens the file; creates it, and closes it to others, if necessary. Raises OSError, also for a
    link."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags, 0o600)
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


def _repair_last_line(fd: int, path: str, disk: Disk) -> int:
    """Gives the last line its line feed; removes it if it is the beginning of an entry. Returns the
    size of the file."""
    size = os.fstat(fd).st_size
    torn = os.pread(fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES)).rpartition(b"\n")[2]
    if torn and _START[1:].startswith(torn):
        size -= len(torn)
        disk.patch(path, (), (), size)
    elif torn:
        disk.write(fd, b"\n")
        size += 1
    return size


def user_name(uid: int) -> str:
    """The name of a user; "" if there is none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _is_made(entry: "HistoryEntry", content: "Content") -> bool:
    from mailroster.store.history.evidence import was_made

    return entry.done or (entry.whole and was_made(entry, content))


def _last_number(fd: int, size: int) -> int | None:
    """The number of the last entry; None if that is not marked as done."""
    tail = os.pread(fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    word, _, number = tail[tail.rfind(b"\n", 0, -1) + 1 :].partition(b" ")
    is_mark = word == b"done" and number.endswith(b"\n") and number[:-1].isdigit()
    return int(number) if is_mark else None


def _mark(number: int) -> bytes:
    return f"done {number}\n".encode()


def _backwards(fd: int, size: int) -> Iterator[tuple[int, bytes]]:
    """The offset and text of each entry, from the end, with only a part of the file in memory."""
    raw, start = b"", size
    while start > 0:
        end, start = start, max(0, start - _CHUNK_BYTES)
        raw = os.pread(fd, end - start, start) + raw
        while (position := raw.rfind(_START)) >= 0:
            yield start + position + 1, raw[position + 1 :]
            raw = raw[: position + 1]
    if raw.startswith(_START[1:]):
        yield 0, raw
