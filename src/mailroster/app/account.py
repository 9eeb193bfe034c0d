"""Reports everything about one account, except its hash."""

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mailroster.analysis.mailbox import place_of
from mailroster.analysis.mailbox_limit import default, limit_of
from mailroster.app.app_passwords import AppPasswordReport, app_passwords
from mailroster.app.home import Home
from mailroster.app.usage import MailboxUse, usages
from mailroster.base.address import Address
from mailroster.base.findings import Location, ParseError, Refused
from mailroster.base.sizes import size_text
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import Notes, notes_of
from mailroster.roster.formats.hash_cost import cost_of, scheme_of
from mailroster.roster.roster import Roster
from mailroster.routing.incoming import IncomingRoute, leads_to
from mailroster.routing.router import Router
from mailroster.routing.trace import restrictions
from mailroster.servers import mailboxes
from mailroster.servers.version import recorded_version

_DIRECTIONS = (("send", "send_access"), ("receive", "receive_access"))


class Mailbox(NamedTuple):
    """The place of an account's mail; `folder` and `location` are None if only Dovecot knows it."""

    folder: str | None
    location: str | None
    exists: bool


class Quota(NamedTuple):
    """The quota of an account. `size` is None for the default of the server, or if only Dovecot
    knows it; `messages` is 0 for any number. `field` and `where` are the extra field and the line
    that set it. `use` is None if no server counts it."""

    size: str | None
    messages: int
    field: str
    where: Location | None
    use: MailboxUse | None


class Restriction(NamedTuple):
    """An entry that forbids an account to `send` or to `receive`."""

    direction: str
    address: str
    action: str
    where: Location
    notes: Notes


class AccountReport(NamedTuple):
    """An account. `scheme` and `cost` are those of the hash, "" if it names none. `delivered_to` is
    None if Postfix could not expand the address."""

    address: Address
    where: Location
    scheme: str
    cost: str
    locked: bool
    notes: Notes
    fields: dict[str, str]
    mailbox: Mailbox
    quota: Quota
    delivered_to: list[str] | None
    leads: list[IncomingRoute]
    restrictions: list[Restriction]
    app_passwords: list[AppPasswordReport]


def report(
    home: Home, roster: Roster, address: Address, progress: Callable[[int], object]
) -> AccountReport:
    """Reports an account by the config folder and a running server. `progress` gets the number of
    mailboxes that are counted. Raises Refused if there is no such account."""
    account, position = roster.accounts.get(address), roster.accounts.position(address)
    if account is None or position is None:
        raise Refused(f"there is no account {address!r}")
    router = home.router(roster)
    place = place_of(account, home.settings.mail, recorded_version(home.layout))
    folder = place.path if place else mailboxes.folder(home.settings.mail, address)
    cost = cost_of(account.password)
    return AccountReport(
        address,
        roster.accounts.location(position),
        scheme_of(account.password),
        "" if cost is None else str(cost),
        account.is_locked(),
        notes_of(roster.accounts, position),
        dict(account.fields()),
        Mailbox(folder if place else None, str(place) if place else None, os.path.lexists(folder)),
        _quota(home, roster, address, progress),
        _delivered_to(router, address),
        leads_to(router, address),
        [
            restriction
            for direction, field in _DIRECTIONS
            for restriction in _restrictions(getattr(roster, field), direction, address)
        ],
        app_passwords(home, roster, address),
    )


def _quota(
    home: Home, roster: Roster, address: Address, progress: Callable[[int], object]
) -> Quota:
    by_default = default(home.settings.mailbox_size_limit, recorded_version(home.layout))
    limit = limit_of(roster, address, by_default, home.settings.mail)
    document: Document[Any] = roster.accounts if limit.field else roster.quotas
    position = document.position(address)
    is_set = not limit.is_default and position is not None
    return Quota(
        None if limit.is_default or limit.size is None else size_text(limit.size),
        limit.messages,
        limit.field,
        document.location(position) if is_set and position is not None else None,
        usages(home, roster, [address], progress).get(address),
    )


def _delivered_to(router: Router, address: Address) -> list[str] | None:
    try:
        return router.expand(address)
    except ParseError:
        return None


def _restrictions(document: Document[Any], direction: str, address: str) -> Iterator[Restriction]:
    """The restrictions of an address in the order of the lookups of access(5); the first counts."""
    for entry in restrictions(document, address):
        position = document.position(entry.key)
        assert position is not None, "it is in the file"
        where, notes = document.location(position), notes_of(document, position)
        yield Restriction(direction, entry.key, entry.action, where, notes)
