"""`setup sender`: who may send as whom, beyond oneself and one's aliases."""

from mailroster.cli.call import Call, account_address, alias_key, print_json, print_list, warn
from mailroster.cli.edit import run_edit
from mailroster.cli.notes import by_key, lines_of
from mailroster.cli.table import print_table
from mailroster.edits import senders
from mailroster.roster.formats.sender_logins import sender
from mailroster.roster.roster import Roster


def add(call: Call) -> int:
    account, granted = account_address(call.arguments[0]), _sender(call.arguments[1])

    def verb(roster: Roster) -> Roster:
        there = roster.sender_logins.get(granted)
        if call.says_notes() and there and account in there.accounts:
            return roster
        return senders.grant(roster, account, granted)

    status = run_edit(call, verb, notes_on=("sender_logins", granted), judged=True)
    if not call.settings.spoof_protection:
        warn("warning: without spoof protection (SPOOF_PROTECTION=1) all may send as anybody")
    return status


def delete(call: Call) -> int:
    account, granted = account_address(call.arguments[0]), _sender(call.arguments[1])
    return run_edit(call, lambda roster: senders.revoke(roster, account, granted))


def show(call: Call) -> int:
    """Each entry of the file, or those of one account."""
    document = call.home.roster("sender_logins").sender_logins
    if call.arguments:
        account = account_address(call.arguments[0])
        user, _, domain = account.partition("@")
        grants = [grant for _, grant in document.mentioning(user, domain)]
        grants = [grant._replace(accounts=(account,)) for grant in grants]
    else:
        grants = [grant for _, grant in document.items()]
    about = by_key(document)
    comments = {sender: notes.comment for sender, notes in about.items()}
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
        lines = [f"* {g.sender} {', '.join(g.accounts)}" for g in grants]
        told = [lines_of(about.get(g.sender)) for g in grants]
        print_list(list(map(str.__add__, lines, told)))
    return 0


def _sender(text: str) -> str:
    return sender(alias_key(text))
