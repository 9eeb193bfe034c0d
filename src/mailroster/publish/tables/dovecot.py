"""Dovecot's passdb and userdb.

Accounts, and the aliases that lead to one mailbox: those have no password, so they can't log in
and are not listed, but quota-status finds the mailbox and its quota under their name.

An account whose extra fields have a column each is a row of SQL. One with any other field, or with
a variable in one, is a line of a passwd-file that Dovecot asks first. A row has the columns of
every version of Dovecot, a line the form of one.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mailroster.base.address import fold, split
from mailroster.base.findings import ParseError
from mailroster.base.layout import maildir
from mailroster.base.spelling import common, globs
from mailroster.publish.tables.postfix import SPELLINGS as SERVED
from mailroster.roster.documents.document import Document
from mailroster.roster.dovecot.served import (
    PASSDB_FIELDS,
    expanded,
    extra_of,
    is_exception,
    served_fields,
    with_fields,
)
from mailroster.roster.dovecot.versions import VERSIONS, form
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.credentials import DEFAULT_SCHEME, is_locked
from mailroster.roster.formats.quotas import Quota
from mailroster.routing.change import Change, dependents
from mailroster.routing.router import Router

#: What a locked account has for a hash: no password has it, whatever the scheme was, and Dovecot
#: has nothing to complain of in its log, as it has of a `!` in a scheme of base64.
LOCKED = "{SHA512-CRYPT}!"


class AccountRow(NamedTuple):
    """The columns of the table `account` behind its key; None is a field not set."""

    password: str | None
    maildir: str  # below the mail folder
    home: str | None = None
    mail: str | None = None
    quota_rule: str | None = None
    mail_driver: str | None = None
    mail_path: str | None = None
    mail_inbox_path: str | None = None
    storage_size: str | None = None
    nologin: str | None = None
    allow_nets: str | None = None
    nodelay: str | None = None
    proxy: str | None = None
    proxy_maybe: str | None = None
    host: str | None = None
    port: str | None = None
    ssl: str | None = None
    starttls: str | None = None
    destuser: str | None = None
    reason: str | None = None


_made_row = AccountRow._make
_PASSDB_NOT_SET = (None,) * len(PASSDB_FIELDS)


class MasterRow(NamedTuple):
    password: str


class SpellingRow(NamedTuple):
    """How a domain may be spelt, as patterns of SQLite's GLOB."""

    composed: str
    decomposed: str | None = None


class Spellings:
    """The table `spelling`: the domains that are not ASCII."""

    name = "dovecot_spellings"

    def keys(self, router: Router) -> Iterable[str]:
        return SERVED.keys(router)

    def row(self, router: Router, key: str) -> SpellingRow | None:
        found = globs(key) if router.roster.names_domain(key) else []
        return SpellingRow(*found) if found else None

    def concerned(self, change: Change) -> Iterable[str]:
        return SERVED.concerned(change)


class Accounts:
    """The table `account`, less the exceptions that a version of Dovecot needs."""

    name = "accounts"

    def __init__(self, version: str) -> None:
        self._version = version

    def keys(self, router: Router) -> Iterable[str]:
        roster = router.roster
        yield from roster.accounts.counted()
        for alias in roster.virtual.counted():
            key = router.qualified(alias)
            if alias[0] == "@" or key in roster.accounts:
                continue
            if key != alias and key in roster.virtual:
                continue  # `user` and `user@origin` are one key here
            yield key

    def row(self, router: Router, key: str) -> AccountRow | None:
        account = router.roster.accounts.get(key)
        if account is not None:
            return (
                None
                if is_exception(account, self._version, router.mail)
                else _account_row(router, account)
            )
        return _alias_row(router, key)

    def concerned(self, change: Change) -> Iterable[str]:
        keys = change.keys["accounts"] | change.keys["quotas"]
        aliases = set(change.dependents)
        if change.keys["quotas"]:
            aliases |= dependents(change.after, change.keys["quotas"])
        return keys | {change.after.qualified(key) for key in aliases if key[0] != "@"}


class Exceptions:
    """The passwd-file for the accounts with a field that is no column, in the form of a version."""

    name = "exceptions"

    def __init__(self, version: str) -> None:
        self._version = version

    def keys(self, router: Router) -> Iterable[str]:
        """Those that have any extra field."""
        return with_fields(router.roster.accounts)

    def row(self, router: Router, key: str) -> str | None:
        account = router.roster.accounts.get(key)
        if account is None or not is_exception(account, self._version, router.mail):
            return None
        fields = served_fields(router.roster, account, self._version, router.mail).written
        return f"{key}:{_with_scheme(account.password)}::::::{' '.join(fields.values())}"

    def concerned(self, change: Change) -> Iterable[str]:
        return change.keys["accounts"] | change.keys["quotas"]


class SpeltExceptions:
    """The same accounts by the common spellings of a domain that is not ASCII: a passwd-file knows
    no patterns. To log in only: in the userdb they would be listed as more accounts."""

    name = "spelt_exceptions"

    def __init__(self, version: str) -> None:
        self._exceptions = Exceptions(version)

    def keys(self, router: Router) -> Iterable[str]:
        return _spelt(self._exceptions.keys(router))

    def row(self, router: Router, key: str) -> str | None:
        address = fold(key)
        line = self._exceptions.row(router, address)
        return None if line is None else f"{key}{line.removeprefix(address)} user={address}"

    def concerned(self, change: Change) -> Iterable[str]:
        return _spelt(self._exceptions.concerned(change))


def _spelt(keys: Iterable[str]) -> Iterator[str]:
    """The common spellings of addresses, other than the ASCII one."""
    for key in keys:
        user, domain = split(key)
        yield from (f"{user}@{spelt}" for spelt in common(domain))


class Masters:
    """The table `master`."""

    name = "masters"

    def keys(self, router: Router) -> Iterable[str]:
        return router.roster.masters.counted()

    def row(self, router: Router, key: str) -> MasterRow | None:
        master = router.roster.masters.get(key)
        return None if master is None else MasterRow(_with_scheme(master.password))

    def concerned(self, change: Change) -> Iterable[str]:
        return change.keys["masters"]


def _has_fields(accounts: Document[Account], key: str) -> bool:
    """Whether an account may have extra fields, by the number of fields in its line."""
    position = accounts.position(key)
    return position is not None and accounts.line(position).count("|") > 1


def _account_row(router: Router, account: Account) -> AccountRow:
    columns: dict[str, str | None] = {}
    for version in VERSIONS if account.extra else ():
        its = form(version)
        fields = served_fields(router.roster, account, version, router.mail)
        for name in fields.written:
            if name in PASSDB_FIELDS:
                columns[name] = fields.value(name)
            elif name in its.COLUMNS:
                columns[its.COLUMNS[name]] = fields.value(name)
    password, folder = _with_scheme(account.password), maildir(account.address)
    if not account.extra:
        return _plain_row(password, folder, router.roster.quotas.get(account.address))
    return AccountRow(password, folder, **columns)


def _alias_row(router: Router, key: str) -> AccountRow | None:
    """Home and quota of the one mailbox to which an alias leads; None if it is not just one."""
    user, domain = split(key)
    roster = router.roster
    if key not in roster.virtual and not (domain == router.origin and user in roster.virtual):
        return None
    try:
        recipients = router.expand(key)
    except ParseError:
        return None
    mailbox = router.mailbox(recipients[0]) if len(recipients) == 1 else None
    if mailbox is None:
        return None
    quota = roster.quotas.get(mailbox)
    row = _plain_row(None, maildir(mailbox), quota)
    account = roster.accounts.get(mailbox) if _has_fields(roster.accounts, mailbox) else None
    if account is None:
        return row
    try:
        return AccountRow(**row._asdict() | _places(account, router.mail))
    except KeyError:
        return None  # a variable that only Dovecot knows, or a place that nobody may name


def _places(account: Account, mail: str) -> dict[str, str | None]:
    """The columns of home, mail and quota with the variables of an address put in. Raises KeyError
    for any other variable."""
    old, new = (form(version) for version in VERSIONS)
    fields = old.fields(extra_of(account, mail))
    plain = {name: expanded(fields.value(name), account.address) for name in old.COLUMNS}
    known = {name: value for name, value in plain.items() if value is not None}
    columns: dict[str, str | None] = {old.COLUMNS[name]: value for name, value in known.items()}
    plainly = {name: value.replace("%", "%%") for name, value in known.items()}
    fields = new.fields(" ".join(f"{name}={value}" for name, value in plainly.items()))
    return columns | {new.COLUMNS[n]: fields.value(n) for n in fields.written if n in new.COLUMNS}


def _plain_row(password: str | None, maildir: str, quota: Quota | None) -> AccountRow:
    """The row of an account without extra fields, with the quota of `dovecot-quotas.cf`.

    `AccountRow(password, maildir, quota_rule=rule, storage_size=size)` takes 1.5 us more, which a
    million accounts and aliases each pay. tests/unit/publish/test_dovecot_tables.py holds both
    equal.
    """
    rule, size = (f"*:storage={quota.size}", quota.size) if quota is not None else (None, None)
    before, after = (None, None), (None, None, None)  # home, mail; mail_driver, _path, _inbox_path
    return _made_row((password, maildir, *before, rule, *after, size, *_PASSDB_NOT_SET))


def _with_scheme(hash: str) -> str:
    if is_locked(hash):
        return LOCKED
    return hash if hash[0] == "{" else f"{{{DEFAULT_SCHEME}}}{hash}"


MASTERS = Masters()
SPELLINGS = Spellings()
