"""`setup log` and `setup undo`: the history of the config folder."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from mailroster.app.history import Change, ChangedFile, change_of, changes
from mailroster.base.findings import UsageError, and_more
from mailroster.cli.call import Call, print_json
from mailroster.cli.streams import warn

if TYPE_CHECKING:
    from mailroster.app.home import Edit, EditResult
    from mailroster.app.undo import Undo

_SHOWN = 20
#: How many accounts a warning names.
_NAMED = 10


def log(call: Call) -> int:
    """Prints the changes, the newest first: who, when, by which command; with --patch the lines."""
    patch = "--patch" in call.options
    address = call.arguments[0] if call.arguments else None
    newest = changes(call.home, address, with_lines=patch)
    count = _number(call.options.get("-n", str(_SHOWN)), "-n")
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


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise UsageError(f"{name}: {text!r} is not a number")
    return int(text)


def _counts(file: ChangedFile) -> str:
    counts = ((file.removed, "removed"), (file.added, "added"))
    words = [f"{count} {word}" for count, word in counts if count]
    limit = "" if file.can_be_undone else " (too many to store; can't be undone)"
    return ", ".join(words) + limit


def _patch(file: ChangedFile) -> Iterator[str]:
    """The removed and the added lines."""
    for place in file.hunks:
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
            for place in file.hunks
        ]
    return fields


# -- undo


def undo(call: Call) -> int:
    """Undoes a change. The undo is a change of its own in the history."""
    from mailroster.app import undo as app_undo
    from mailroster.cli.edit import run_edit

    id = _number(call.arguments[0], "ID") if call.arguments else None
    target = app_undo.find(call.home, id)
    results: list[EditResult] = []

    def perform(edit: "Edit", **options: Any) -> "EditResult":
        results.append(app_undo.perform(call.home, target, edit, **options))
        return results[-1]

    edit = app_undo.edit_of(call.home, target)
    status = run_edit(call, edit, report_findings=target.is_rename(), perform=perform)
    if call.is_dry_run():
        if move := app_undo.moved_mailbox(call.home, target):
            print(f"would move {move[0]} to {move[1]}")
    else:
        print(f"undone: {change_of(target.entry)}", flush=True)  # before the warnings
        for address, entries in app_undo.entries_left(call.home, target):
            warn(f"warning: {address!r} is no longer an account; {', '.join(entries)} stays")
    for key, until in app_undo.expired_entries(target, results[-1].after):
        warn(f"warning: {key!r} has expired ({until}) and will expire again")
    if not target.is_rename():
        _report_accounts(call, target)
    return status


def _report_accounts(call: Call, target: "Undo") -> None:
    """Reports what is restored with the accounts, and what is not."""
    from mailroster.app import undo as app_undo

    if not call.is_dry_run():
        for path in app_undo.restore_scripts(call.home, target):
            warn(f"{path} is restored")
    if accounts := app_undo.without_mail(call.home, target):
        names = and_more(accounts, _NAMED)
        warn(f"the mail of {names} can't be restored: 'email del -y' has deleted it")
