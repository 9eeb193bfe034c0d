"""Rules about quotas."""

from collections.abc import Iterator

from mailroster.checks.subject import Subject
from mailroster.finding import WARNING, Finding


def without_account(subject: Subject) -> Iterator[Finding]:
    """A quota that no account has."""
    document = subject.roster.quotas
    for key, position in document.counted().items():
        if key not in subject.roster.accounts:
            where = document.location(position)
            what, mend = f"there is no account {key!r}", "remove the line, or add the account"
            yield Finding(where, WARNING, "quota-without-account", what, mend)
