"""`setup sender`: who may send as whom, beyond oneself and one's aliases."""

from mailroster import senders
from mailroster.cli.call import Call, account_address, alias_key, print_json, print_list, warn
from mailroster.formats.sender_logins import sender


def add(call: Call) -> int:
    account, granted = account_address(call.arguments[0]), _sender(call.arguments[1])
    status = call.edit(lambda roster: senders.grant(roster, account, granted))
    if not call.settings.spoof_protection:
        warn("warning: without spoof protection (SPOOF_PROTECTION=1) all may send as anybody")
    return status


def delete(call: Call) -> int:
    account, granted = account_address(call.arguments[0]), _sender(call.arguments[1])
    return call.edit(lambda roster: senders.revoke(roster, account, granted))


def show(call: Call) -> int:
    """Each entry of the file, or those of one account."""
    document = call.roster().sender_logins
    if call.arguments:
        account = account_address(call.arguments[0])
        user, _, domain = account.partition("@")
        grants = [grant for _, grant in document.mentioning(user, domain)]
        grants = [grant._replace(accounts=(account,)) for grant in grants]
    else:
        grants = [grant for _, grant in document.items()]
    if "--json" in call.options:
        print_json([{"sender": g.sender, "accounts": list(g.accounts)} for g in grants])
    else:
        print_list([f"* {g.sender} {', '.join(g.accounts)}" for g in grants])
    return 0


def _sender(text: str) -> str:
    return sender(alias_key(text))
