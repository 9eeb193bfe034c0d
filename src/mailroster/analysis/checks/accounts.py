"""Rules about accounts."""

from collections.abc import Iterator

from mailroster.analysis.checks.subject import Subject, entries, some
from mailroster.base.address import split
from mailroster.base.findings import WARNING, Finding, ParseError
from mailroster.roster.dovecot.fields import OWNER
from mailroster.roster.formats.accounts import Account


def with_owner(subject: Subject) -> Iterator[Finding]:
    """An extra field that says whose mail is: all mail has one owner."""
    document = subject.roster.accounts
    for _, position, account in entries(document):
        if not account.extra:
            continue
        for name in sorted(OWNER.intersection(name for name, _ in account.fields())):
            where = document.location(position)
            message = f"the extra field {name!r} has no effect, as all mail has one owner"
            hint = "remove it; the settings vmail_uid and vmail_gid say who"
            yield Finding(where, WARNING, "owner-field", message, hint)


def locked_and_forwarding(subject: Subject) -> Iterator[Finding]:
    """An account that may not log in, and whose mail leaves the house all the same."""
    router, document = subject.router, subject.roster.accounts
    for key, position, account in entries(document):
        if not may_not_log_in(account) or key not in subject.roster.virtual:
            continue
        try:
            recipients = router.expand(key)
        except ParseError:
            continue
        away = [address for address in recipients if is_elsewhere(subject, address)]
        if away:
            message = f"{key!r} is locked, and its mail is still forwarded to {some(away)}"
            hint = "take these recipients out of its alias, or unlock the account"
            where = document.location(position)
            yield Finding(where, WARNING, "locked-forwards", message, hint)


def may_not_log_in(account: Account) -> bool:
    """Whether a mark or an extra field keeps an account from logging in."""
    if account.is_locked():
        return True
    return "nologin" in account.extra and any(name == "nologin" for name, _ in account.fields())


def is_elsewhere(subject: Subject, address: str) -> bool:
    """Whether an address is of a domain that is not served here."""
    domain = split(address.lower())[1]
    return domain != subject.router.origin and not subject.roster.names_domain(domain)
