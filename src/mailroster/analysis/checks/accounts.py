"""Rules about accounts."""

from collections.abc import Iterator

from mailroster.analysis.checks.subject import Subject, entries, first_few
from mailroster.base.address import split
from mailroster.base.findings import WARNING, Finding, ParseError
from mailroster.roster.dovecot.fields import OWNER
from mailroster.roster.formats.accounts import Account


def with_owner(subject: Subject) -> Iterator[Finding]:
    """An extra field that sets the owner of mail: all mail has one owner."""
    document = subject.roster.accounts
    for _, position, account in entries(document):
        if not account.extra:
            continue
        for name in sorted(OWNER.intersection(name for name, _ in account.fields())):
            where = document.location(position)
            message = f"the extra field {name!r} has no effect: all mail has one owner"
            hint = "remove it; the settings vmail_uid and vmail_gid set the owner"
            yield Finding(where, WARNING, "owner-field", message, hint)


def locked_and_forwarding(subject: Subject) -> Iterator[Finding]:
    """An account that may not log in, but whose mail still goes to another server."""
    router, document = subject.router, subject.roster.accounts
    for key, position, account in entries(document):
        if not may_not_log_in(account) or key not in subject.roster.virtual:
            continue
        try:
            recipients = router.expand(key)
        except ParseError:
            continue
        elsewhere = [
            address for address in recipients if not router.serves(split(address.lower())[1])
        ]
        if elsewhere:
            names = first_few(elsewhere)
            message = f"{key!r} is locked, but its mail is still forwarded to {names}"
            hint = "remove these recipients from its alias, or unlock the account"
            where = document.location(position)
            yield Finding(where, WARNING, "locked-forwards", message, hint)


def may_not_log_in(account: Account) -> bool:
    """Whether a lock or an extra field keeps an account from logging in."""
    if account.is_locked():
        return True
    return "nologin" in account.extra and any(name == "nologin" for name, _ in account.fields())
