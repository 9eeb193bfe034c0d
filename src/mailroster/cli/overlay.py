"""`setup overlay`: shows, exports and drops the local changes of an overlay."""

from mailroster.app import overlay
from mailroster.base.findings import Refused, UsageError
from mailroster.cli.call import Call, print_json, print_list
from mailroster.cli.edit import run_edit
from mailroster.cli.streams import warn

_WORDS = {
    "follows": "as in the source",
    "behind": "not updated from the source yet",
    "edited": "changed here",
    "both": "changed here, and in the source as well",
}
#: The size limit of a Secret, and the characters of its keys (kubernetes.io, Secret).
_SECRET_MAX_BYTES = 1 << 20
_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")


def show(call: Call) -> int:
    """Prints each file, and how it differs from the source."""
    states = overlay.states(call.home)
    if "--json" in call.options:
        files = [{"file": file, "state": state} for file, state in states.items()]
        source, folder = call.settings.source, call.settings.config
        print_json({"source": source, "overlay": folder, "files": files})
        return 0
    print_list([f"* {file}, {_WORDS[state]}" for file, state in states.items()])
    return 0


def diff(call: Call) -> int:
    """Prints the local changes as a patch for the source."""
    diffs = overlay.diffs(call.home, call.arguments)
    if "--json" in call.options:
        files = [{"file": file, "diff": text} for file, text in diffs.items() if text]
        print_json({"files": files})
        return 0
    print("".join(diffs.values()), end="")
    return 0


def export(call: Call) -> int:
    """Writes all files of the overlay into a new folder, or prints them as a Secret."""
    overlay.check_overlay(call.home)
    name = call.options.get("--secret")
    if (name is None) == (not call.arguments):
        raise UsageError("give a FOLDER, or --secret NAME")
    files = overlay.contents(call.home)
    bad = [file for file in files if not _KEY.issuperset(file)]
    if bad:
        hint = "a Secret allows no such names; add them to a volume by its items"
        warn(f"warning: {', '.join(bad)}: {hint} (docs/guide/kubernetes.md)")
    if name is not None:
        print_json(_secret(name, {file: files[file] for file in files if file not in bad}))
        return 0
    folder = call.arguments[0]
    overlay.write_folder(folder, files)
    print(f"{len(files)} files in {folder}")
    return 0


def drop(call: Call) -> int:
    """Replaces changed files by those of the source. They are live when this returns."""
    planned = overlay.plan_drop(call.home, call.arguments)
    if planned.edit or "--json" in call.options:
        run_edit(call, planned.edit or (lambda roster: roster))
    if call.is_dry_run():
        print("".join(planned.diffs()), end="")
    else:
        overlay.finish_drop(call.home, planned)
    return 0


def _secret(name: str, files: dict[str, bytes]) -> dict[str, object]:
    """A Secret for kubectl."""
    import base64

    if not name or not _KEY.issuperset(name) or name != name.lower() or "_" in name:
        raise UsageError(f"{name!r} can't be the name of a Secret; use a-z, 0-9, - and .")
    if sum(map(len, files.values())) > _SECRET_MAX_BYTES:
        raise Refused("the files are larger than 1 MiB, the limit of a Secret; give a FOLDER")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "Opaque",
        "data": {file: base64.b64encode(content).decode() for file, content in files.items()},
    }
