"""`setup overlay`: what of a config folder was changed here, and the ways back into its source."""

from mailroster.app import overlay
from mailroster.base.findings import Refused, UsageError
from mailroster.cli.call import Call, print_json, print_list, warn
from mailroster.cli.edit import run_edit

_WORDS = {
    "follows": "as in the source",
    "behind": "not brought yet",
    "edited": "changed here",
    "both": "changed here, and in the source as well",
}
#: What a Secret may hold, and what the names in it may be made of (kubernetes.io, Secret).
_SECRET_MAX_BYTES = 1 << 20
_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")


def show(call: Call) -> int:
    """Each file, and how it differs from the source."""
    states = overlay.states(call.home)
    if "--json" in call.options:
        files = [{"file": file, "state": state} for file, state in states.items()]
        source, folder = call.settings.source, call.settings.config
        print_json({"source": source, "overlay": folder, "files": files})
        return 0
    print_list([f"* {file}, {_WORDS[state]}" for file, state in states.items()])
    return 0


def diff(call: Call) -> int:
    """What was changed here, as it would have to be changed in the source."""
    diffs = overlay.diffs(call.home, call.arguments)
    if "--json" in call.options:
        files = [{"file": file, "diff": text} for file, text in diffs.items() if text]
        print_json({"files": files})
        return 0
    print("".join(diffs.values()), end="")
    return 0


def export(call: Call) -> int:
    """All files as they are here, in a new folder or as a Secret."""
    overlay.check_overlay(call.home)
    name = call.options.get("--secret")
    if (name is None) == (not call.arguments):
        raise UsageError("name a FOLDER, or say --secret NAME")
    files = overlay.contents(call.home)
    bad = [file for file in files if not _KEY.issuperset(file)]
    if bad:
        words = "a Secret takes no such names; put them into a volume by its items"
        warn(f"warning: {', '.join(bad)}: {words} (docs/guide/kubernetes.md)")
    if name is not None:
        print_json(_secret(name, {file: files[file] for file in files if file not in bad}))
        return 0
    folder = call.arguments[0]
    overlay.write_folder(folder, files)
    print(f"{len(files)} files in {folder}")
    return 0


def drop(call: Call) -> int:
    """Files of the source in place of those that were changed here, in force when this returns."""
    planned = overlay.plan_drop(call.home, call.arguments)
    if planned.edit or "--json" in call.options:
        run_edit(call, planned.edit or (lambda roster: roster))
    if call.is_dry_run():
        print("".join(planned.diffs()), end="")
    else:
        overlay.finish_drop(call.home, planned)
    return 0


def _secret(name: str, files: dict[str, bytes]) -> dict[str, object]:
    """A Secret, as kubectl takes it."""
    import base64

    if not name or not _KEY.issuperset(name) or name != name.lower() or "_" in name:
        raise UsageError(f"{name!r} is no name of a Secret: a-z, 0-9, - and .")
    if sum(map(len, files.values())) > _SECRET_MAX_BYTES:
        raise Refused("the files are larger than a Secret may be, which is 1 MiB; name a FOLDER")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "Opaque",
        "data": {file: base64.b64encode(content).decode() for file, content in files.items()},
    }
