"""The extra fields of accounts as Dovecot gets them. Pure."""

from collections.abc import Iterable, Iterator

from mailroster.base.address import split
from mailroster.base.findings import ERROR, WARNING, Finding, ParseError
from mailroster.base.services import services_of
from mailroster.roster.documents.document import Document
from mailroster.roster.dovecot.fields import NOT_SERVED, SERVICES, WAITS, Fields
from mailroster.roster.dovecot.versions import form
from mailroster.roster.formats.accounts import Account
from mailroster.roster.roster import Roster

#: passdb fields that are columns under their own name (Dovecot: passdb extra fields). Those of a
#: proxy are never set, since no account may have them; the columns stay, since a Dovecot that an
#: older version started selects them.
PASSDB_FIELDS = (
    "nologin", "allow_nets", "nodelay", "proxy", "proxy_maybe", "host", "port", "ssl", "starttls",
    "destuser", "reason",
)  # fmt: skip


def with_fields(accounts: Document[Account]) -> Iterator[str]:
    """The keys of accounts with extra fields."""
    positions = accounts.counted().items()
    return (key for key, position in positions if accounts.line(position).count("|") > 1)


def is_exception(account: Account, version: str, mail: str) -> bool:
    """Whether an account has a field without a column for a version of Dovecot. `mail` is the mail
    folder."""
    if not account.extra:
        return False
    version_form = form(version)
    return any(
        "%" in written  # a variable, which Dovecot expands in a passwd-file only
        or (name not in PASSDB_FIELDS and name not in version_form.COLUMNS)
        for name, written in version_form.fields(extra_of(account, mail)).written.items()
        if name not in NOT_SERVED
    )


def main_services(account: Account, default: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The protocols that the password of an account opens; None for every one. `default` is that of
    the setting main_password_services."""
    if SERVICES not in account.extra:
        return default
    value = dict(account.fields()).get(SERVICES)
    return default if value is None else services_of(value)


def extra_of(account: Account, mail: str) -> str:
    """The extra fields of an account. A field that names a place outside the mail folder gets a
    value with which lookups fail: logins are impossible, and mail waits."""
    if not mail or "/" not in account.extra:
        return account.extra
    from mailroster.roster.formats.extra_fields import is_outside

    return " ".join(
        f"{name}={WAITS}" if is_outside(name, value, mail) else field
        for (name, value), field in zip(account.fields(), account.extra.split(), strict=True)
    )


def misplaced(accounts: Document[Account], keys: Iterable[str], mail: str) -> Iterator[Finding]:
    """Findings for the extra fields of some accounts that name a place outside the mail folder."""
    from mailroster.roster.formats.extra_fields import check_places

    for key in keys:
        account = accounts.get(key)
        if account is None or "/" not in account.extra:
            continue
        try:
            check_places(account.fields(), mail)
        except ParseError as error:
            message = f"{error.message}; logins fail, and mail waits"
            where = accounts.location(accounts.counted()[key])
            yield Finding(where, ERROR, error.code, message, error.hint)


def unserved(accounts: Document[Account], keys: Iterable[str], version: str) -> Iterator[Finding]:
    """Findings for the extra fields of some accounts without a form in a version of Dovecot."""
    for key in keys:
        account = accounts.get(key)
        if account is None or not account.extra:
            continue
        where = accounts.location(accounts.counted()[key])
        for name, why, waits in form(version).fields(account.extra).lost:
            message = f"Dovecot {version} has no form of the extra field {name!r}: {why}"
            if waits:
                message += "; logins fail, and mail waits"
                yield Finding(
                    where, ERROR, "unserved-variable", message, "write it in another form"
                )
            else:
                hint = "remove it, or write it in the form of this version"
                yield Finding(where, WARNING, "unserved-field", message, hint)


def fields_with_places(account: Account, mail: str, version: str) -> Fields:
    """The extra fields of an account in the form of a version; see `extra_of` for those that name a
    place outside the mail folder `mail`."""
    return form(version).fields(extra_of(account, mail))


def served_fields(roster: Roster, account: Account, version: str, mail: str) -> Fields:
    """The extra fields of an account in the form of a version, with its quota. `mail` is the mail
    folder."""
    version_form = form(version)
    written, lost = fields_with_places(account, mail, version)
    written = {name: field for name, field in written.items() if name not in NOT_SERVED}
    quota = roster.quotas.get(account.address)
    if quota is not None and not any(name in written for name in version_form.QUOTAS):
        name = version_form.QUOTA
        written[name] = f"{name}={version_form.quota(quota.size)}"
    return Fields(written, lost)


def expanded(value: str | None, address: str) -> str | None:
    """A field with the variables of an address expanded, as Dovecot does for the mailbox. Raises
    KeyError for other variables."""
    if value is None or "%" not in value:
        return value
    import re

    user, domain = split(address)
    known = {"%%": "%", "%u": address, "%n": user, "%d": domain, "%{user}": address}
    known |= {"%{username}": user, "%{domain}": domain}
    # Every address is already in lower case, so an L changes nothing.
    variable = r"%L?(?:\{[^}]*\}|[^L]|$)"
    return re.sub(variable, lambda match: known[match[0].replace("%L", "%")], value)
