"""Rules about accounts."""

from collections.abc import Iterator

from mailroster.finding import WARNING, Finding
from mailroster.formats.accounts import OWNER
from mailroster.resolve import Router


def with_owner(router: Router) -> Iterator[Finding]:
    """An extra field that says whose mail is: all mail has one owner."""
    document = router.roster.accounts
    for key, account in document.items():
        if not account.extra:
            continue
        for name in sorted(OWNER.intersection(name for name, _ in account.fields())):
            where = document.location(document.position(key))
            what = f"the extra field {name!r} has no effect, as all mail has one owner"
            mend = "remove it; the settings vmail_uid and vmail_gid say who"
            yield Finding(where, WARNING, "owner-field", what, mend)
