"""`setup undo`: a change is undone."""

from typing import Any

from mailroster.app import undo as app_undo
from mailroster.app.history import change_of
from mailroster.app.home import Edit, EditResult
from mailroster.app.undo import Undo
from mailroster.cli.call import Call, warn
from mailroster.cli.edit import run_edit
from mailroster.cli.history import number

_NAMED = 10


def undo(call: Call) -> int:
    """Undoes a change, as a change of its own."""
    wanted = number(call.arguments[0], "ID") if call.arguments else None
    chosen = app_undo.find(call.home, wanted)
    results: list[EditResult] = []

    def perform(edit: Edit, **options: Any) -> EditResult:
        results.append(app_undo.perform(call.home, chosen, edit, **options))
        return results[-1]

    edit = app_undo.edit_of(call.home, chosen)
    status = run_edit(call, edit, judged=chosen.is_rename(), perform=perform)
    if call.is_dry_run():
        if both := app_undo.moved_mailbox(call.home, chosen):
            print(f"would move {both[0]} to {both[1]}")
    else:
        print(f"undone: {change_of(chosen.entry)}", flush=True)  # before the warnings
        for key, left in app_undo.entries_left(call.home, chosen):
            warn(f"warning: {key!r} is no account any more; {', '.join(left)} stays")
    for key, until in app_undo.expired_entries(chosen, results[-1].after):
        warn(f"warning: {key!r} has ended with {until}, and will again")
    if not chosen.is_rename():
        _report_accounts(call, chosen)
    return status


def _report_accounts(call: Call, chosen: Undo) -> None:
    """Reports what is restored with accounts, and what is not."""
    if not call.is_dry_run():
        for path in app_undo.restore_scripts(call.home, chosen):
            warn(f"{path} is back")
    if without := app_undo.without_mail(call.home, chosen):
        more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
        names = ", ".join(without[:_NAMED]) + more
        warn(f"there is no mail of {names}: what 'email del -y' has deleted does not come back")
