"""The overlay of a config folder: which files differ from its source, and the ways back."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mailroster.app.home import Edit, Home
from mailroster.app.sieve_scripts import scripts_of
from mailroster.base.findings import Refused
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.sieve import SUFFIX
from mailroster.roster.roster import Roster, document_of
from mailroster.store.overlay.overlay import FOLLOWS, Overlay, Standing
from mailroster.system.files import Disk

_FIELDS = {document.format.file: field for field, document in Roster().documents()}


class Drop(NamedTuple):
    """Files that become again what they are in the source: `edit` does it for the files of the
    roster, None if none of them is among them; `others` are the rest."""

    edit: Edit | None
    others: list[Standing]

    def diffs(self) -> list[str]:
        """What would become of the other files."""
        return [_diff(each.file, each.here.content, each.there.content) for each in self.others]


def states(home: Home) -> dict[str, str]:
    """Each file, and how it differs from the source: `follows`, `behind`, `edited`, `both`."""
    return {each.file: each.state for each in _overlay(home).standings()}


def diffs(home: Home, files: Sequence[str]) -> dict[str, str]:
    """What was changed here, as it would have to be changed in the source."""
    chosen = _chosen(_overlay(home), files)
    return {each.file: _diff(each.file, each.there.content, each.here.content) for each in chosen}


def contents(home: Home) -> dict[str, bytes]:
    """All files as they are here, but for empty ones."""
    standings = _overlay(home).standings()
    return {each.file: each.here.content for each in standings if each.here.content}


def check_overlay(home: Home) -> None:
    """Raises Refused where the config folder is no overlay."""
    _overlay(home)


def write_folder(folder: str, files: Mapping[str, bytes]) -> None:
    """Writes files into a new folder, or an empty one. Raises Refused for any other."""
    if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise Refused(f"{folder} is there already, and not empty; name another folder")
    Disk().make_folder(folder, 0o700)
    for file, content in files.items():
        Disk().create(os.path.join(folder, file), content, 0o600, None)


def plan_drop(home: Home, files: Sequence[str]) -> Drop:
    """How the files that are named, or all, become again what they are in the source."""
    chosen = _chosen(_overlay(home), files)
    documents: dict[str, Document[Any]] = {}
    for each in chosen:
        if field := _FIELDS.get(each.file):
            documents[field] = document_of(field, each.there.content, ())
    others = [each for each in chosen if each.file not in _FIELDS]
    return Drop((lambda roster: roster._replace(**documents)) if documents else None, others)


def finish_drop(home: Home, drop: Drop) -> None:
    """Replaces the other files, and puts their scripts in force."""
    overlay = _overlay(home)
    for each in drop.others:
        overlay.give_up(each)
    overlay.bring()
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


def _chosen(overlay: Overlay, files: Iterable[str]) -> list[Standing]:
    """The files that are named, or all, as far as they differ from the source."""
    files = list(files)
    standings = {each.file: each for each in overlay.standings()}
    for file in files:
        if file not in standings:
            raise Refused(f"{file!r} is neither here nor in the source; see 'setup overlay list'")
    named = dict.fromkeys(files or standings)
    return [standings[file] for file in named if standings[file].state != FOLLOWS]


def _diff(file: str, before: bytes, after: bytes) -> str:
    """One file as it was and as it is. No hashes of passwords."""
    from mailroster.roster.documents.unified_diff import Region, unified
    from mailroster.roster.plan import FileEdit, file_diff, physical_lines, shown

    if field := _FIELDS.get(file):
        return file_diff(
            FileEdit(field, file, document_of(field, before, ()), document_of(field, after, ()))
        )
    lines = unified([Region(physical_lines(before), physical_lines(after))], file)
    return "".join(f"{shown(line)}\n" for line in lines)
