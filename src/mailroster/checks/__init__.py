"""What is wrong with a folder: one function a rule, each from a subject to findings.

Each code has a page, docs/checks/CODE.md.
"""

from collections.abc import Callable, Iterable, Iterator

from mailroster.checks import (
    accounts,
    aliases,
    domains,
    notes,
    quotas,
    regexps,
    restrictions,
    secrets,
    senders,
)
from mailroster.checks.allowed import judged
from mailroster.checks.subject import Subject
from mailroster.finding import Finding

Rule = Callable[[Subject], Iterator[Finding]]
RULES: tuple[Rule, ...] = (
    accounts.with_owner,
    accounts.locked_and_forwarding,
    secrets.schemes,
    secrets.readable_by_all,
    quotas.without_account,
    restrictions.without_account,
    senders.without_account,
    aliases.unreasonable,
    aliases.dangling,
    aliases.shadowing,
    aliases.catching_all,
    aliases.never_asked,
    aliases.repeating,
    regexps.dangling,
    regexps.capturing,
    regexps.unanchored,
    regexps.with_bare_dot,
    regexps.backtracking,
    regexps.unreachable,
    regexps.unserved,
    domains.misspelt,
    domains.misspelt_recipients,
    notes.amiss,
)


def check(subject: Subject, more: Iterable[Finding] = ()) -> list[Finding]:
    """Every finding that nobody has allowed, in the order of files and lines; with `more`, which
    others have found."""
    found, subject = list(more), subject.in_memory()
    for _, document in subject.roster.documents():
        found += document.findings()
    for rule in RULES:
        found += rule(subject)
    return sorted(judged(subject.roster, found))
