"""`setup email show` and `setup email forward`: one account."""

import os
from typing import Any

from mailroster.analysis.mailbox_limit import default, limit_of
from mailroster.base.address import Address
from mailroster.base.findings import Fault, Location, NotUnderstood, Refused, printable
from mailroster.base.sizes import size_text
from mailroster.cli.call import Call, account_address, print_json, recipients
from mailroster.cli.incoming import fields_of_lead, told
from mailroster.cli.notes import fields_of
from mailroster.cli.usage import Shown, shown
from mailroster.edits import accounts
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import Notes, notes_of
from mailroster.roster.formats.hash_cost import cost_of, scheme_of
from mailroster.roster.roster import Roster
from mailroster.routing.incoming import leads_to
from mailroster.routing.router import Router
from mailroster.routing.trace import restrictions
from mailroster.servers import mailboxes
from mailroster.servers.config.dovecot.mailbox import place_of
from mailroster.servers.version import meant
from mailroster.system.programs import Captures

_DIRECTIONS = (("send", "send_access"), ("receive", "receive_access"))
_WIDE = 12


def show(call: Call) -> int:
    """All that the folder, and a running server, say about one account; never its hash."""
    address = account_address(call.arguments[0])
    found = _about(call, call.roster("accounts"), address)
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
    router = call.router(roster)
    place = place_of(account, call.settings.mail, meant(call.layout()))
    folder = place.path if place else mailboxes.folder(call.settings.mail, address)
    cost = cost_of(account.password)
    return {
        "address": address,
        "where": _where(roster.accounts, position),
        "scheme": scheme_of(account.password) or None,
        "cost": None if cost is None else str(cost),
        "locked": account.is_locked(),
        **fields_of(notes_of(roster.accounts, position)),
        "fields": dict(account.fields()),
        "mailbox": {
            "folder": folder if place else None,
            "location": str(place) if place else None,
            "exists": os.path.lexists(folder),
        },
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
    """The limit, and the line that sets it if one does; use and limit if quotas are on and a server
    runs that counts."""
    by_default = default(call.settings.mailbox_size_limit, meant(call.layout()))
    limit = limit_of(roster, address, by_default, call.settings.mail)
    document: Document[Any] = roster.accounts if limit.field else roster.quotas
    position = document.position(address)
    use = shown(call, roster, [address]).get(address)
    set_here = not limit.is_default and position is not None
    return {
        "size": None if limit.is_default or limit.size is None else size_text(limit.size),
        "messages": limit.messages or None,
        "field": limit.field or None,
        "where": _where(document, position) if set_here and position is not None else None,
        "use": None if use is None else use._asdict(),
    }


def _delivered(router: Router, address: Address) -> list[str] | None:
    """Where mail to the address ends; None where Postfix could not follow it."""
    try:
        return router.expand(address)
    except Fault:
        return None


def _restrictions(document: Document[Any], direction: str, address: str) -> list[dict[str, Any]]:
    """Those about an address, in the order in which access(5) looks; the first one counts."""
    found = []
    for entry in restrictions(document, address):
        position = document.position(entry.key)
        assert position is not None, "it is in the file"
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
        ("ends", "" if found["locked"] else notes.until),
        ("comment", notes.comment),
        ("mailbox", _mailbox_line(mailbox)),
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


def _mailbox_line(mailbox: dict[str, Any]) -> str:
    if mailbox["location"] is None:
        return "where Dovecot finds it by the extra fields"
    return f"{mailbox['location']}{'' if mailbox['exists'] else '  (not there yet)'}"


def _quota_line(quota: dict[str, Any]) -> str:
    """`0 of 1.0G (0%)  dovecot-quotas.cf:1`; without a server `1G  dovecot-quotas.cf:1`."""
    where = "the server's default" if quota["where"] is None else _place(quota["where"])
    by = f"{quota['field']} in {where}" if quota["field"] else where
    if quota["use"] is not None:
        use = Shown(**quota["use"])
        told = f"{use.sizes().replace(' / ', ' of ')} ({use.full()})"
    elif quota["where"] is None:
        return by
    else:
        told = "?" if quota["size"] is None else "~" if quota["size"] == "0" else quota["size"]
    if quota["messages"]:
        told += f", {quota['messages']} messages"
    return f"{told}, {by}" if quota["where"] is None else f"{told}  {by}"


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
        return call.edit(lambda roster: accounts.stop_forward(roster, account))
    targets = recipients(",".join(words))
    if "--keep-copy" in call.options:
        targets.append(account)

    def verb(roster: Roster) -> Roster:
        captured = Captures(roster.regexp)
        captured.prime([account, *targets])
        return accounts.forward(roster, account, targets, call.settings.hostname, captured)

    return call.edit(verb, judged=True)
