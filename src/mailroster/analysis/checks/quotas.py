"""Rules about quotas."""

from collections.abc import Iterator

from mailroster.analysis.checks.subject import Subject
from mailroster.base.findings import WARNING, Finding

#: Extra fields that override a quota, in one version of Dovecot or in each.
_FIELDS = frozenset(
    (
        "userdb_quota_rule", "userdb_plugin/quota_rule", "userdb_quota/user/storage_size",
        "userdb_quota_storage_size",
    )
)  # fmt: skip


def without_account(subject: Subject) -> Iterator[Finding]:
    """A quota without an account."""
    document = subject.roster.quotas
    for key, position in document.counted().items():
        if key not in subject.roster.accounts:
            where = document.location(position)
            message, hint = f"there is no account {key!r}", "remove the line, or add the account"
            yield Finding(where, WARNING, "quota-without-account", message, hint)


def overridden(subject: Subject) -> Iterator[Finding]:
    """A quota that an extra field of the account overrides."""
    document = subject.roster.quotas
    for key, position in document.counted().items():
        account = subject.roster.accounts.get(key)
        if account is None or not account.extra:
            continue
        field = next((name for name, _ in account.fields() if name in _FIELDS), "")
        if field:
            message = f"the quota has no effect: the extra field {field!r} sets the limit"
            hint = "remove the extra field, or this line"
            yield Finding(document.location(position), WARNING, "quota-overridden", message, hint)
