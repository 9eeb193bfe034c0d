"""What `check` would say about an edit, and did not say before: shown with the edit."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from mailroster.base.address import split
from mailroster.base.findings import INFO, Finding, ParseError, Refused, ServerError
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument, whole
from mailroster.roster.plan import Plan
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router, quoted

#: Folders with more entries are not checked as a whole: 60 ms for so many.
_ENTRIES_MAX = 4000
#: Which mailboxes a pattern takes is asked of all: 2 s for so many.
_WITH_PATTERN_MAX = 100_000
#: Keys of an edit that are looked at, and addresses that belong to these.
_KEYS_MAX, _ADDRESSES_MAX = 100, 500
_LETTERS = "abcdefghijklmnopqrstuvwxyz-."
#: Entries of a domain that tell the rules that it is more than a slip.
_OF_A_DOMAIN = 2
#: Codes of notes that `check` hides, and an edit shows.
_NOTES = ("regexp-open-end", "restriction-without-account")
#: Findings that are shown.
_SHOWN_MAX = 10


class NewFindings(NamedTuple):
    """What is wrong after an edit and was not before. `more`: how many others there are.
    `unchecked`: why the edit could not be checked, or "" if it could."""

    findings: Sequence[Finding] = ()
    more: int = 0
    unchecked: str = ""


def new_findings(plan: Plan, before: Roster, after: Roster, origin: str) -> NewFindings:
    """Checks the entries of an edit on a server of the name `origin`. Raises nothing for what can't
    be checked: the edit counts all the same."""
    try:
        return _checked(plan, before, after, origin)
    except (ParseError, Refused, ServerError, OSError) as error:
        return NewFindings(unchecked=f"the new entry could not be checked: {error}")


def _checked(plan: Plan, before: Roster, after: Roster, origin: str) -> NewFindings:
    entries = sum(document.size_hint() for document in after)
    has_pattern = any(edit.after.format.ordered for edit in plan.edits)
    if has_pattern and entries > _WITH_PATTERN_MAX:
        why = "the folder is large; 'setup check' says which mailboxes the pattern concerns"
        return NewFindings(unchecked=why)
    if entries > _ENTRIES_MAX and not has_pattern:
        keys = [key for some in plan.keys.values() for key in sorted(some)][:_KEYS_MAX]
        before, after = extracts(before, after, keys, origin)
    found = [f for f in _findings(after, origin) if _is_told(f)]
    known = {_gist(finding) for finding in _findings(before, origin)} if found else set()
    fresh = [finding for finding in found if _gist(finding) not in known]
    return NewFindings(fresh[:_SHOWN_MAX], max(0, len(fresh) - _SHOWN_MAX))


def _is_told(finding: Finding) -> bool:
    """Not what a comment allows in vain: not all rules are applied here."""
    if finding.severity == INFO:
        return finding.code in _NOTES
    return finding.code != "unused-allow"


def extracts(
    before: Roster, after: Roster, keys: Iterable[str], origin: str
) -> tuple[Roster, Roster]:
    """The parts of two rosters that say where mail to some keys goes: the same keys of both."""
    keys, pair = list(keys), (before, after)
    wanted = dict.fromkeys(key for roster in pair for key in _related(roster, keys, origin))
    domains = dict.fromkeys(split(key)[1] for key in wanted)
    domains |= dict.fromkeys(like for domain in [*domains] for like in _alike(after, domain))
    for roster in pair:
        for document in (roster.accounts, roster.virtual):
            for domain in domains:
                wanted |= dict.fromkeys(_first_of(document, domain))
    return _cut(before, wanted), _cut(after, wanted)


def _related(roster: Roster, keys: Iterable[str], origin: str) -> set[str]:
    """Some keys, and all that their mail may be looked up as, step by step."""
    router = Router(roster, origin, lambda address: None)
    found: set[str] = set()
    waiting = [key for key in keys if key]
    while waiting and len(found) < _ADDRESSES_MAX:
        key = waiting.pop()
        if key in found:
            continue
        found.add(key)
        local, domain = split(router.qualified(key).lower())
        if local:
            waiting += (f"{local}@{domain}", f"{local.partition('+')[0]}@{domain}", f"@{domain}")
        alias = roster.alias(key)
        waiting += [router.qualified(word).lower() for word in alias.recipients] if alias else []
    return found


def _cut(roster: Roster, keys: Iterable[str]) -> Roster:
    """The lines of some keys alone, and all patterns."""
    changed: dict[str, Any] = {}
    for field, document in roster.documents():
        if not document.format.ordered:
            places = {document.position(key) for key in keys} - {None}
            lines = [document.line(place) for place in sorted(p for p in places if p is not None)]
            text = "".join(f"{line}\n" for line in lines)
            changed[field] = Document(document.format, text)
    return roster._replace(**changed, regexp=whole(roster.regexp))


def _alike(roster: Roster, domain: str) -> Iterator[str]:
    """The served domains that a domain may be a slip for, if it has hardly any entry itself."""
    documents: tuple[Document[Any], ...] = (roster.accounts, roster.virtual)
    if sum(len([*_first_of(document, domain)]) for document in documents) >= _OF_A_DOMAIN:
        return
    known: set[str] = set()
    for document in documents:
        if not isinstance(
            document, LargeDocument
        ):  # there each question would search all of the text
            known |= {split(key)[1] for key in document.index}
    for other in _slips(domain):
        if other in known or any(
            isinstance(document, LargeDocument) and document.names_domain(other)
            for document in documents
        ):
            yield other


def _slips(domain: str) -> Iterator[str]:
    """All that differs by one slip of the hand, as checks.domains.is_slip has it."""
    for place in range(len(domain) + 1):
        start, end = domain[:place], domain[place:]
        yield start + end[1:]
        yield start + end[1:2] + end[:1] + end[2:]
        for letter in _LETTERS:
            yield start + letter + end
            yield start + letter + end[1:]


def _first_of(document: Document[Any], domain: str) -> Iterator[str]:
    for count, key in enumerate(document.keys_in(domain)):
        if count == _OF_A_DOMAIN:
            return
        yield key


def _findings(roster: Roster, origin: str) -> list[Finding]:
    """What the rules find; without those about patterns where nobody can judge these."""
    from mailroster.analysis.checks import check
    from mailroster.analysis.checks.subject import Subject
    from mailroster.servers.patterns import NoPcre, PatternMatcher, captors, prefetch

    roster = roster.in_memory()
    captures = PatternMatcher(roster.regexp)
    router = Router(roster, origin, captures).remembering()
    taken: dict[str, int] = {}
    if roster.regexp.index:
        try:
            accounts = [*map(quoted, roster.accounts.counted())]
            captures.evaluate(accounts)
            taken = captors(roster.regexp, filter(captures, accounts))
            prefetch(router, [*roster.virtual.index, *roster.local_aliases.index])
        except (NoPcre, ServerError):
            captures.give_up()
    return check(Subject(router, taken))


def _gist(finding: Finding) -> tuple[str, ...]:
    return finding.where.file, finding.code, finding.message
