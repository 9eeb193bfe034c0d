"""The way of one address, step by step: each lookup that Postfix makes, where it ends, and what is
answered to who sends to it. The steps are the router's own."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mailroster.base.address import split, split_extension
from mailroster.base.findings import Finding, Location, ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.access import Restriction
from mailroster.roster.formats.regexp import placed
from mailroster.roster.formats.virtual import Alias
from mailroster.roster.roster import Roster
from mailroster.routing.router import (
    BARE,
    DISCARD_DOMAIN,
    DOMAIN,
    NAME,
    POSTMASTER_SETTING,
    Match,
    Router,
    quoted,
    role_recipient,
)

MAILBOX, ELSEWHERE, DISCARDED, NOWHERE = "mailbox", "elsewhere", "discarded", "nowhere"
#: Aliases that lead nowhere are looked for so many at once, and so often.
_AT_ONCE, _ROUNDS = 20, 100
#: The lines of the rules that take some addresses (Postfix alone can tell).
LinesOfRules = Callable[[Iterable[str]], Mapping[str, int]]


class Lookup(NamedTuple):
    """A key that was asked for in a file, and found nothing."""

    file: str
    form: str  # of the key: mailroster.routing.router
    key: str


class Hop(NamedTuple):
    """One address on the way: what it becomes, by which line, and what was tried before.

    An address that nothing matches becomes nothing: no `where`, no results. The `key` of a rule is
    its pattern.
    """

    address: str
    where: Location | None
    form: str
    key: str
    results: tuple[str, ...]
    tried: tuple[Lookup, ...]

    def stays(self) -> bool:
        """Whether the address is one of its own results, or the end of the way."""
        return not self.results or self.address.lower() in map(str.lower, self.results)


class Recipient(NamedTuple):
    """Where a route ends: in the mailbox of an account, on another server, discarded, or
    nowhere."""

    address: str
    kind: str
    mailbox: str = ""


class Answer(NamedTuple):
    """What is answered to who sends to an address: the code of RCPT, the code at the end of the
    message, and why. 0 stands for a code that only Postfix knows."""

    rcpt: int
    data: int
    why: str


class Trace(NamedTuple):
    """All of it. With a `fault` Postfix can't follow the address to its end; there are no
    recipients then, nor where the mail is refused."""

    address: str
    answer: Answer
    hops: tuple[Hop, ...]
    recipients: tuple[Recipient, ...]
    fault: ParseError | None = None


def follow(
    router: Router, address: str, lines_of_rules: LinesOfRules, served: Router | None = None
) -> Trace:
    """The way of a qualified address, as the tables would have it if every alias were in them;
    `served` names the domains that are served, if it is not the router itself."""
    served = served or router
    hops: dict[str, tuple[str, Match | None, str, list[Lookup]]] = {}

    def look(current: str) -> Match | None:
        tried: list[Lookup] = []
        for file, form, key, match in router.tries(current):
            if match is not None:
                hops.setdefault(current.lower(), (current, match, form, tried))
                return match
            tried.append(Lookup(file, form, key))
        hops.setdefault(current.lower(), (current, None, "", tried))
        return None

    fault = None
    recipients: list[str] = []
    try:
        recipients = router.walk(address, look)
    except ParseError as found:
        fault = found
    steps = _placed(router, hops.values(), lines_of_rules)
    ends = tuple(end_of(served, recipient) for recipient in recipients)
    answer = _answer(router, served, address, fault, lead_nowhere(ends))
    if answer.data not in (0, 250) and answer.why != LEADS_NOWHERE:
        ends = ()
    return Trace(address, answer, steps, ends, fault)


#: Why an address is refused whose every recipient is an address here that does not exist.
LEADS_NOWHERE = "every address that it leads to is unknown here"


def lead_nowhere(ends: Collection[Recipient]) -> bool:
    """Whether mail to some recipients would be accepted for nothing, and bounce."""
    return bool(ends) and all(end.kind == NOWHERE for end in ends)


#: An entry of a file that says where mail goes: the file, and the key.
_Entry = tuple[str, str]


class InForce(NamedTuple):
    """The way in the tables as they are served, and the aliases on it that are not in them."""

    way: Trace
    router: Router
    left_out: tuple[Finding, ...]


def in_force(router: Router, address: str, lines_of_rules: LinesOfRules) -> InForce:
    """As `follow`, but without the aliases that Postfix could not follow: they have no row.

    Where hundreds of them stand on one way, the fault stays.
    """
    judged: dict[_Entry, Finding | None] = {}
    whole = router
    # The rows of the roles are those of the folder as it stands.
    router = router._replace(role=lambda key: role_recipient(whole, key))
    for _ in range(_ROUNDS):
        way = follow(router, address, lines_of_rules, whole)
        waiting = _doubtful(whole, way, all_of_them=any(judged.values()))
        waiting = [entry for entry in waiting if entry not in judged][:_AT_ONCE]
        if not waiting:
            break
        judged |= {entry: _endless(whole, *entry) for entry in waiting}
        removed = [entry for entry in waiting if judged[entry]]
        router = router._replace(roster=_without(router.roster, removed))
    return InForce(way, router, tuple(filter(None, judged.values())))


def _doubtful(router: Router, way: Trace, *, all_of_them: bool) -> Iterable[_Entry]:
    """The aliases on a way that may have no row. On one that comes to its end those that were asked
    for by another key than the address on it: mail to that key goes another way."""
    files = [document.format.file for document in router.roster.aliases()]
    entries: dict[_Entry, None] = {}
    for hop in way.hops:
        if hop.where is None or hop.where.file not in files:
            continue
        by_itself = router.qualified(hop.key) == hop.address.lower()
        if all_of_them or way.fault is not None or not by_itself:
            entries[hop.where.file, hop.key] = None
    return entries


def _without(roster: Roster, entries: Iterable[_Entry]) -> Roster:
    documents: dict[str, Any] = {}
    for field in ("virtual", "local_aliases"):
        document: Document[Alias] = getattr(roster, field)
        keys = [key for file, key in entries if file == document.format.file]
        documents[field] = document.remove([at for key in keys for at in document.positions(key)])
    return roster._replace(**documents)


def _endless(router: Router, file: str, key: str) -> Finding | None:
    """Why Postfix could not follow an alias to its end; None if it can."""
    try:
        router.follow(key)
    except ParseError as fault:
        document = router.roster.of_file(file)
        return fault.at(document.location(document.position(key)))
    return None


def restriction(document: Document[Restriction], address: str) -> Restriction | None:
    """The entry that counts for an address: the first of `restrictions`."""
    return next(restrictions(document, address), None)


def restrictions(document: Document[Restriction], address: str) -> Iterator[Restriction]:
    """The entries about an address, in the order in which access(5) looks: the address, with its
    extension and without; its domain, and those above it; `user@`."""
    local, domain = split(address.lower())
    users = list(dict.fromkeys((local, split_extension(local)[0])))
    keys = [f"{user}@{domain}" for user in users]
    labels = domain.split(".")
    keys += [".".join(labels[n:]) for n in range(len(labels))]
    keys += [f"{user}@" for user in users]
    yield from (entry for key in keys if (entry := document.get(key)) is not None)


def code_of(action: str) -> int:
    """The code that an action of access(5) is answered with: 250 lets pass; 0, only Postfix knows
    it."""
    word = action.split(None, 1)[0].upper()
    if word in ("OK", "DUNNO", "PERMIT", "RELAY") or (action.isascii() and action.isdigit()):
        return 250
    if word == "REJECT":
        return 554
    if word == "DEFER":
        return 450
    return int(word) if word.isascii() and word.isdigit() and word[0] in "45" else 0


def _placed(
    router: Router,
    found: Iterable[tuple[str, Match | None, str, list[Lookup]]],
    lines_of_rules: LinesOfRules,
) -> tuple[Hop, ...]:
    """Hops with the places of the lines that matched."""
    roster = router.roster
    steps = list(found)
    captured = [a for a, match, _, _ in steps if match and match.file == roster.regexp.format.file]
    lines = lines_of_rules(map(quoted, captured)) if captured else {}
    document = roster.regexp
    patterns = (
        {document.number(at): rule.pattern for at, rule, _ in placed(document)} if captured else {}
    )
    hops = []
    for address, match, form, tried in steps:
        if match is None:
            hops.append(Hop(address, None, "", "", (), tuple(tried)))
            continue
        if match.file == roster.regexp.format.file:
            where = Location(match.file, lines.get(quoted(address), 0))
            match = match._replace(key=patterns.get(where.line, match.key))
        elif match.file == POSTMASTER_SETTING:
            where = Location(match.file)
        else:
            entries = roster.of_file(match.file)
            where = entries.location(entries.position(match.key))
        hops.append(Hop(address, where, form, match.key, tuple(match.results), tuple(tried)))
    return tuple(hops)


def _answer(
    router: Router, served: Router, address: str, fault: ParseError | None, nowhere: bool
) -> Answer:
    """What smtpd(8), the policy service and cleanup(8) answer, in their order."""
    domain = split(address)[1].lower()
    if not is_served(served, domain):
        why = f"no account and no alias makes {domain} one of our domains"
        return Answer(554, 554, f"{why}; only who has logged in may send there")
    # smtpd(8), and only that, asks in lower case, and without the quotes as well.
    if not _is_known(router, address.lower()):
        return Answer(550, 550, "no alias, no rule, no account and no catch-all takes it")
    entry = restriction(router.roster.receive_access, address)
    if entry is not None and (code := code_of(entry.action)) != 250:
        document = router.roster.receive_access
        where = document.location(document.position(entry.key))
        return Answer(code, code, f"{where} restricts {entry.key!r}: {entry.action}")
    if fault is not None:
        return Answer(250, 451, fault.message)
    if nowhere and (entry is None or not _permits(entry.action)):
        return Answer(550, 550, LEADS_NOWHERE)
    return Answer(250, 250, "")


def _permits(action: str) -> bool:
    """Whether an action of access(5) is the last word, so that the policy service is not asked."""
    return action.split(None, 1)[0].upper() in ("OK", "PERMIT")


def _is_known(router: Router, address: str) -> bool:
    if router.captured(address) is not None:
        return True
    try:
        return router.lookup(address) is not None
    except ParseError:
        return True


def is_served(router: Router, domain: str) -> bool:
    """Whether mail for a domain is taken from anybody."""
    return router.serves(domain)


def end_of(router: Router, address: str) -> Recipient:
    """What becomes of mail to a final recipient."""
    domain = split(address)[1].lower()
    if domain == DISCARD_DOMAIN:
        return Recipient(address, DISCARDED)
    if not router.serves(domain):
        return Recipient(address, ELSEWHERE)
    mailbox = router.mailbox(address)
    return Recipient(address, NOWHERE) if mailbox is None else Recipient(address, MAILBOX, mailbox)


def form_told(form: str) -> str:
    """The form of a key, for people; nothing about the plain address."""
    return {
        BARE: ", its extension left out",
        NAME: ", the server's own domain left out",
        DOMAIN: ", the catch-all of its domain",
    }.get(form, "")
