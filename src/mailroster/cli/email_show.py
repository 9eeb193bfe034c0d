"""`setup email show` and `setup email forward`: one account."""

from typing import Any

from mailroster.app.account import AccountReport, Mailbox, Quota, Restriction, report
from mailroster.base.findings import UsageError, printable
from mailroster.cli.call import Call, account_address, print_json, recipients
from mailroster.cli.edit import run_edit
from mailroster.cli.incoming import fields_of_lead, lead_line
from mailroster.cli.notes import fields_of
from mailroster.cli.progress import Bar
from mailroster.cli.usage import percent, sizes
from mailroster.edits import accounts
from mailroster.roster.roster import Roster

_WIDE = 12


def show(call: Call) -> int:
    """All that the folder, and a running server, say about one account; never its hash."""
    address = account_address(call.arguments[0])
    with Bar(1, "mailboxes counted") as bar:
        found = report(call.home, call.home.roster("accounts"), address, bar)
    if "--json" in call.options:
        print_json(_fields(found))
    else:
        print("\n".join(_lines(found)))
    return 0


def _fields(found: AccountReport) -> dict[str, Any]:
    """An account as --json shows it."""
    quota = found.quota
    return {
        "address": found.address,
        "where": found.where._asdict(),
        "scheme": found.scheme or None,
        "cost": found.cost or None,
        "locked": found.locked,
        **fields_of(found.notes),
        "fields": found.fields,
        "mailbox": found.mailbox._asdict(),
        "quota": {
            "size": quota.size,
            "messages": quota.messages or None,
            "field": quota.field or None,
            "where": None if quota.where is None else quota.where._asdict(),
            "use": None if quota.use is None else quota.use._asdict(),
        },
        "delivered_to": found.delivered_to,
        "leads": [fields_of_lead(lead) for lead in found.leads],
        "restrictions": [
            {
                "direction": some.direction,
                "address": some.address,
                "action": some.action,
                "where": some.where._asdict(),
                **fields_of(some.notes),
            }
            for some in found.restrictions
        ],
    }


def _lines(found: AccountReport) -> list[str]:
    """An account for people."""
    notes = found.notes
    state = f"until {notes.until}" if notes.until else "yes"
    cost = f", cost {found.cost}" if found.cost else ""
    rows = [
        ("account", f"{found.address}  {found.where}"),
        ("password", f"{found.scheme or 'of no named scheme'}{cost}"),
        ("locked", state if found.locked else ""),
        ("ends", "" if found.locked else notes.until),
        ("comment", notes.comment),
        ("mailbox", _mailbox_line(found.mailbox)),
        ("quota", _quota_line(found.quota)),
    ]
    rows += [("field", f"{name}={value}") for name, value in found.fields.items()]
    ends = found.delivered_to
    if ends != [found.address]:
        rows.append(("mail goes to", ", ".join(ends) if ends else "nobody: Postfix answers 451"))
    rows += [("led to by", lead_line(lead)) for lead in found.leads]
    rows += [("restricted", _restriction_line(some)) for some in found.restrictions]
    return [f"{name:{_WIDE}}  {printable(text)}" for name, text in rows if text]


def _mailbox_line(mailbox: Mailbox) -> str:
    if mailbox.location is None:
        return "where Dovecot finds it by the extra fields"
    return f"{mailbox.location}{'' if mailbox.exists else '  (not there yet)'}"


def _quota_line(quota: Quota) -> str:
    """`0 of 1.0G (0%)  dovecot-quotas.cf:1`; without a server `1G  dovecot-quotas.cf:1`."""
    where = "the server's default" if quota.where is None else str(quota.where)
    source = f"{quota.field} in {where}" if quota.field else where
    if quota.use is not None:
        text = f"{sizes(quota.use).replace(' / ', ' of ')} ({percent(quota.use)})"
    elif quota.where is None:
        return source
    else:
        text = "?" if quota.size is None else "~" if quota.size == "0" else quota.size
    if quota.messages:
        text += f", {quota.messages} messages"
    return f"{text}, {source}" if quota.where is None else f"{text}  {source}"


def _restriction_line(some: Restriction) -> str:
    until = f", until {some.notes.until}" if some.notes.until else ""
    comment = f", {some.notes.comment}" if some.notes.comment else ""
    return f"{some.direction}: {some.address} {some.action}{until}{comment}  {some.where}"


# -- forwards


def forward(call: Call) -> int:
    """Has the mail of an account go elsewhere, or no more."""
    address, *words = call.arguments
    account = account_address(address)
    if ("--off" in call.options) == bool(words):
        raise UsageError("give the targets of the mail, or --off")
    if "--off" in call.options:
        if "--keep-copy" in call.options:
            raise UsageError("--off and --keep-copy exclude each other")
        return run_edit(call, lambda roster: accounts.stop_forward(roster, account))
    targets = recipients(",".join(words))
    if "--keep-copy" in call.options:
        targets.append(account)

    def edit(roster: Roster) -> Roster:
        patterns = call.home.patterns(roster, [account, *targets])
        return accounts.forward(roster, account, targets, call.settings.hostname, patterns)

    return run_edit(call, edit, judged=True)
