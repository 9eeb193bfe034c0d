"""The extra fields of accounts as Dovecot is served them. Pure."""

from collections.abc import Iterable, Iterator

from mailroster.base.address import split
from mailroster.base.findings import ERROR, WARNING, Finding, ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.dovecot.fields import OWNER, WAITS, Fields
from mailroster.roster.dovecot.versions import form
from mailroster.roster.formats.accounts import Account
from mailroster.roster.roster import Roster

#: passdb fields that are columns under their own name (Dovecot: passdb extra fields). Those of a
#: proxy are never set, as no account may have them; the columns stay, since a Dovecot that was
#: started by an older version asks for them.
PASSDB_FIELDS = (
    "nologin", "allow_nets", "nodelay", "proxy", "proxy_maybe", "host", "port", "ssl", "starttls",
    "destuser", "reason",
)  # fmt: skip


def with_fields(accounts: Document[Account]) -> Iterator[str]:
    """The accounts that have any extra field."""
    return (key for key, at in accounts.counted().items() if accounts.line(at).count("|") > 1)


def is_exception(account: Account, version: str, mail: str) -> bool:
    """Whether an account has a field that no column serves for a version of Dovecot. `mail` is the
    mail folder."""
    if not account.extra:
        return False
    its = form(version)
    return any(
        "%" in written  # a variable, which Dovecot puts in for a passwd-file only
        or (name not in PASSDB_FIELDS and name not in its.COLUMNS)
        for name, written in its.fields(extra_of(account, mail)).written.items()
        if name not in OWNER
    )


def extra_of(account: Account, mail: str) -> str:
    """The extra fields of an account. One that names a place outside of the mail folder becomes one
    that no lookup can answer: nobody can log in, and mail waits."""
    if not mail or "/" not in account.extra:
        return account.extra
    from mailroster.roster.formats.extra_fields import is_outside

    return " ".join(
        f"{name}={WAITS}" if is_outside(name, value, mail) else field
        for (name, value), field in zip(account.fields(), account.extra.split(), strict=True)
    )


def misplaced(accounts: Document[Account], keys: Iterable[str], mail: str) -> Iterator[Finding]:
    """The extra fields of some accounts that name a place outside of the mail folder `mail`."""
    from mailroster.roster.formats.extra_fields import check_places

    for key in keys:
        account = accounts.get(key)
        if account is None or "/" not in account.extra:
            continue
        try:
            check_places(account.fields(), mail)
        except ParseError as fault:
            message = f"{fault.message}; logins fail, and mail waits"
            where = accounts.location(accounts.counted()[key])
            yield Finding(where, ERROR, fault.code, message, fault.hint)


def unserved(accounts: Document[Account], keys: Iterable[str], version: str) -> Iterator[Finding]:
    """What the extra fields of some accounts say that a version of Dovecot can't be told."""
    for key in keys:
        account = accounts.get(key)
        if account is None or not account.extra:
            continue
        where = accounts.location(accounts.counted()[key])
        for name, why, waits in form(version).fields(account.extra).lost:
            message = f"Dovecot {version} can't be told the extra field {name!r}: {why}"
            if waits:
                message += "; nobody can log in, and mail waits"
                yield Finding(where, ERROR, "unserved-variable", message, "write it another way")
            else:
                hint = "remove it, or write it as this version has it"
                yield Finding(where, WARNING, "unserved-field", message, hint)


def fields_with_places(account: Account, mail: str, version: str) -> Fields:
    """The extra fields of an account as a version has them; those that name a place outside of the
    mail folder `mail` are such that no lookup can answer."""
    return form(version).fields(extra_of(account, mail))


def served_fields(roster: Roster, account: Account, version: str, mail: str) -> Fields:
    """The extra fields of an account as a version has them, with its quota. `mail` is the mail
    folder."""
    its = form(version)
    written, lost = fields_with_places(account, mail, version)
    written = {name: field for name, field in written.items() if name not in OWNER}
    quota = roster.quotas.get(account.address)
    if quota is not None and not any(name in written for name in its.QUOTAS):
        written[its.QUOTA] = f"{its.QUOTA}={its.quota(quota.size)}"
    return Fields(written, lost)


def expanded(value: str | None, address: str) -> str | None:
    """A field with the variables of an address put in, as Dovecot does for the mailbox itself.
    Raises KeyError for any other."""
    if value is None or "%" not in value:
        return value
    import re

    user, domain = split(address)
    known = {"%%": "%", "%u": address, "%n": user, "%d": domain, "%{user}": address}
    known |= {"%{username}": user, "%{domain}": domain}
    # Every address is in lower case already, which is what an L asks for.
    variable = r"%L?(?:\{[^}]*\}|[^L]|$)"
    return re.sub(variable, lambda found: known[found[0].replace("%L", "%")], value)
