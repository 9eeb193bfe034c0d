"""`setup sender`: rights of an account to send as addresses that do not lead to it."""

from mailroster.cli.call import Call, account_address, alias_key, print_json, print_list
from mailroster.cli.edit import run_edit
from mailroster.cli.notes import note_lines, notes_by_key
from mailroster.cli.streams import warn
from mailroster.cli.table import print_table
from mailroster.edits import senders
from mailroster.roster.formats.sender_logins import sender
from mailroster.roster.roster import Roster


def add(call: Call) -> int:
    account, granted = account_address(call.arguments[0]), _sender(call.arguments[1])

    def edit(roster: Roster) -> Roster:
        grant = roster.sender_logins.get(granted)
        if call.changes_notes() and grant and account in grant.accounts:
            return roster
        return senders.grant(roster, account, granted)

    status = run_edit(call, edit, notes_on=("sender_logins", granted), report_findings=True)
    if not call.settings.spoof_protection:
        warn(
            "warning: spoof protection is off, so every account may send as any address; "
            "set SPOOF_PROTECTION=1"
        )
    return status


def delete(call: Call) -> int:
    account, granted = account_address(call.arguments[0]), _sender(call.arguments[1])
    return run_edit(call, lambda roster: senders.revoke(roster, account, granted))


def show(call: Call) -> int:
    """Prints the entries of the file, or those of one account."""
    document = call.home.roster("sender_logins").sender_logins
    if call.arguments:
        account = account_address(call.arguments[0])
        user, _, domain = account.partition("@")
        grants = [grant for _, grant in document.mentioning(user, domain)]
        grants = [grant._replace(accounts=(account,)) for grant in grants]
    else:
        grants = [grant for _, grant in document.items()]
    notes = notes_by_key(document)
    comments = {sender: note.comment for sender, note in notes.items()}
    if "--json" in call.options:
        print_json(
            [
                {
                    "sender": g.sender,
                    "accounts": list(g.accounts),
                    "comment": comments.get(g.sender) or None,
                }
                for g in grants
            ]
        )
    elif "--table" in call.options:
        rows = [(g.sender, ", ".join(g.accounts), comments.get(g.sender, "")) for g in grants]
        print_table(("SENDER", "ACCOUNTS", "COMMENT"), rows)
    else:
        print_list(
            [
                f"* {g.sender} {', '.join(g.accounts)}{note_lines(notes.get(g.sender))}"
                for g in grants
            ]
        )
    return 0


def _sender(text: str) -> str:
    return sender(alias_key(text))
