"""Rules about quotas."""

from collections.abc import Iterator

from mailroster.finding import WARNING, Finding
from mailroster.resolve import Router


def without_account(router: Router) -> Iterator[Finding]:
    """A quota that no account has."""
    document = router.roster.quotas
    for key, _ in document.items():
        if key not in router.roster.accounts:
            where = document.location(document.position(key))
            what, mend = f"there is no account {key!r}", "remove the line, or add the account"
            yield Finding(where, WARNING, "quota-without-account", what, mend)
