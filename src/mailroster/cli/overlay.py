"""`setup overlay`: what of a config folder was changed here, and the ways back into its source."""

import os
from typing import Any

from mailroster.base.findings import NotUnderstood, Refused
from mailroster.cli.call import Call, print_json, print_list, warn
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.sieve import SUFFIX
from mailroster.roster.roster import Roster, document_of
from mailroster.store.overlay.overlay import BEHIND, BOTH, EDITED, FOLLOWS, Overlay, Standing
from mailroster.system.files import Disk

_WORDS = {
    FOLLOWS: "as in the source",
    BEHIND: "not brought yet",
    EDITED: "changed here",
    BOTH: "changed here, and in the source as well",
}
#: What a Secret may hold, and what the names in it may be made of (kubernetes.io, Secret).
_SECRET_MAX_BYTES = 1 << 20
_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
_FIELDS = {document.format.file: field for field, document in Roster().documents()}


def show(call: Call) -> int:
    """Each file, and how it stands."""
    overlay = _overlay(call)
    standings = overlay.standings()
    if "--json" in call.options:
        files = [{"file": each.file, "state": each.state} for each in standings]
        print_json({"source": overlay.source, "overlay": overlay.folder, "files": files})
        return 0
    print_list([f"* {each.file}, {_WORDS[each.state]}" for each in standings])
    return 0


def diff(call: Call) -> int:
    """What was changed here, as it would have to be changed in the source."""
    chosen = _chosen(call, _overlay(call))
    diffs = {each.file: _diff(each.file, each.there.content, each.here.content) for each in chosen}
    if "--json" in call.options:
        files = [{"file": file, "diff": text} for file, text in diffs.items() if text]
        print_json({"files": files})
        return 0
    print("".join(diffs.values()), end="")
    return 0


def export(call: Call) -> int:
    """All files as they stand here, in a new folder or as a Secret."""
    overlay, name = _overlay(call), call.options.get("--secret")
    if (name is None) == (not call.arguments):
        raise NotUnderstood("name a FOLDER, or say --secret NAME")
    files = {each.file: each.here.content for each in overlay.standings() if each.here.content}
    bad = [file for file in files if not _KEY.issuperset(file)]
    if bad:
        words = "a Secret takes no such names; put them into a volume by its items"
        warn(f"warning: {', '.join(bad)}: {words} (docs/kubernetes.md)")
    if name is not None:
        print_json(_secret(name, {file: files[file] for file in files if file not in bad}))
        return 0
    folder = call.arguments[0]
    if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise Refused(f"{folder} is there already, and not empty; name another folder")
    Disk().make_folder(folder, 0o700)
    for file, content in files.items():
        Disk().create(os.path.join(folder, file), content, 0o600, None)
    print(f"{len(files)} files in {folder}")
    return 0


def drop(call: Call) -> int:
    """Files of the source in place of those that were changed here, in force when this returns."""
    overlay, dry_run = _overlay(call), "--dry-run" in call.options
    chosen = _chosen(call, overlay)
    documents: dict[str, Document[Any]] = {}
    for each in chosen:
        if field := _FIELDS.get(each.file):
            documents[field] = document_of(field, each.there.content, ())
    if documents or "--json" in call.options:
        call.edit(lambda roster: roster._replace(**documents))
    others = [each for each in chosen if each.file not in _FIELDS]
    for each in others:
        if dry_run:
            print(_diff(each.file, each.here.content, each.there.content), end="")
        else:
            overlay.give_up(each)
    if not dry_run:
        overlay.bring()
        if any(each.file.endswith(SUFFIX) for each in others) and call.is_served():
            _compile(call)
    return 0


def _overlay(call: Call) -> Overlay:
    if not call.settings.source:
        raise Refused(
            f"{call.settings.config} is no overlay; name a writable folder for changes with "
            "--overlay or MAILROSTER_OVERLAY"
        )
    settings = call.settings
    return Overlay(settings.source, settings.config, linked=settings.linked())


def _chosen(call: Call, overlay: Overlay) -> list[Standing]:
    """The files that are named, or all, as far as they differ from the source."""
    standings = {each.file: each for each in overlay.standings()}
    for file in call.arguments:
        if file not in standings:
            raise Refused(f"{file!r} is neither here nor in the source; see 'setup overlay list'")
    named = call.arguments or list(standings)
    return [standings[file] for file in dict.fromkeys(named) if standings[file].state != FOLLOWS]


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


def _secret(name: str, files: dict[str, bytes]) -> dict[str, object]:
    """A Secret, as kubectl takes it."""
    import base64

    if not name or not _KEY.issuperset(name) or name != name.lower() or "_" in name:
        raise NotUnderstood(f"{name!r} is no name of a Secret: a-z, 0-9, - and .")
    if sum(map(len, files.values())) > _SECRET_MAX_BYTES:
        raise Refused("the files are larger than a Secret may be, which is 1 MiB; name a FOLDER")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "Opaque",
        "data": {file: base64.b64encode(content).decode() for file, content in files.items()},
    }


def _compile(call: Call) -> None:
    from mailroster.servers.sieve import SieveScripts

    settings = call.settings
    scripts = SieveScripts(
        settings.config, call.layout(), settings.settle_seconds, linked=settings.linked()
    )
    for finding in scripts.converge(accept=True).findings:
        warn(str(finding))
