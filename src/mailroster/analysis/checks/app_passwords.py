"""Rules about app passwords, and about accounts that need one."""

from collections.abc import Iterator

from mailroster.analysis.checks.subject import Subject, entries
from mailroster.base.findings import INFO, WARNING, Finding
from mailroster.roster.dovecot.fields import SERVICES
from mailroster.roster.dovecot.served import main_services


def without_account(subject: Subject) -> Iterator[Finding]:
    """An app password of an account that does not exist."""
    document = subject.roster.app_passwords
    for _, position, entry in entries(document):
        if entry.address not in subject.roster.accounts:
            where = document.location(position)
            message = f"there is no account {entry.address!r}"
            hint = "remove the line, or add the account"
            yield Finding(where, WARNING, "app-password-without-account", message, hint)


def without_services(subject: Subject) -> Iterator[Finding]:
    """An account whose own password opens nothing, and that has no app password."""
    document = subject.roster.accounts
    with_one = {entry.address for _, entry in subject.roster.app_passwords.items()}
    for key, position, account in entries(document):
        if SERVICES not in account.extra or key in with_one:
            continue
        if main_services(account, None) == ():
            where = document.location(position)
            message = f"no client can log in to {key!r}: its password opens no protocol"
            hint = "add an app password, or name protocols in 'services='"
            yield Finding(where, INFO, "no-app-password", message, hint)
