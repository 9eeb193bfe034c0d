"""The overlay of a config folder: shows and restores the files that differ from the source."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mailroster.app.home import Edit, Home
from mailroster.app.sieve_scripts import scripts_of
from mailroster.base.findings import Refused
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.sieve import SUFFIX
from mailroster.roster.roster import Roster, document_of
from mailroster.store.overlay.comparison import FOLLOWS, FileState
from mailroster.store.overlay.overlay import Overlay
from mailroster.system.files import Disk

_FIELDS = {document.format.file: field for field, document in Roster().documents()}


class Drop(NamedTuple):
    """Files to be restored from the source: `edit` restores the files of the roster, None if there
    are none; `others` are the other files."""

    edit: Edit | None
    others: list[FileState]

    def diffs(self) -> list[str]:
        """The diffs of the other files."""
        return [_diff(each.file, each.own.content, each.source.content) for each in self.others]


def states(home: Home) -> dict[str, str]:
    """The state of each file: `follows`, `behind`, `edited` or `both`."""
    return {each.file: each.state for each in _overlay(home).file_states()}


def diffs(home: Home, files: Sequence[str]) -> dict[str, str]:
    """The changes in the overlay, as diffs for the source."""
    chosen = _chosen(_overlay(home), files)
    return {each.file: _diff(each.file, each.source.content, each.own.content) for each in chosen}


def contents(home: Home) -> dict[str, bytes]:
    """The contents of all files in the overlay that are not empty."""
    file_states = _overlay(home).file_states()
    return {each.file: each.own.content for each in file_states if each.own.content}


def check_overlay(home: Home) -> None:
    """Raises Refused if the config folder is no overlay."""
    _overlay(home)


def write_folder(folder: str, files: Mapping[str, bytes]) -> None:
    """Writes files into a new or empty folder. Raises Refused for any other folder."""
    if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise Refused(f"{folder} exists already and is not empty; name another folder")
    Disk().make_folder(folder, 0o700)
    for file, content in files.items():
        Disk().create(os.path.join(folder, file), content, 0o600, None)


def plan_drop(home: Home, files: Sequence[str]) -> Drop:
    """Plans to restore the named files, or all files, from the source."""
    chosen = _chosen(_overlay(home), files)
    documents: dict[str, Document[Any]] = {}
    for each in chosen:
        if field := _FIELDS.get(each.file):
            documents[field] = document_of(field, each.source.content, ())
    others = [each for each in chosen if each.file not in _FIELDS]
    return Drop((lambda roster: roster._replace(**documents)) if documents else None, others)


def finish_drop(home: Home, drop: Drop) -> None:
    """Restores the other files, and puts their scripts in force."""
    overlay = _overlay(home)
    for each in drop.others:
        overlay.drop(each)
    overlay.update()
    if any(each.file.endswith(SUFFIX) for each in drop.others) and home.is_served():
        for finding in scripts_of(home).reconcile(accept=True).findings:
            home.warn(str(finding))


def _overlay(home: Home) -> Overlay:
    settings = home.settings
    if not settings.source:
        raise Refused(
            f"{settings.config} is no overlay; name a writable folder for changes with "
            "--overlay or MAILROSTER_OVERLAY"
        )
    return Overlay(settings.source, settings.config, linked=settings.linked())


def _chosen(overlay: Overlay, files: Iterable[str]) -> list[FileState]:
    """The named files, or all files, that differ from the source."""
    files = list(files)
    file_states = {each.file: each for each in overlay.file_states()}
    for file in files:
        if file not in file_states:
            raise Refused(
                f"{file!r} is neither in the overlay nor in the source; see 'setup overlay list'"
            )
    return [
        file_states[file]
        for file in dict.fromkeys(files or file_states)
        if file_states[file].state != FOLLOWS
    ]


def _diff(file: str, before: bytes, after: bytes) -> str:
    """The diff of a file, without hashes of passwords."""
    from mailroster.roster.documents.unified_diff import Region, physical_lines, unified
    from mailroster.roster.plan import FileEdit, file_diff, shown

    if field := _FIELDS.get(file):
        return file_diff(
            FileEdit(field, file, document_of(field, before, ()), document_of(field, after, ()))
        )
    lines = unified([Region(physical_lines(before), physical_lines(after))], file)
    return "".join(f"{shown(line)}\n" for line in lines)
