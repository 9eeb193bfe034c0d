"""A writable folder before a config folder that is only read: the overlay.

What works on a config folder works on the overlay. Before that, what is new in the source is
brought into it, a file at a time. A record of what was brought tells what was done here since:

    here                in the source       the file
    as it was brought   another             follows the source
    as it was brought   gone                is removed, unless the source has lost its accounts
    changed             as it was brought   stays: it is an edit of here
    changed             changed as well     stays, and that is told
    the same as there                       follows the source from now on, whatever was before

A file that isn't there is the same as an empty one. The record names what is about to be brought
before any file is replaced, so that a file is known as brought wherever that is cut short.
"""

import os
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from mailroster.base.findings import WARNING, Finding, Location, Refused, TryAgain
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.roster import Roster
from mailroster.store.leftovers import NEW
from mailroster.store.links import ConfigFolder
from mailroster.store.overlay.record import RECORD, Line, OverlayState, parse
from mailroster.store.overlay.source import (
    NOTHING,
    Files,
    Seen,
    digest,
    files,
    is_lasting,
    names,
    place,
)
from mailroster.store.transaction import Transactions
from mailroster.system.files import NO_RIGHT, NOT_GIVEN, Disk, identity, owner_and_mode, reason
from mailroster.system.folder_lock import FolderLock

#: How a file stands: as in the source; to be brought; changed here; changed here and there.
FOLLOWS, BEHIND, EDITED, BOTH = "follows", "behind", "edited", "both"
#: In place of the digest of what never came from a source.
_OTHER = "other"
_KEPT = "what came from it stays"
_HINT = (
    "what is here counts: compare with 'setup overlay diff', and put it into the source, or "
    "give it up with 'setup overlay drop'"
)


class Standing(NamedTuple):
    """One file: how it stands, and what it holds here and in the source."""

    file: str
    state: str
    here: Seen
    there: Seen


class Overlay:
    """The overlay of one source."""

    def __init__(
        self,
        source: str,
        folder: str,
        disk: Disk | None = None,
        *,
        linked: Sequence[str] = (),
    ) -> None:
        """`linked`: other folders to which links in these two may lead."""
        self.source, self.folder = source, folder
        self._disk = disk or Disk()
        self._linked = tuple(map(os.path.realpath, linked))
        self._here = ConfigFolder(folder, self._linked)

    def path(self, file: str) -> str:
        return os.path.join(self.folder, file)

    def bring(self, wait_s: float = 60.0) -> bool:
        """Brings what is new; whether there may have been anything. Costs a look at each file.

        Raises TryAgain or Refused if it can't be; what is here is then old, or partly new.
        """
        try:
            if not self._has_news(self._record()):
                return False
            if not os.path.isdir(self.folder):
                self._disk.make_folder(self.folder, 0o700)
            with FolderLock(self.folder, wait_s):
                Transactions(self._here, self._disk).recover()
                if found := self._found():
                    self._bring(found)
            return True
        except OSError as error:
            fault = Refused if error.errno in NO_RIGHT else TryAgain
            words = f"{error.filename or self.folder}: {error.strerror or error}"
            raise fault(f"{words}; what is new in {self.source} is not taken over") from error

    def standings(self) -> list[Standing]:
        """How every file stands, by name. Raises OSError, or TryAgain if the source is swapped all
        along."""
        if found := files(self.source, self._linked):
            return list(self._standings(found, self._record()))
        raise TryAgain(f"{self.source} is being changed all along")

    def findings(self) -> tuple[Finding, ...]:
        """What keeps files from following the source."""
        where, told = Location(ACCOUNTS.file), list[Finding]()
        try:
            found, record = files(self.source, self._linked), self._record()
        except OSError as error:
            message = f"the source {self.source} can't be read ({error.strerror or error}); {_KEPT}"
            return (Finding(where, WARNING, "no-source", message, "mount it again"),)
        if found is None:
            return ()
        if _is_torn(found, record):
            message = f"the source {self.source} has lost this file; {_KEPT}"
            told.append(Finding(where, WARNING, "no-source", message, "restore it there"))
        for standing in self._standings(found, record):
            if standing.state == BOTH:
                where, message = Location(standing.file), "changed here, and in the source as well"
                told.append(Finding(where, WARNING, "changed-in-both", message, _HINT))
        if found.unreadable:
            from mailroster.base.findings import unreadable

            told += [unreadable(file, reason(error)) for file, error in found.unreadable.items()]
        return tuple(told)

    # -- how files stand

    def _standings(self, found: Files, record: OverlayState) -> Iterator[Standing]:
        here = names(self.folder) if os.path.isdir(self.folder) else ()
        for file in sorted({*found.seen, *record.lines, *here} - found.unreadable.keys()):
            if not os.path.isdir(self.path(file)):
                yield self._standing(file, found.of(file), record.of(file))

    def _standing(self, file: str, there: Seen, line: Line) -> Standing:
        here = self._own(file)
        state = EDITED if there.digest == line.brought else BOTH
        if here.digest in (line.brought, line.coming):
            state = BEHIND
        if here.digest == there.digest:
            state = FOLLOWS
        return Standing(file, state, here, there)

    def _own(self, file: str) -> Seen:
        """A file of here; one that somebody has made a link, or no file at all, is theirs."""
        path = self.path(file)
        try:
            content, which = self._here.look(file)
        except PermissionError:
            raise
        except OSError:
            return Seen(_OTHER, identity(path), b"")
        return Seen(_OTHER if os.path.islink(path) else digest(content), which, content)

    def _has_news(self, record: OverlayState) -> bool:
        here = place(self.source)
        if record.folder is None or record.folder != identity(here):
            return True
        for file, line in record.lines.items():
            if line.source is None or line.source != identity(os.path.join(here, file)):
                return True
            if line.own is not None and line.own != identity(self.path(file)):
                return True
        return False

    # -- bringing, with the folder locked

    def _found(self) -> Files | None:
        """The source, unless it can't be read and there is something to go on with."""
        try:
            return files(self.source, self._linked)
        except OSError as error:
            if names(self.folder):
                return None
            why = f"the config folder {self.source} can't be read ({error.strerror or error})"
            raise Refused(f"{why}, and nothing of it is in {self.folder} yet") from None

    def _bring(self, found: Files) -> None:
        record = self._record()
        standings, torn = list(self._standings(found, record)), _is_torn(found, record)
        coming = [
            each for each in standings
            if each.state == BEHIND and not (torn and each.there.digest == NOTHING)
        ]  # fmt: skip
        came = set()
        if coming:
            lines = {
                each.file: record.of(each.file)._replace(coming=each.there.digest)
                for each in coming
            }
            self._write_record(OverlayState(None, {**record.lines, **lines}))
            came = {each.file for each in coming if self._put(each)}
            self._disk.sync_folder(self.folder)
        after = OverlayState(
            found.folder if len(came) == len(coming) and is_lasting(found.folder) else None,
            dict(_known(found, record, standings, came)),
        )
        if coming or after != record:
            self._write_record(after)

    def _put(self, standing: Standing) -> bool:
        """Makes a file that of the source; False if somebody has just written it."""
        path, new = self.path(standing.file), self.path(f".{standing.file}{NEW}")
        if standing.there.digest != NOTHING:
            self._stage(standing, path, new)
        if identity(path) != standing.here.identity:
            if os.path.lexists(new):
                self._disk.remove(new)
            return False
        if standing.there.digest != NOTHING:
            self._disk.rename(new, path)
        else:
            self._disk.remove(path)
        return True

    def _stage(self, standing: Standing, path: str, new: str) -> None:
        content, owner = standing.there.content, None
        mode = 0o600 if standing.file in _secret_files() else standing.there.mode & 0o777 | 0o600
        if os.path.lexists(path):
            owner, mode = owner_and_mode(path)
        try:
            self._disk.create(new, content, mode, owner)
        except OSError as error:
            if owner is None or error.errno not in NOT_GIVEN:
                raise
            self._disk.remove(new)
            self._disk.create(new, content, 0o600, None)

    def give_up(self, standing: Standing, wait_s: float = 60.0) -> None:
        """Makes a file that of the source, whatever was done here. Raises OSError or TryAgain."""
        with FolderLock(self.folder, wait_s):
            Transactions(self._here, self._disk).recover()
            if not self._put(standing):
                raise TryAgain(f"{standing.file} has just been written by somebody; try again")
            self._disk.sync_folder(self.folder)

    def _record(self) -> OverlayState:
        if os.path.islink(self.path(RECORD)):
            return parse(b"")  # not ours: it is replaced
        return parse(self._here.read(RECORD))

    def _write_record(self, record: OverlayState) -> None:
        path, new = self.path(RECORD), self.path(f"{RECORD}{NEW}")
        self._disk.create(new, bytes(record), 0o600, None)
        self._disk.rename(new, path)
        self._disk.sync_folder(self.folder)


def _known(
    found: Files, record: OverlayState, standings: Iterable[Standing], came: Container[str]
) -> Iterator[tuple[str, Line]]:
    """What is known of each file, now that some came."""
    for file in found.unreadable:
        yield file, record.of(file)._replace(source=None)
    for file, state, here, there in standings:
        as_there = file in came or state == FOLLOWS
        brought = there.digest if as_there else record.of(file).brought
        if brought == NOTHING and file not in found.seen:
            continue
        # Only where the source has gone on it matters what is done here.
        own = here.identity if there.digest != brought else None
        lasting = is_lasting(there.identity) and (own is None or is_lasting(own))
        yield file, Line(brought, brought, there.identity if lasting else None, own)


def _is_torn(found: Files, record: OverlayState) -> bool:
    """Whether the source has lost its accounts, and so may have lost anything."""
    lost = found.of(ACCOUNTS.file).digest == NOTHING and ACCOUNTS.file not in found.unreadable
    return lost and record.of(ACCOUNTS.file).brought != NOTHING


def _secret_files() -> set[str]:
    return {document.format.file for _, document in Roster().documents() if document.format.secret}
