"""`setup email show` and `setup email forward`: one account."""

import os
from typing import Any

from mailroster import edits, mailstore
from mailroster.address import Address, split
from mailroster.cli.call import Call, account_address, print_json, recipients
from mailroster.cli.leads import fields_of_lead, told
from mailroster.cli.notes import fields_of
from mailroster.document import Document
from mailroster.finding import Fault, Location, NotUnderstood, Refused, printable
from mailroster.formats.cost import cost_of, scheme_of
from mailroster.leads import leads_to
from mailroster.notes import Notes, notes_of
from mailroster.quota import human_size
from mailroster.resolve import Router
from mailroster.roster import Roster
from mailroster.running import Usage, is_running
from mailroster.services import Captures, usage

_DIRECTIONS = (("send", "send_access"), ("receive", "receive_access"))
_WIDE = 12


def show(call: Call) -> int:
    """All that the folder, and a running server, say about one account; never its hash."""
    address = account_address(call.arguments[0])
    found = _about(call, call.roster(), address)
    if "--json" in call.options:
        print_json(found)
    else:
        print("\n".join(_lines(found)))
    return 0


def _about(call: Call, roster: Roster, address: Address) -> dict[str, Any]:
    """What is known of an account, in the shape of --json."""
    account, position = roster.accounts.get(address), roster.accounts.position(address)
    if account is None or position is None:
        raise Refused(f"there is no account {address!r}")
    router = Router(
        roster,
        call.settings.hostname,
        Captures(roster.regexp),
        postmaster=call.settings.postmaster_address,
    )
    folder = mailstore.folder(call.settings.mail, address)
    cost = cost_of(account.password)
    return {
        "address": address,
        "where": _where(roster.accounts, position),
        "scheme": scheme_of(account.password) or None,
        "cost": None if cost is None else str(cost),
        "locked": account.is_locked(),
        **fields_of(notes_of(roster.accounts, position)),
        "fields": dict(account.fields()),
        "mailbox": {"folder": folder, "exists": os.path.isdir(folder)},
        "quota": _quota(call, roster, address),
        "delivered_to": _delivered(router, address),
        "leads": [fields_of_lead(lead) for lead in leads_to(router, address)],
        "restrictions": [
            restriction
            for direction, field in _DIRECTIONS
            for restriction in _restrictions(getattr(roster, field), direction, address)
        ],
    }


def _where(document: Document[Any], position: int) -> dict[str, object]:
    return document.location(position)._asdict()


def _quota(call: Call, roster: Roster, address: Address) -> dict[str, Any]:
    """Its own size if it has one; use and limit if quotas are on and a server runs to tell them."""
    quota, position = roster.quotas.get(address), roster.quotas.position(address)
    layout = call.layout()
    told: Usage | None = None
    if call.settings.enable_quotas and is_running(layout):
        told = usage(layout.dovecot_conf, address)
    return {
        "size": None if quota is None else quota.size,
        "where": None if position is None else _where(roster.quotas, position),
        "use": None if told is None else told._asdict(),
    }


def _delivered(router: Router, address: Address) -> list[str] | None:
    """Where mail to the address ends; None where Postfix could not follow it."""
    try:
        return router.expand(address)
    except Fault:
        return None


def _restrictions(document: Document[Any], direction: str, address: str) -> list[dict[str, Any]]:
    """Those that concern an address, in the order in which access(5) looks: itself, its domain,
    its user in any domain."""
    user, domain = split(address)
    found = []
    for key in (address, domain, f"{user}@"):
        entry, position = document.get(key), document.position(key)
        if entry is not None and position is not None:
            notes = fields_of(notes_of(document, position))
            named = {"direction": direction, "address": entry.key, "action": entry.action}
            found.append({**named, "where": _where(document, position), **notes})
    return found


# -- for people


def _lines(found: dict[str, Any]) -> list[str]:
    quota, mailbox = found["quota"], found["mailbox"]
    notes = Notes(found["comment"] or "", found["until"] or "")
    state = f"until {notes.until}" if notes.until else "yes"
    cost = f", cost {found['cost']}" if found["cost"] else ""
    rows = [
        ("account", f"{found['address']}  {_place(found['where'])}"),
        ("password", f"{found['scheme'] or 'of no named scheme'}{cost}"),
        ("locked", state if found["locked"] else ""),
        ("comment", notes.comment),
        ("mailbox", mailbox["folder"] + ("" if mailbox["exists"] else "  (not there yet)")),
        ("quota", _quota_line(quota)),
    ]
    rows += [("field", f"{name}={value}") for name, value in found["fields"].items()]
    ends = found["delivered_to"]
    if ends != [found["address"]]:
        rows.append(("mail goes to", ", ".join(ends) if ends else "nobody: Postfix answers 451"))
    rows += [("led to by", told(lead)) for lead in found["leads"]]
    rows += [("restricted", _restriction_line(some)) for some in found["restrictions"]]
    return [f"{name:{_WIDE}}  {printable(text)}" for name, text in rows if text]


def _place(where: dict[str, Any]) -> str:
    return str(Location(**where))


def _quota_line(quota: dict[str, Any]) -> str:
    own = f"{quota['size']}  {_place(quota['where'])}" if quota["size"] else "the server's default"
    if quota["use"] is None:
        return own
    used, limit, percent = quota["use"].values()
    return f"{human_size(used)} of {human_size(limit) if limit else '~'} ({percent}%), {own}"


def _restriction_line(some: dict[str, Any]) -> str:
    notes = "".join(
        f", {word}{some[name]}"
        for name, word in (("until", "until "), ("comment", ""))
        if some[name]
    )
    place = _place(some["where"])
    return f"{some['direction']}: {some['address']} {some['action']}{notes}  {place}"


# -- forwards


def forward(call: Call) -> int:
    """Has the mail of an account go elsewhere, or no more."""
    address, *words = call.arguments
    account = account_address(address)
    if ("--off" in call.options) == bool(words):
        raise NotUnderstood("give the targets of the mail, or --off")
    if "--off" in call.options:
        if "--keep-copy" in call.options:
            raise NotUnderstood("--off and --keep-copy exclude each other")
        return call.edit(lambda roster: edits.stop_forward(roster, account))
    targets = recipients(",".join(words))
    if "--keep-copy" in call.options:
        targets.append(account)

    def verb(roster: Roster) -> Roster:
        captured = Captures(roster.regexp)
        captured.prime([account, *targets])
        return edits.forward(roster, account, targets, call.settings.hostname, captured)

    return call.edit(verb)
