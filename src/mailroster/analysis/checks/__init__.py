"""The rules of `check`: each is a function from a subject to findings.

Each code has a page, docs/reference/checks/CODE.md.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from mailroster.analysis.checks import (
    accounts,
    aliases,
    app_passwords,
    domains,
    notes,
    quotas,
    restrictions,
    secrets,
    senders,
)
from mailroster.analysis.checks.subject import Subject
from mailroster.analysis.checks.suppressions import suppress
from mailroster.base.findings import Finding

Rule = Callable[[Subject], Iterator[Finding]]
RULES: tuple[Rule, ...] = (
    accounts.with_owner,
    accounts.locked_and_forwarding,
    secrets.schemes,
    secrets.readable_by_all,
    quotas.without_account,
    quotas.overridden,
    restrictions.without_account,
    restrictions.of_bare_names,
    senders.without_account,
    app_passwords.without_account,
    app_passwords.without_services,
    aliases.unreasonable,
    aliases.dangling,
    aliases.shadowing,
    aliases.catch_alls,
    aliases.unreachable,
    aliases.repeating,
    aliases.discarding,
    domains.misspelt,
    domains.misspelt_recipients,
    domains.public,
    notes.invalid,
)


def check(subject: Subject, more: Iterable[Finding] = ()) -> list[Finding]:
    """Every finding that no comment allows, in the order of files and lines; those in `more`
    included."""
    return sorted(findings(subject, more))


def findings(subject: Subject, more: Iterable[Finding] = ()) -> Iterator[Finding]:
    """As `check`, one by one and in the order of the rules: a caller need not keep a million of
    them."""
    subject = subject.in_memory()
    return suppress(subject.roster, chain(more, _all(subject)))


def _all(subject: Subject) -> Iterator[Finding]:
    for _, document in subject.roster.documents():
        yield from document.findings()
    for rule in _rules(subject):
        yield from rule(subject)


def _rules(subject: Subject) -> Iterator[Rule]:
    """The rules that apply. Those about patterns are imported only if there are patterns: 3 of the
    50 ms of an edit."""
    yield from RULES
    if not subject.roster.regexp.is_empty():
        from mailroster.analysis.checks import regexps

        yield from regexps.RULES
