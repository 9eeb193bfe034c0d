"""How the files of an overlay differ from its source, judged by the record of what was copied."""

import os
from collections.abc import Iterator
from typing import NamedTuple

from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.store.links import ConfigFolder
from mailroster.store.overlay.record import FileRecord, OverlayState
from mailroster.store.overlay.source import (
    NOTHING,
    FileVersion,
    SourceFiles,
    current_path,
    digest,
    names,
)
from mailroster.system.files import identity

#: The states of a file: equal to the source; to be updated; changed in the overlay; in both.
FOLLOWS, BEHIND, EDITED, BOTH = "follows", "behind", "edited", "both"
#: Instead of the digest of a path that can't be a copy of a source file.
_OTHER = "other"


class FileState(NamedTuple):
    """The state of one file, and its versions in the overlay and in the source."""

    file: str
    state: str
    own: FileVersion
    source: FileVersion


def compare(folder: ConfigFolder, source: SourceFiles, record: OverlayState) -> Iterator[FileState]:
    """The state of every file that can be read, by name. Raises OSError."""
    own = names(folder.path) if os.path.isdir(folder.path) else ()
    for file in sorted({*source.versions, *record.files, *own} - source.unreadable.keys()):
        if not os.path.isdir(folder.path_of(file)):
            yield _state(file, _own_version(folder, file), source.version(file), record.of(file))


def _state(file: str, own: FileVersion, source: FileVersion, known: FileRecord) -> FileState:
    state = EDITED if source.digest == known.copied else BOTH
    if own.digest in (known.copied, known.planned):
        state = BEHIND
    if own.digest == source.digest:
        state = FOLLOWS
    return FileState(file, state, own, source)


def _own_version(folder: ConfigFolder, file: str) -> FileVersion:
    """A file of the overlay. A link, or anything but a file, is a change of a user."""
    path = folder.path_of(file)
    try:
        content, file_identity = folder.look(file)
    except PermissionError:
        raise
    except OSError:
        return FileVersion(_OTHER, identity(path), b"")
    return FileVersion(_OTHER if os.path.islink(path) else digest(content), file_identity, content)


def may_differ(folder: ConfigFolder, source: str, record: OverlayState) -> bool:
    """Whether a file may have changed since the record was written. Costs one stat for each."""
    path = current_path(source)
    if record.folder is None or record.folder != identity(path):
        return True
    for file, known in record.files.items():
        if known.source is None or known.source != identity(os.path.join(path, file)):
            return True
        if known.own is not None and known.own != identity(folder.path_of(file)):
            return True
    return False


def lost_accounts(source: SourceFiles, record: OverlayState) -> bool:
    """Whether the source has lost its accounts, and so may have lost any file."""
    lost = source.version(ACCOUNTS.file).digest == NOTHING
    return (
        lost
        and ACCOUNTS.file not in source.unreadable
        and record.of(ACCOUNTS.file).copied != NOTHING
    )
