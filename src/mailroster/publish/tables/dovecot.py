"""Dovecot's tables for its passdb and userdb.

They hold the accounts, and the aliases that lead to one mailbox. An alias has no password, so it
can't log in and is not listed; quota-status finds the mailbox and its quota by it.

An account whose extra fields each have a column is a row of SQL. An account with another field, or
with a variable in a field, is a line of a passwd-file, which Dovecot reads first. A row has the
columns of every version of Dovecot, a line the syntax of one version.
"""

from collections.abc import Iterable, Iterator

from mailroster.base.address import fold, split
from mailroster.base.end_date import end_of
from mailroster.base.findings import ParseError
from mailroster.base.layout import maildir
from mailroster.base.services import SERVICES
from mailroster.base.spelling import common, globs
from mailroster.publish.tables.postfix import SPELLINGS as POSTFIX_SPELLINGS
from mailroster.roster.documents.document import Document
from mailroster.roster.dovecot.served import (
    PASSDB_FIELDS,
    expanded,
    extra_of,
    is_exception,
    main_services,
    served_fields,
    with_fields,
)
from mailroster.roster.dovecot.versions import VERSIONS, form
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.app_passwords import AppPassword
from mailroster.roster.formats.credentials import DEFAULT_SCHEME, is_locked
from mailroster.roster.formats.quotas import Quota
from mailroster.routing.change import Change, dependents
from mailroster.routing.router import Router
from mailroster.servers.config.dovecot.schema import (
    LOCKED,
    AccountRow,
    AppPasswordRow,
    MasterRow,
    SpellingRow,
)

#: Extra fields with which no login to the account is possible.
_CLOSING = frozenset(("nologin", "fail", "noauthenticate"))
_make_row = AccountRow._make
_NO_PASSDB_FIELDS = (None,) * len(PASSDB_FIELDS)


class Spellings:
    """The table `spelling`: the spellings of the domains that are not ASCII."""

    name = "dovecot_spellings"

    def keys(self, router: Router) -> Iterable[str]:
        return POSTFIX_SPELLINGS.keys(router)

    def row(self, router: Router, key: str) -> SpellingRow | None:
        patterns = globs(key) if router.roster.names_domain(key) else []
        return SpellingRow(*patterns) if patterns else None

    def affected(self, change: Change) -> Iterable[str]:
        return POSTFIX_SPELLINGS.affected(change)


class Accounts:
    """The table `account`, without the exceptions of a version of Dovecot."""

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
                continue  # `user` and `user@origin` are the same key
            yield key

    def row(self, router: Router, key: str) -> AccountRow | None:
        account = router.roster.accounts.get(key)
        if account is not None:
            if is_exception(account, self._version, router.mail):
                return None
            return _account_row(router, account)
        return _alias_row(router, key)

    def affected(self, change: Change) -> Iterable[str]:
        keys = change.keys["accounts"] | change.keys["quotas"]
        aliases = set(change.dependents)
        if change.keys["quotas"]:
            aliases |= dependents(change.after, change.keys["quotas"])
        return keys | {change.after.qualified(key) for key in aliases if key[0] != "@"}


class Exceptions:
    """The passwd-file of the accounts with a field that has no column, for a version of Dovecot."""

    name = "exceptions"

    def __init__(self, version: str) -> None:
        self._version = version

    def keys(self, router: Router) -> Iterable[str]:
        """The accounts with any extra field."""
        return with_fields(router.roster.accounts)

    def row(self, router: Router, key: str) -> str | None:
        account = router.roster.accounts.get(key)
        if account is None or not is_exception(account, self._version, router.mail):
            return None
        services = main_services(account, router.services)
        password = _with_scheme(account.password) if services is None else LOCKED
        return _line(router, account, key, password, self._version)

    def affected(self, change: Change) -> Iterable[str]:
        return change.keys["accounts"] | change.keys["quotas"]


class SpeltExceptions:
    """The same accounts by the common spellings of a domain that is not ASCII, as a passwd-file has
    no patterns. They are for logins only: the userdb would list them as more accounts."""

    name = "spelt_exceptions"

    def __init__(self, version: str) -> None:
        self._exceptions = Exceptions(version)

    def keys(self, router: Router) -> Iterable[str]:
        return _spelt(self._exceptions.keys(router))

    def row(self, router: Router, key: str) -> str | None:
        address = fold(key)
        line = self._exceptions.row(router, address)
        return None if line is None else f"{key}{line.removeprefix(address)} user={address}"

    def affected(self, change: Change) -> Iterable[str]:
        return _spelt(self._exceptions.affected(change))


def _spelt(keys: Iterable[str]) -> Iterator[str]:
    """The common spellings of addresses, other than the ASCII one."""
    for key in keys:
        user, domain = split(key)
        yield from (f"{user}@{spelt}" for spelt in common(domain))


class ExceptionsByService:
    """The same accounts, if their password opens some protocols only: a line for each of them, by
    `address/protocol`, and by the other spellings of the domain. For logins only."""

    name = "exceptions_by_service"

    def __init__(self, version: str) -> None:
        self._exceptions = Exceptions(version)
        self._version = version

    def keys(self, router: Router) -> Iterable[str]:
        return _by_service(self._exceptions.keys(router))

    def row(self, router: Router, key: str) -> str | None:
        spelt, _, service = key.rpartition("/")
        address = fold(spelt)
        account = router.roster.accounts.get(address)
        if account is None or not is_exception(account, self._version, router.mail):
            return None
        services = main_services(account, router.services)
        if services is None or service not in services:
            return None
        password = _with_scheme(account.password)
        return f"{_line(router, account, key, password, self._version)} user={address}"

    def affected(self, change: Change) -> Iterable[str]:
        return _by_service(self._exceptions.affected(change))


def _line(router: Router, account: Account, key: str, password: str, version: str) -> str:
    """A line of a passwd-file."""
    fields = served_fields(router.roster, account, version, router.mail).written
    return f"{key}:{password}::::::{' '.join(fields.values())}"


def _by_service(keys: Iterable[str]) -> Iterator[str]:
    for key in keys:
        for spelt in (key, *_spelt((key,))):
            yield from (f"{spelt}/{service}" for service in SERVICES)


class AppPasswords:
    """The table `app_password`, by `address|digest`. An account that is locked, or to which no
    login is possible, has no rows."""

    name = "app_passwords"

    def keys(self, router: Router) -> Iterable[str]:
        return {_digest_key(entry) for _, entry in router.roster.app_passwords.items()}

    def row(self, router: Router, key: str) -> AppPasswordRow | None:
        address, _, digest = key.rpartition("|")
        account = router.roster.accounts.get(address)
        if account is None or account.is_locked():
            return None
        fields = dict(account.fields()) if account.extra else {}
        if not _CLOSING.isdisjoint(fields):
            return None
        for entry in _of_account(router, address):
            if entry.digest == digest:
                return AppPasswordRow(
                    address,
                    entry.label,
                    _spaced(entry.services),
                    end_of(entry.until).replace("T", " ") if entry.until else None,
                    entry.allow_nets or None,
                    fields.get("allow_nets"),
                    fields.get("allow_real_nets"),
                )
        return None

    def affected(self, change: Change) -> Iterable[str]:
        for router in (change.before, change.after):
            for key in change.keys["app_passwords"]:
                entry = router.roster.app_passwords.get(key)
                if entry is not None:
                    yield _digest_key(entry)
            for address in change.keys["accounts"]:
                yield from map(_digest_key, _of_account(router, address))


def _of_account(router: Router, address: str) -> Iterator[AppPassword]:
    """The app passwords of an account that count."""
    for _, entry in router.roster.app_passwords.mentioning(*split(address)):
        if entry.address == address:
            yield entry


def _digest_key(entry: AppPassword) -> str:
    return f"{entry.address}|{entry.digest}"


def _spaced(services: tuple[str, ...] | None) -> str | None:
    """Some protocols with a blank around each, as the queries look for one; one blank for none, in
    which not even an empty name is found."""
    if services is None:
        return None
    return f" {' '.join(services)} " if services else " "


class Masters:
    """The table `master`."""

    name = "masters"

    def keys(self, router: Router) -> Iterable[str]:
        return router.roster.masters.counted()

    def row(self, router: Router, key: str) -> MasterRow | None:
        master = router.roster.masters.get(key)
        return None if master is None else MasterRow(_with_scheme(master.password))

    def affected(self, change: Change) -> Iterable[str]:
        return change.keys["masters"]


def _has_fields(accounts: Document[Account], key: str) -> bool:
    """Whether an account may have extra fields, by the number of fields in its line."""
    position = accounts.position(key)
    return position is not None and accounts.line(position).count("|") > 1


def _account_row(router: Router, account: Account) -> AccountRow:
    password, folder = _with_scheme(account.password), maildir(account.address)
    services = _spaced(main_services(account, router.services))
    if not account.extra:
        quota = router.roster.quotas.get(account.address)
        return _plain_row(password, folder, quota, services)
    columns: dict[str, str | None] = {"services": services}
    for version in VERSIONS:
        userdb_columns = form(version).COLUMNS
        fields = served_fields(router.roster, account, version, router.mail)
        for name in fields.written:
            if name in PASSDB_FIELDS:
                columns[name] = fields.value(name)
            elif name in userdb_columns:
                columns[userdb_columns[name]] = fields.value(name)
    return AccountRow(password, folder, **columns)


def _alias_row(router: Router, key: str) -> AccountRow | None:
    """The row of an alias that leads to exactly one mailbox: its home and quota; else None."""
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
        return AccountRow(**row._asdict() | _location_columns(account, router.mail))
    except KeyError:
        return None  # a variable that only Dovecot knows, or a path outside of the mail folder


def _location_columns(account: Account, mail: str) -> dict[str, str | None]:
    """The columns of home, mail and quota, with the variables of an address expanded. Raises
    KeyError for any other variable."""
    old, new = (form(version) for version in VERSIONS)
    fields = old.fields(extra_of(account, mail))
    values = {name: expanded(fields.value(name), account.address) for name in old.COLUMNS}
    known = {name: value for name, value in values.items() if value is not None}
    columns: dict[str, str | None] = {old.COLUMNS[name]: value for name, value in known.items()}
    escaped = [f"{name}={value.replace('%', '%%')}" for name, value in known.items()]
    fields = new.fields(" ".join(escaped))
    return columns | {new.COLUMNS[n]: fields.value(n) for n in fields.written if n in new.COLUMNS}


def _plain_row(
    password: str | None, maildir: str, quota: Quota | None, services: str | None = None
) -> AccountRow:
    """The row of an account without extra fields, with the quota of `dovecot-quotas.cf`.

    `AccountRow(password, maildir, quota_rule=rule, storage_size=size)` takes 1.5 us more for each
    of a million accounts and aliases. tests/unit/publish/test_dovecot_tables.py compares both.
    """
    rule, size = (f"*:storage={quota.size}", quota.size) if quota is not None else (None, None)
    before, after = (None, None), (None, None, None)  # home, mail; mail_driver, _path, _inbox_path
    return _make_row((password, maildir, *before, rule, *after, size, services, *_NO_PASSDB_FIELDS))


def _with_scheme(hash: str) -> str:
    if is_locked(hash):
        return LOCKED
    return hash if hash[0] == "{" else f"{{{DEFAULT_SCHEME}}}{hash}"


APP_PASSWORDS = AppPasswords()
MASTERS = Masters()
SPELLINGS = Spellings()
