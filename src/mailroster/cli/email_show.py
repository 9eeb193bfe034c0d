"""`setup email show` and `setup email forward`: one account."""

from typing import Any

from mailroster.app.account import AccountReport, Mailbox, Quota, Restriction, report
from mailroster.app.app_passwords import AppPasswordReport
from mailroster.base.findings import UsageError, printable
from mailroster.cli.app_password import app_password_fields, app_password_words
from mailroster.cli.call import Call, account_address, print_json, recipients
from mailroster.cli.edit import run_edit
from mailroster.cli.incoming import route_fields, route_line
from mailroster.cli.notes import note_fields
from mailroster.cli.progress import Bar
from mailroster.cli.usage import percent, sizes
from mailroster.edits import aliases
from mailroster.roster.roster import Roster

_LABEL_WIDTH = 12


def show(call: Call) -> int:
    """Prints what the folder, and a running server, know about one account; never its hash."""
    address = account_address(call.arguments[0])
    with Bar(1, "mailboxes counted") as bar:
        account = report(call.home, call.home.roster("accounts"), address, bar)
    if "--json" in call.options:
        print_json(_fields(account))
    else:
        print("\n".join(_lines(account)))
    return 0


def _fields(account: AccountReport) -> dict[str, Any]:
    """The JSON fields of an account."""
    quota = account.quota
    return {
        "address": account.address,
        "where": account.where._asdict(),
        "scheme": account.scheme or None,
        "cost": account.cost or None,
        "locked": account.locked,
        **note_fields(account.notes),
        "fields": account.fields,
        "mailbox": account.mailbox._asdict(),
        "quota": {
            "size": quota.size,
            "messages": quota.messages or None,
            "field": quota.field or None,
            "where": None if quota.where is None else quota.where._asdict(),
            "use": None if quota.use is None else quota.use._asdict(),
        },
        "delivered_to": account.delivered_to,
        "routes": [route_fields(route) for route in account.leads],
        "restrictions": [
            {
                "direction": restriction.direction,
                "address": restriction.address,
                "action": restriction.action,
                "where": restriction.where._asdict(),
                **note_fields(restriction.notes),
            }
            for restriction in account.restrictions
        ],
        "app_passwords": [
            {**app_password_fields(each), "where": each.where._asdict()}
            for each in account.app_passwords
        ],
    }


def _lines(account: AccountReport) -> list[str]:
    """An account for people."""
    notes = account.notes
    state = f"until {notes.until}" if notes.until else "yes"
    cost = f", cost {account.cost}" if account.cost else ""
    rows = [
        ("account", f"{account.address}  {account.where}"),
        ("password", f"{account.scheme or 'scheme unknown'}{cost}"),
        ("locked", state if account.locked else ""),
        ("ends", "" if account.locked else notes.until),
        ("comment", notes.comment),
        ("mailbox", _mailbox_line(account.mailbox)),
        ("quota", _quota_line(account.quota)),
    ]
    rows += [("field", f"{name}={value}") for name, value in account.fields.items()]
    targets = account.delivered_to
    if targets != [account.address]:
        text = ", ".join(targets) if targets else "no recipient: Postfix answers 451"
        rows.append(("mail goes to", text))
    rows += [("reached by", route_line(route)) for route in account.leads]
    rows += [("restricted", _restriction_line(entry)) for entry in account.restrictions]
    rows += [("app password", _app_password_line(each)) for each in account.app_passwords]
    return [f"{label:{_LABEL_WIDTH}}  {printable(text)}" for label, text in rows if text]


def _mailbox_line(mailbox: Mailbox) -> str:
    if mailbox.location is None:
        return "set by the extra fields"
    return f"{mailbox.location}{'' if mailbox.exists else '  (does not exist yet)'}"


def _quota_line(quota: Quota) -> str:
    """`0 of 1.0G (0%)  dovecot-quotas.cf:1`; without a server `1G  dovecot-quotas.cf:1`."""
    where = "the server's default" if quota.where is None else str(quota.where)
    source = f"{quota.field} in {where}" if quota.field else where
    if quota.use is not None:
        text = f"{sizes(quota.use).replace(' / ', ' of ')} ({percent(quota.use)})"
    elif quota.where is None:
        return source
    elif quota.size is None:
        text = "?"
    else:
        text = "~" if quota.size == "0" else quota.size
    if quota.messages:
        text += f", {quota.messages} messages"
    return f"{text}, {source}" if quota.where is None else f"{text}  {source}"


def _restriction_line(entry: Restriction) -> str:
    until = f", until {entry.notes.until}" if entry.notes.until else ""
    comment = f", {entry.notes.comment}" if entry.notes.comment else ""
    return f"{entry.direction}: {entry.address} {entry.action}{until}{comment}  {entry.where}"


def _app_password_line(listed: AppPasswordReport) -> str:
    """`phone: only imap, smtp; used …  dovecot-app-passwords.cf:1`."""
    words = "; ".join(app_password_words(listed))
    return f"{listed.entry.label}{f': {words}' if words else ''}  {listed.where}"


# -- forwards


def forward(call: Call) -> int:
    """Forwards the mail of an account, or stops that."""
    address, *words = call.arguments
    account = account_address(address)
    if ("--off" in call.options) == bool(words):
        raise UsageError("give the targets of the mail, or --off")
    if "--off" in call.options:
        if "--keep-copy" in call.options:
            raise UsageError("--off and --keep-copy exclude each other")
        return run_edit(call, lambda roster: aliases.stop_forward(roster, account))
    targets = recipients(",".join(words))
    if "--keep-copy" in call.options:
        targets.append(account)

    def edit(roster: Roster) -> Roster:
        patterns = call.home.patterns(roster, [account, *targets])
        return aliases.forward(roster, account, targets, call.settings.hostname, patterns)

    return run_edit(call, edit, report_findings=True)
