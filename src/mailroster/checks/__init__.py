"""What is wrong with a roster: one function a rule, each from a router to findings."""

from collections.abc import Callable, Iterator

from mailroster.checks import accounts, aliases, notes, quotas
from mailroster.finding import Finding
from mailroster.resolve import Router

Rule = Callable[[Router], Iterator[Finding]]
RULES: tuple[Rule, ...] = (
    accounts.with_owner, aliases.unreasonable, quotas.without_account, notes.amiss
)  # fmt: skip


def check(router: Router) -> list[Finding]:
    """Every finding, in the order of files and lines."""
    found = [
        finding for _, document in router.roster.documents() for finding in document.findings()
    ]
    for rule in RULES:
        found += rule(router)
    return sorted(found)
