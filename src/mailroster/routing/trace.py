"""The route of one address, step by step: each lookup that Postfix makes, where the mail ends, and
the answer that a sender gets. The steps are those of the router itself."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mailroster.base.address import split, split_extension
from mailroster.base.findings import Finding, Location, ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.access import Restriction
from mailroster.roster.formats.regexp import placed
from mailroster.roster.formats.virtual import Alias
from mailroster.roster.roster import Roster
from mailroster.routing.lookups import (
    BARE,
    DISCARD_DOMAIN,
    DOMAIN,
    NAME,
    POSTMASTER_SETTING,
    Match,
    quoted,
    role_recipient,
)
from mailroster.routing.router import Router

MAILBOX, ELSEWHERE, DISCARDED, NOWHERE = "mailbox", "elsewhere", "discarded", "nowhere"
#: Aliases that Postfix can't follow are searched for this many at once, in this many rounds.
_AT_ONCE, _ROUNDS = 20, 100
#: Why an address is refused if no address that it leads to exists.
LEADS_NOWHERE = "it leads only to addresses that do not exist here"
#: Gives the line of the rule that matches each of some addresses, as Postfix finds it.
LinesOfRules = Callable[[Iterable[str]], Mapping[str, int]]


class Lookup(NamedTuple):
    """A lookup without a match."""

    file: str
    form: str  # of the key: mailroster.routing.lookups
    key: str


class Hop(NamedTuple):
    """One address on a route: its results, the line that gives them, and the lookups before.

    If nothing matches, there are no results and no `where`. The `key` of a rule is its pattern.
    """

    address: str
    where: Location | None
    form: str
    key: str
    results: tuple[str, ...]
    tried: tuple[Lookup, ...]

    def stays(self) -> bool:
        """Whether the address is one of its own results, or the end of the route."""
        return not self.results or self.address.lower() in map(str.lower, self.results)


class Recipient(NamedTuple):
    """The end of a route: the mailbox of an account, an address elsewhere, one whose mail is
    discarded, or one that does not exist."""

    address: str
    kind: str
    mailbox: str = ""


class Answer(NamedTuple):
    """The answer to a sender: the code at RCPT, the code after DATA, and why. A code that only
    Postfix knows is 0."""

    rcpt: int
    data: int
    why: str


class Trace(NamedTuple):
    """The whole route. There are no recipients where the mail is refused, nor with a `fault`:
    Postfix can't follow the address to its end then."""

    address: str
    answer: Answer
    hops: tuple[Hop, ...]
    recipients: tuple[Recipient, ...]
    fault: ParseError | None = None


class _Step(NamedTuple):
    """One address on a route, its match, the form of the key, and the lookups before."""

    address: str
    match: Match | None
    form: str
    tried: list[Lookup]


def follow(
    router: Router, address: str, lines_of_rules: LinesOfRules, served: Router | None = None
) -> Trace:
    """The route of a qualified address, as if the tables had every alias. `served` decides which
    domains are served, if it is not the router itself."""
    served = served or router
    steps: dict[str, _Step] = {}

    def look(current: str) -> Match | None:
        tried: list[Lookup] = []
        for file, form, key, match in router.attempts(current):
            if match is not None:
                steps.setdefault(current.lower(), _Step(current, match, form, tried))
                return match
            tried.append(Lookup(file, form, key))
        steps.setdefault(current.lower(), _Step(current, None, "", tried))
        return None

    fault = None
    recipients: list[str] = []
    try:
        recipients = router.walk(address, look)
    except ParseError as error:
        fault = error
    hops = _hops(router, steps.values(), lines_of_rules)
    ends = tuple(end_of(served, recipient) for recipient in recipients)
    answer = _answer(router, served, address, fault, lead_nowhere(ends))
    if answer.data not in (0, 250) and answer.why != LEADS_NOWHERE:
        ends = ()
    return Trace(address, answer, hops, ends, fault)


def lead_nowhere(ends: Collection[Recipient]) -> bool:
    """Whether no recipient exists, so that the mail would be accepted and then bounce."""
    return bool(ends) and all(end.kind == NOWHERE for end in ends)


#: An entry that redirects mail: the file and the key.
_Entry = tuple[str, str]


class ServedTrace(NamedTuple):
    """The route by the tables as Postfix has them, and the aliases on it that they leave out."""

    trace: Trace
    router: Router
    left_out: tuple[Finding, ...]


def follow_served(router: Router, address: str, lines_of_rules: LinesOfRules) -> ServedTrace:
    """As `follow`, without the aliases that Postfix could not follow: the tables leave them out.

    With hundreds of them on one route, the fault stays.
    """
    faults: dict[_Entry, Finding | None] = {}
    whole = router
    # The rows of the roles are those of the whole folder.
    router = router._replace(role=lambda key: role_recipient(whole, key))
    for _ in range(_ROUNDS):
        trace = follow(router, address, lines_of_rules, whole)
        doubtful = _doubtful(whole, trace, every_alias=any(faults.values()))
        entries = [entry for entry in doubtful if entry not in faults][:_AT_ONCE]
        if not entries:
            break
        faults |= {entry: _fault_of(whole, *entry) for entry in entries}
        removed = [entry for entry in entries if faults[entry]]
        router = router._replace(roster=_without(router.roster, removed))
    return ServedTrace(trace, router, tuple(filter(None, faults.values())))


def _doubtful(router: Router, trace: Trace, *, every_alias: bool) -> Iterable[_Entry]:
    """The aliases on a route that the tables may leave out. On a route that reaches its end only
    those whose key is not the address itself: mail to that key takes another route."""
    files = [document.format.file for document in router.roster.aliases()]
    entries: dict[_Entry, None] = {}
    for hop in trace.hops:
        if hop.where is None or hop.where.file not in files:
            continue
        by_itself = router.qualified(hop.key) == hop.address.lower()
        if every_alias or trace.fault is not None or not by_itself:
            entries[hop.where.file, hop.key] = None
    return entries


def _without(roster: Roster, entries: Iterable[_Entry]) -> Roster:
    documents: dict[str, Any] = {}
    for field in ("virtual", "local_aliases"):
        document: Document[Alias] = getattr(roster, field)
        keys = [key for file, key in entries if file == document.format.file]
        documents[field] = document.remove([at for key in keys for at in document.positions(key)])
    return roster._replace(**documents)


def _fault_of(router: Router, file: str, key: str) -> Finding | None:
    """Why Postfix can't follow an alias to its end; None if it can."""
    fault = router.fault_of(key)
    if fault is None:
        return None
    document = router.roster.of_file(file)
    return fault.at(document.location(document.position(key)))


def restriction(document: Document[Restriction], address: str) -> Restriction | None:
    """The entry that counts for an address: the first of `restrictions`."""
    return next(restrictions(document, address), None)


def restrictions(document: Document[Restriction], address: str) -> Iterator[Restriction]:
    """The entries for an address, in the order of access(5): the address, with its extension and
    without; its domain and the parent domains; `user@`."""
    local, domain = split(address.lower())
    users = list(dict.fromkeys((local, split_extension(local)[0])))
    keys = [f"{user}@{domain}" for user in users]
    labels = domain.split(".")
    keys += [".".join(labels[n:]) for n in range(len(labels))]
    keys += [f"{user}@" for user in users]
    yield from (entry for key in keys if (entry := document.get(key)) is not None)


def code_of(action: str) -> int:
    """The code of an action of access(5): 250 if the mail passes, 0 if only Postfix knows it."""
    word = action.split(None, 1)[0].upper()
    if word in ("OK", "DUNNO", "PERMIT", "RELAY") or (action.isascii() and action.isdigit()):
        return 250
    if word == "REJECT":
        return 554
    if word == "DEFER":
        return 450
    return int(word) if word.isascii() and word.isdigit() and word[0] in "45" else 0


def _hops(
    router: Router, steps: Collection[_Step], lines_of_rules: LinesOfRules
) -> tuple[Hop, ...]:
    """The steps, with the places of the lines that matched."""
    rules = router.roster.regexp
    file = rules.format.file
    by_rule = [step.address for step in steps if step.match and step.match.file == file]
    lines: Mapping[str, int] = {}
    patterns: dict[int, str] = {}
    if by_rule:
        lines = lines_of_rules(map(quoted, by_rule))
        patterns = {rules.number(at): rule.pattern for at, rule, _ in placed(rules)}
    hops = []
    for address, match, form, tried in steps:
        if match is None:
            hops.append(Hop(address, None, "", "", (), tuple(tried)))
            continue
        key = match.key
        if match.file == file:
            where = Location(file, lines.get(quoted(address), 0))
            key = patterns.get(where.line, key)
        elif match.file == POSTMASTER_SETTING:
            where = Location(match.file)
        else:
            document = router.roster.of_file(match.file)
            where = document.location(document.position(key))
        hops.append(Hop(address, where, form, key, tuple(match.results), tuple(tried)))
    return tuple(hops)


def _answer(
    router: Router, served: Router, address: str, fault: ParseError | None, nowhere: bool
) -> Answer:
    """The answer of smtpd(8), the policy service and cleanup(8), in their order."""
    domain = split(address)[1].lower()
    if not served.serves(domain):
        why = f"no account and no alias is in {domain}, so this server is not in charge of it"
        return Answer(554, 554, f"{why}; only a user who has logged in may send there")
    # smtpd(8), and only that, looks addresses up in lower case, and without the quotes as well.
    if not _is_known(router, address.lower()):
        return Answer(550, 550, "no alias, no rule, no account and no catch-all matches it")
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
    """Whether an action of access(5) accepts the mail at once, before the policy service."""
    return action.split(None, 1)[0].upper() in ("OK", "PERMIT")


def _is_known(router: Router, address: str) -> bool:
    if router.captured(address) is not None:
        return True
    try:
        return router.lookup(address) is not None
    except ParseError:
        return True


def end_of(router: Router, address: str) -> Recipient:
    """A final recipient, and where its mail ends."""
    domain = split(address)[1].lower()
    if domain == DISCARD_DOMAIN:
        return Recipient(address, DISCARDED)
    if not router.serves(domain):
        return Recipient(address, ELSEWHERE)
    mailbox = router.mailbox(address)
    return Recipient(address, NOWHERE) if mailbox is None else Recipient(address, MAILBOX, mailbox)


def form_text(form: str) -> str:
    """The form of a key, for people; "" for the whole address."""
    return {
        BARE: ", its extension left out",
        NAME: ", the server's own domain left out",
        DOMAIN: ", the catch-all of its domain",
    }.get(form, "")
