"""Staged files: the new version of each file of an edit, and its installation.

A new version is staged in the folder as `.FILE.mailroster-new`, complete and synced, then renamed
over its file. Two kinds of file can't be replaced by one rename. For a file behind a symlink that
is followed (store/links.py), the new version is copied next to the target first. A file that can't
be renamed over (a mount point, a folder that we may not write, an owner that we can't set) is
overwritten in place. This is always done under the journal and with a copy of the old content
(`.FILE.mailroster-old`), which distinguishes an overwrite that was cut short from a manual edit.
"""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from mailroster.base.content import Content
from mailroster.base.findings import Conflict
from mailroster.roster.documents.large import content_of
from mailroster.roster.plan import FileEdit
from mailroster.roster.roster import Roster
from mailroster.store.errors import UNAPPLIED
from mailroster.store.journal import JOURNAL, Journal, checksum, lines_of
from mailroster.store.leftovers import NEW, OLD, Leftovers
from mailroster.store.links import ConfigFolder, Target
from mailroster.system.files import NO_RIGHT, NOT_GIVEN, Disk, owner_and_mode

_NOT_RENAMED = (*NO_RIGHT, errno.EBUSY, errno.EXDEV)
#: Whether a file still has the content that an edit was made from.
IsUnchanged = Callable[[], bool]


class Debris(NamedTuple):
    """The leftovers of an edit."""

    paths: list[str]  # in the folder
    linked: list[str]  # files that are links, with a staged file next to their target


class Staging:
    """The staged files of one folder. The caller holds its lock."""

    def __init__(
        self, config: ConfigFolder, disk: Disk, leftovers: Leftovers, journal: Journal
    ) -> None:
        self._folder, self._config, self._disk = config.path, config, disk
        self._leftovers, self._journal = leftovers, journal

    def stage(self, edit: FileEdit) -> None:
        """Writes the new version. Raises OSError, also if it could not be installed later."""
        new, owner = self._leftovers.new(edit.file), None
        with Target(self._config, edit.file) as target:
            place = target
            try:
                owner, mode = owner_and_mode(target)
            except FileNotFoundError:
                place = os.path.dirname(target)
                mode = 0o600 if getattr(Roster(), edit.field).format.secret else 0o640
            if not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, "can't be written", place)
        create_staged(self._disk, new, lambda: content_of(edit.after), mode, owner)

    def install(
        self, files: Sequence[str], unchanged: Mapping[str, IsUnchanged] | None = None
    ) -> list[str]:
        """Moves staged files into their places, and drops the journal. Returns the files that
        another program has written meanwhile: their new version is kept next to them.

        The edit is committed: this is safe to repeat, and never rolled back. `unchanged` is called
        immediately before each rename. Raises OSError; and Conflict if the first file has changed:
        then no file is in its place.
        """
        conflicts = []
        for position, file in enumerate(files):
            try:
                self._place(file, unchanged[file] if unchanged else _always)
            except Conflict:
                if not position:
                    raise
                self.set_aside(file)
                conflicts.append(file)
        self._disk.sync_folder(self._folder)
        self._journal.drop()
        return conflicts

    def set_aside(self, file: str) -> None:
        """Keeps the staged version of a file next to it."""
        self._disk.rename(self._leftovers.new(file), self._config.path_of(file) + UNAPPLIED)

    def sweep(self) -> None:
        """Drops the journal, and removes the leftovers of an edit."""
        self._journal.drop()
        debris = self.debris()
        for path in debris.paths:
            self._disk.remove(path)
        for file in debris.linked:
            with Target(self._config, file) as target:
                self._remove_if_there(_beside(target))

    def debris(self) -> Debris:
        """Finds the leftovers of an edit in the folder, and next to the targets of its links."""
        files = {document.format.file for _, document in Roster().documents()}
        paths, links = [], []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name in files:
                    links += [entry.name] if entry.is_symlink() else []
                elif entry.name[0] == "." and entry.name.endswith((NEW, OLD, JOURNAL)):
                    paths.append(entry.path)
        return Debris(paths, [file for file in links if self._has_staged_target(file)])

    # -- one file

    def _place(self, file: str, is_unchanged: IsUnchanged) -> None:
        with Target(self._config, file) as target:
            try:
                renamed = self._rename(file, target, is_unchanged)
            except OSError as error:
                if error.errno not in _NOT_RENAMED:
                    raise
                renamed = False
            if not renamed and self._leftovers.waits(file):
                self._overwrite(file, target, is_unchanged)
        self._remove_if_there(self._leftovers.new(file))

    def _rename(self, file: str, target: str, is_unchanged: IsUnchanged) -> bool:
        """Renames a staged file over its target; False if that would change owner or mode."""
        new = self._leftovers.new(file)
        if os.path.lexists(target) and owner_and_mode(target) != owner_and_mode(new):
            return False
        if target == self._config.path_of(file):
            _require(file, is_unchanged)
            self._disk.rename(new, target)
            return True
        beside = _beside(target)
        owner, mode = owner_and_mode(new)
        content = self._staged(file)  # first: it may be a link to the file that is removed next
        self._remove_if_there(beside)
        try:
            self._disk.create(beside, content, mode, owner)
            _require(file, is_unchanged)
            self._disk.rename(beside, target)
            self._disk.sync_folder(os.path.dirname(target))
        finally:
            self._remove_if_there(beside)
        self._disk.remove(new)
        return True

    def _overwrite(self, file: str, target: str, is_unchanged: IsUnchanged) -> None:
        """Overwrites a file in place. The copy of the old content is made only once, never of a
        file that a crash left half written."""
        new, old = self._leftovers.new(file), self._leftovers.old(file)
        if not self._leftovers.is_cut(file):
            content = self._config.read(file)
            if not self._journal.exists():
                self._disk.sync_folder(self._folder)
                self._journal.write(lines_of({file: checksum(content)}))
            self._remove_if_there(old)
            self._disk.create(old, content, 0o600, None)
            self._disk.sync_folder(self._folder)
            _require(file, is_unchanged)
        self._disk.overwrite(target, self._staged(file))
        self._disk.remove(new)
        self._disk.remove(old)

    def _staged(self, file: str) -> bytes:
        """The staged content of a file. Raises FileNotFoundError if there is none."""
        content = self._leftovers.staged(file)
        if content is None:
            path = self._leftovers.new(file)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return content

    def _has_staged_target(self, file: str) -> bool:
        """Whether a staged file is next to the target of a link."""
        try:
            with Target(self._config, file) as target:
                return os.path.lexists(_beside(target))
        except OSError:
            return False  # a link that is not followed

    def _remove_if_there(self, path: str) -> None:
        if os.path.lexists(path):
            self._disk.remove(path)


def create_staged(
    disk: Disk, path: str, content: Callable[[], Content], mode: int, owner: tuple[int, int] | None
) -> None:
    """Writes a staged file. If its owner can't be set, only we can read it. Raises OSError."""
    try:
        disk.create(path, content(), mode, owner)
    except OSError as error:
        if owner is None or error.errno not in NOT_GIVEN:
            raise
        if os.path.lexists(path):
            disk.remove(path)
        disk.create(path, content(), 0o600, None)


def _always() -> bool:
    return True


def _require(file: str, is_unchanged: IsUnchanged) -> None:
    if not is_unchanged():
        raise Conflict(file)


def _beside(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}{NEW}")
