"""Everything that a roster says about one address: its route, its login, its senders, mailboxes and
restrictions. Pure; mailroster.app.comparison compares it with the servers."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from mailroster.analysis.mailbox import place_of
from mailroster.analysis.mailbox_limit import default, limit_of
from mailroster.base.address import split, split_extension
from mailroster.base.findings import Finding, Location, ParseError
from mailroster.base.settings import Settings
from mailroster.base.sizes import size_text
from mailroster.roster.documents import notes
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import Notes
from mailroster.roster.dovecot.served import main_services
from mailroster.roster.formats.credentials import is_locked
from mailroster.roster.formats.local_aliases import LocalAliases
from mailroster.routing import senders
from mailroster.routing.router import Router
from mailroster.routing.trace import MAILBOX, LinesOfRules, Trace, follow_served, restriction

#: The most hops whose lines are searched for notes.
_NOTED = 100


class Login(NamedTuple):
    """Whether an address can log in, and why. `nets`: the only networks from which it can, "" for
    any. `services`: the protocols that its main password opens, None for all. `app_passwords`: the
    labels of the app passwords that open it as well."""

    allowed: bool
    why: str
    nets: str = ""
    services: tuple[str, ...] | None = None
    app_passwords: tuple[str, ...] = ()


class Mailbox(NamedTuple):
    """A mailbox at the end of a route. `place`: where its mail is (Place), "" if only Dovecot can
    tell. `limit`: a normal size, "" = the server's default, "?" = only Dovecot can tell.
    `messages`: the most messages, 0 = any number."""

    account: str
    where: Location
    place: str
    limit: str
    limit_where: Location | None
    messages: int = 0


class AddressRestriction(NamedTuple):
    """An entry of access(5) for an address. `direction`: `send` or `receive`."""

    direction: str
    where: Location
    key: str
    action: str


class Explanation(NamedTuple):
    """All of it. `router` is that of the tables as the servers have them, `whole` that of the
    folder. `senders` is None where anybody who logs in may send as the address. `findings`: lines
    for it that can't be read. `left_out`: aliases on its route that the tables leave out, since
    Postfix could not follow them."""

    trace: Trace
    router: Router
    whole: Router
    findings: tuple[Finding, ...]
    left_out: tuple[Finding, ...]
    mailboxes: tuple[Mailbox, ...]
    login: Login
    senders: tuple[str, ...] | None
    restrictions: tuple[AddressRestriction, ...]
    notes: tuple[tuple[Location, Notes], ...]


def explain(
    router: Router,
    settings: Settings,
    address: str,
    lines_of_rules: LinesOfRules,
    version: str = "",
) -> Explanation:
    """Everything about a qualified address, for a version of Dovecot ("" = any). Raises what
    `router.captured` raises."""
    router = router._replace(postmaster=settings.postmaster_address)
    trace, served, left_out = follow_served(router, address, lines_of_rules)
    accounts = dict.fromkeys(end.mailbox for end in trace.recipients if end.kind == MAILBOX)
    mailboxes = [_mailbox(router, settings, account, version) for account in accounts]
    owners = None
    if settings.spoof_protection:
        owners = senders.of_address(router, address, catch_all=settings.spoof_catch_all)
    return Explanation(
        trace,
        served,
        router,
        tuple(_unread(router, address)),
        left_out,
        tuple(mailboxes),
        login(router, trace),
        owners,
        tuple(_restrictions(router, address)),
        tuple(_notes(router, trace, address)),
    )


def login(router: Router, trace: Trace) -> Login:
    """Whether the address of a route can log in, as Dovecot decides it."""
    accounts = router.roster.accounts
    key = trace.address.lower()
    account = accounts.get(key)
    if account is None:
        local, domain = split(key)
        bare = f"{split_extension(local)[0]}@{domain}"
        if bare in accounts:
            return Login(False, f"a login has no extension; log in as {bare}")
        where = trace.hops[0].where if trace.hops else None
        if where is not None:
            return Login(False, f"{where} makes it an alias, and an alias has no password")
        return Login(False, "no account has this address")
    where = accounts.location(accounts.position(key))
    fields = dict(account.fields())
    if is_locked(account.password):
        return Login(False, f"{where}: it is locked, by the '!' in front of its hash")
    if "nologin" in fields:
        reason = f": {fields['reason']}" if fields.get("reason") else ""
        return Login(False, f"{where}: it has the extra field nologin{reason}")
    mentioning = router.roster.app_passwords.mentioning(*split(account.address))
    labels = tuple(entry.label for _, entry in mentioning)
    services = main_services(account, router.services)
    allowed = services != () or bool(labels)
    return Login(allowed, str(where), fields.get("allow_nets", ""), services, labels)


def _mailbox(router: Router, settings: Settings, account: str, version: str) -> Mailbox:
    roster = router.roster
    where = roster.accounts.location(roster.accounts.position(account))
    entry = roster.accounts.get(account)
    assert entry is not None
    place = place_of(entry, settings.mail, version)
    place_text = "" if place is None else str(place)
    if not settings.enable_quotas:
        return Mailbox(account, where, place_text, "", None)
    by_default = default(settings.mailbox_size_limit, version)
    limit = limit_of(roster, account, by_default, settings.mail)
    if limit.is_default:
        return Mailbox(account, where, place_text, "", None, limit.messages)
    quota = roster.quotas.position(account)
    limit_where = where if limit.field or quota is None else roster.quotas.location(quota)
    size = "?" if limit.size is None else size_text(limit.size)
    return Mailbox(account, where, place_text, size, limit_where, limit.messages)


def _restrictions(router: Router, address: str) -> Iterator[AddressRestriction]:
    for direction in ("send", "receive"):
        document = getattr(router.roster, f"{direction}_access")
        entry = restriction(document, address)
        if entry is not None:
            where = document.location(document.position(entry.key))
            yield AddressRestriction(direction, where, entry.key, entry.action)


def _unread(router: Router, address: str) -> Iterator[Finding]:
    """The errors of lines that have the address as their key, and don't count for that."""
    documents: tuple[Document[Any], ...] = (
        router.roster.accounts, router.roster.quotas, *router.roster.aliases(),
    )  # fmt: skip
    local, domain = split(address.lower())
    for document in documents:
        own = isinstance(document.format, LocalAliases) and domain == router.origin
        for position in document.positions(local if own else address.lower()):
            try:
                document.format.parse(document.line(position))
            except ParseError as fault:
                yield fault.at(document.location(position))


def _notes(router: Router, trace: Trace, address: str) -> Iterator[tuple[Location, Notes]]:
    """The notes above the lines of the route, and above the account."""
    accounts = router.roster.accounts
    aliases = {document.format.file: document for document in router.roster.aliases()}
    places: dict[Location, Notes] = {}
    keys: list[tuple[Document[Any], str]] = [(accounts, address.lower())]
    for hop in trace.hops[:_NOTED]:
        if hop.where is not None and hop.where.file in aliases:
            keys.append((aliases[hop.where.file], hop.key))
        elif hop.where is not None and hop.where.file == accounts.format.file:
            keys.append((accounts, hop.key))
    for document, key in keys:
        position = document.position(key)
        if position is not None and (entry := notes.notes_of(document, position)) != Notes():
            places.setdefault(document.location(position), entry)
    yield from places.items()
