"""Rules about the rights to send as an address."""

from collections.abc import Iterator

from mailroster.analysis.checks.subject import Subject
from mailroster.base.findings import WARNING, Finding


def without_account(subject: Subject) -> Iterator[Finding]:
    """A right to send of an account that does not exist."""
    document = subject.roster.sender_logins
    for key, grant in document.items():
        for account in grant.accounts:
            if account not in subject.roster.accounts:
                where = document.location(document.position(key))
                message, hint = f"there is no account {account!r}", "remove it, or add the account"
                yield Finding(where, WARNING, "grant-without-account", message, hint)
