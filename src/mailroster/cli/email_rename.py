"""`setup email rename`."""

from typing import Any

from mailroster.app.home import Edit, EditResult
from mailroster.app.rename import edit_and_move, folders, patterns_to
from mailroster.cli.call import Call, account_address
from mailroster.cli.edit import rehearse, run_edit
from mailroster.cli.streams import warn
from mailroster.edits.rename import rename_account
from mailroster.roster.roster import Roster


def rename(call: Call) -> int:
    """Changes the address of an account in all files, and renames its mail folder."""
    old, new = map(account_address, call.arguments)
    alias, home = "--no-alias" not in call.options, call.home

    def edit(roster: Roster) -> Roster:
        hostname, patterns = call.settings.hostname, home.patterns(roster)
        return rename_account(roster, old, new, hostname, patterns, alias=alias)

    def perform(edit: Edit, **options: Any) -> EditResult:
        return edit_and_move(home, edit, old, new, **options)

    rehearse(call, edit)
    status = run_edit(call, edit, report_findings=True, perform=perform)
    if call.is_dry_run() and (move := folders(home, old, new)):
        print(f"would move {move[0]} to {move[1]}")
    if not alias and not call.is_dry_run():
        for where in patterns_to(home.roster(), old):
            warn(f"warning: {where}: this rule still points to {old!r}")
    return status
