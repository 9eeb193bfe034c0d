"""The findings of `check` that an edit causes; they are shown with the edit."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from mailroster.base.address import split
from mailroster.base.findings import INFO, Finding, ParseError, Refused, ServerError
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument, whole
from mailroster.roster.plan import Plan
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router

#: A folder with more entries is not checked as a whole; this many take 10 ms.
_ENTRIES_MAX = 1000
#: With more entries a new pattern is not checked on all mailboxes; this many take 2 s.
_WITH_PATTERN_MAX = 100_000
#: The keys of an edit that are checked, and the addresses related to them.
_KEYS_MAX, _ADDRESSES_MAX = 100, 500
_LETTERS = "abcdefghijklmnopqrstuvwxyz-."
#: A domain with this many entries is not a typing mistake.
_DOMAIN_ENTRIES = 2
#: Codes of infos that `check` hides and an edit shows.
_SHOWN_INFOS = ("regexp-open-end", "restriction-without-account")
#: The number of findings that are shown.
_SHOWN_MAX = 10


class NewFindings(NamedTuple):
    """The new findings after an edit. `more` is the number of others; `unchecked` says why the edit
    could not be checked, "" if it was."""

    findings: Sequence[Finding] = ()
    more: int = 0
    unchecked: str = ""


def new_findings(plan: Plan, before: Roster, after: Roster, origin: str) -> NewFindings:
    """Checks the entries of an edit on the server `origin`. Raises nothing if this is not possible:
    the edit is valid nevertheless."""
    try:
        return _checked(plan, before, after, origin)
    except (ParseError, Refused, ServerError, OSError) as error:
        return NewFindings(unchecked=f"the new entry could not be checked: {error}")


def _checked(plan: Plan, before: Roster, after: Roster, origin: str) -> NewFindings:
    entries = sum(document.size_hint() for document in after)
    has_pattern = any(edit.after.format.ordered for edit in plan.edits)
    if has_pattern and entries > _WITH_PATTERN_MAX:
        why = "the folder is large; run 'setup check' to see which mailboxes the pattern matches"
        return NewFindings(unchecked=why)
    if entries > _ENTRIES_MAX and not has_pattern:
        keys = [key for some in plan.keys.values() for key in sorted(some)][:_KEYS_MAX]
        before, after = extracts(before, after, keys, origin)
    current = [finding for finding in _findings(after, origin) if _is_shown(finding)]
    new = added_findings(current, lambda: _findings(before, origin))
    return NewFindings(new[:_SHOWN_MAX], max(0, len(new) - _SHOWN_MAX))


def added_findings(
    current: list[Finding], earlier: Callable[[], Iterable[Finding]]
) -> list[Finding]:
    """The current findings that the earlier ones, on whichever line, do not include. `earlier` is
    called only if there are current ones."""
    known = {_key(finding) for finding in earlier()} if current else set()
    return [finding for finding in current if _key(finding) not in known]


def _is_shown(finding: Finding) -> bool:
    """`unused-allow` is not shown: these checks do not apply all rules."""
    if finding.severity == INFO:
        return finding.code in _SHOWN_INFOS
    return finding.code != "unused-allow"


def extracts(
    before: Roster, after: Roster, keys: Iterable[str], origin: str
) -> tuple[Roster, Roster]:
    """The parts of two rosters that decide where mail to some keys goes; both get the same keys."""
    keys, pair = list(keys), (before, after)
    wanted = dict.fromkeys(key for roster in pair for key in _related(roster, keys, origin))
    domains = dict.fromkeys(split(key)[1] for key in wanted)
    domains |= dict.fromkeys(name for domain in [*domains] for name in _similar(after, domain))
    for roster in pair:
        for document in (roster.accounts, roster.virtual):
            for domain in domains:
                wanted |= dict.fromkeys(_first_keys(document, domain))
    return _extract(before, wanted), _extract(after, wanted)


def _related(roster: Roster, keys: Iterable[str], origin: str) -> set[str]:
    """Some keys, and all keys that Postfix may look up for their mail, step by step."""
    router = Router(roster, origin, lambda address: None)
    related: set[str] = set()
    waiting = [key for key in keys if key]
    while waiting and len(related) < _ADDRESSES_MAX:
        key = waiting.pop()
        if key in related:
            continue
        related.add(key)
        local, domain = split(router.qualified(key).lower())
        if local:
            waiting += (f"{local}@{domain}", f"{local.partition('+')[0]}@{domain}", f"@{domain}")
        alias = roster.alias(key)
        waiting += [router.qualified(word).lower() for word in alias.recipients] if alias else []
    return related


def _extract(roster: Roster, keys: Iterable[str]) -> Roster:
    """A roster with the lines of some keys only, and with all patterns."""
    changed: dict[str, Any] = {}
    for field, document in roster.documents():
        if not document.format.ordered:
            positions = {document.position(key) for key in keys} - {None}
            lines = [document.line(each) for each in sorted(p for p in positions if p is not None)]
            text = "".join(f"{line}\n" for line in lines)
            changed[field] = Document(document.format, text)
    return roster._replace(**changed, regexp=whole(roster.regexp))


def _similar(roster: Roster, domain: str) -> Iterator[str]:
    """The served domains of which a domain with few entries may be a misspelling."""
    documents: tuple[Document[Any], ...] = (roster.accounts, roster.virtual)
    if sum(len([*_first_keys(document, domain)]) for document in documents) >= _DOMAIN_ENTRIES:
        return
    known: set[str] = set()
    for document in documents:
        if not isinstance(document, LargeDocument):  # a large one has no index in memory
            known |= {split(key)[1] for key in document.index}
    for other in _misspellings(domain):
        if other in known or any(
            isinstance(document, LargeDocument) and document.names_domain(other)
            for document in documents
        ):
            yield other


def _misspellings(domain: str) -> Iterator[str]:
    """All names that differ by one typing mistake, as defined by checks.domains.is_misspelling."""
    for position in range(len(domain) + 1):
        start, end = domain[:position], domain[position:]
        yield start + end[1:]
        yield start + end[1:2] + end[:1] + end[2:]
        for letter in _LETTERS:
            yield start + letter + end
            yield start + letter + end[1:]


def _first_keys(document: Document[Any], domain: str) -> Iterator[str]:
    return islice(document.keys_in(domain), _DOMAIN_ENTRIES)


def _findings(roster: Roster, origin: str) -> list[Finding]:
    """The findings about a roster; without those about patterns if Postfix can't evaluate them."""
    from mailroster.analysis.checks import check
    from mailroster.analysis.checks.subject import Subject
    from mailroster.servers.patterns import NoPcre, PatternMatcher, prefetch

    roster = roster.in_memory()
    matcher = PatternMatcher(roster.regexp)
    router = Router(roster, origin, matcher).remembering()
    captured: dict[str, int] = {}
    if roster.regexp.index:
        from mailroster.app.pattern_matcher import captured_accounts

        try:
            captured = captured_accounts(roster, matcher)
            prefetch(router, [*roster.virtual.index, *roster.local_aliases.index])
        except (NoPcre, ServerError):
            matcher.give_up()
    return check(Subject(router, captured))


def _key(finding: Finding) -> tuple[str, ...]:
    return finding.where.file, finding.code, finding.message
