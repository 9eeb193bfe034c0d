"""`setup log`: what was changed."""

from collections.abc import Iterator
from itertools import islice

from mailroster.app.history import Change, ChangedFile, changes
from mailroster.base.findings import UsageError
from mailroster.cli.call import Call, print_json

_SHOWN = 20


def log(call: Call) -> int:
    """The newest changes first: who, when, by what; on request with their lines."""
    patch = "--patch" in call.options
    address = call.arguments[0] if call.arguments else None
    newest = changes(call.home, address, with_lines=patch)
    count = number(call.options.get("-n", str(_SHOWN)), "-n")
    shown = islice(newest, count or None)
    if "--json" in call.options:
        print_json([_fields(change, patch=patch) for change in shown])
        return 0
    for change in shown:
        print(change)
        for file in change.files:
            print(f"    {file.file}: {_counts(file)}")
            for line in _patch(file):
                print(f"    {line}")
    return 0


def number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise UsageError(f"{name}: {text!r} is not a number")
    return int(text)


def _counts(file: ChangedFile) -> str:
    counts = ((file.removed, "removed"), (file.added, "added"))
    words = [f"{count} {what}" for count, what in counts if count]
    kept = "" if file.can_be_undone else " (too many to be kept; can't be undone)"
    return ", ".join(words) + kept


def _patch(file: ChangedFile) -> Iterator[str]:
    """The lines that were removed and added."""
    for place in file.places:
        yield f"line {place.line}:" if place.line else f"at octet {place.offset}:"
        yield from (f"-{text}" for text in place.removed)
        yield from (f"+{text}" for text in place.added)


def _fields(change: Change, *, patch: bool) -> dict[str, object]:
    """A change as --json shows it."""
    sudo_uid, _, sudo_user = change.sudo.partition(":")
    return {
        "id": change.id,
        "time": change.time,
        "uid": change.uid,
        "user": change.user or None,
        "sudo": {"uid": int(sudo_uid), "user": sudo_user} if sudo_uid.isdecimal() else None,
        "command": None if change.by_hand else change.command,
        "by_hand": change.by_hand,
        "files": [_file_fields(file, patch=patch) for file in change.files],
    }


def _file_fields(file: ChangedFile, *, patch: bool) -> dict[str, object]:
    fields: dict[str, object] = {
        "file": file.file,
        "removed": file.removed,
        "added": file.added,
        "can_be_undone": file.can_be_undone,
    }
    if patch:
        fields["places"] = [
            {
                "line": place.line or None,
                "offset": place.offset,
                "removed": place.removed,
                "added": place.added,
            }
            for place in file.places
        ]
    return fields
