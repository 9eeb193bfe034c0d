"""Dovecot's passdb and userdb.

Accounts, and the aliases that lead to one mailbox: those have no password, so they can't log in
and are not listed, but quota-status finds the mailbox and its quota under their name.

An account whose extra fields have a column each is a row of SQL. One with any other field, or with
a variable in one, is a line of a passwd-file that Dovecot asks first.
"""

from collections.abc import Iterable

from mailroster.address import split
from mailroster.changes import Change, dependents
from mailroster.finding import Fault
from mailroster.formats.accounts import OWNER, Account
from mailroster.formats.hashed import DEFAULT_SCHEME, is_locked
from mailroster.resolve import Router
from mailroster.values import NamedTuple

#: What a locked account has for a hash: no password has it, whatever the scheme was, and Dovecot
#: has nothing to complain of in its log, as it has of a `!` in a scheme of base64.
LOCKED = "{SHA512-CRYPT}!"

#: passdb fields that are columns under their own name (Dovecot: passdb extra fields).
PASSDB_FIELDS = (
    "nologin", "allow_nets", "nodelay", "proxy", "proxy_maybe", "host", "port", "ssl", "starttls",
    "destuser", "reason",
)  # fmt: skip
#: userdb fields that are columns; in the file they have `userdb_` in front.
USERDB_FIELDS = ("home", "mail", "quota_rule")


class AccountRow(NamedTuple):
    """The columns of the table `account` behind its key; None is a field not set."""

    password: str | None
    maildir: str  # below the mail folder
    home: str | None = None
    mail: str | None = None
    quota_rule: str | None = None
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


class MasterRow(NamedTuple):
    password: str


class Accounts:
    """The table `account`."""

    name = "accounts"

    def keys(self, router: Router) -> Iterable[str]:
        roster = router.roster
        yield from roster.accounts.counted()
        bare = set()  # `user` and `user@origin` are one key here
        for alias in roster.virtual.counted():
            key = router.qualified(alias)
            if alias[0] == "@" or key in roster.accounts:
                continue
            if key != alias:
                if key in bare or key in roster.virtual:
                    continue
                bare.add(key)
            yield key

    def row(self, router: Router, key: str) -> AccountRow | None:
        account = router.roster.accounts.get(key)
        if account is not None:
            return _account_row(router, account) if not is_exception(account) else None
        return _alias_row(router, key)

    def concerned(self, change: Change) -> Iterable[str]:
        keys = change.keys["accounts"] | change.keys["quotas"]
        aliases = set(change.dependents)
        if change.keys["quotas"]:
            aliases |= dependents(change.after, change.keys["quotas"])
        return keys | {change.after.qualified(key) for key in aliases if key[0] != "@"}


class Exceptions:
    """The passwd-file for the accounts with a field that is no column."""

    name = "exceptions"

    def keys(self, router: Router) -> Iterable[str]:
        """Those that have any extra field."""
        accounts = router.roster.accounts
        return (key for key, at in accounts.counted().items() if accounts.line(at).count("|") > 1)

    def row(self, router: Router, key: str) -> str | None:
        account = router.roster.accounts.get(key)
        if account is None or not is_exception(account):
            return None
        # As they are written: what a name without "=" means is Dovecot's to say.
        fields = {field.partition("=")[0]: field for field in account.extra.split()}
        if (rule := _quota_rule(router, account.address)) is not None:
            fields.setdefault("userdb_quota_rule", f"userdb_quota_rule={rule}")
        extra = " ".join(field for name, field in fields.items() if name not in OWNER)
        return f"{key}:{_with_scheme(account.password)}::::::{extra}"

    def concerned(self, change: Change) -> Iterable[str]:
        return change.keys["accounts"] | change.keys["quotas"]


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


def is_exception(account: Account) -> bool:
    """Whether an account has a field that no column serves."""
    if not account.extra:
        return False
    return any(
        "%" in value  # a variable, which Dovecot puts in for a passwd-file only
        or (
            name not in PASSDB_FIELDS
            and not (name.startswith("userdb_") and name[7:] in USERDB_FIELDS)
        )
        for name, value in account.fields()
        if name not in OWNER
    )


def maildir(address: str) -> str:
    """The folder of a mailbox below the mail folder."""
    user, domain = split(address)
    return f"{domain}/{user}"


def _account_row(router: Router, account: Account) -> AccountRow:
    served = [(name, value) for name, value in account.fields() if name not in OWNER]
    fields = {name.removeprefix("userdb_"): value for name, value in served}
    rule = _quota_rule(router, account.address)
    if rule is not None:
        fields.setdefault("quota_rule", rule)
    return AccountRow(_with_scheme(account.password), maildir(account.address), **fields)


def _alias_row(router: Router, key: str) -> AccountRow | None:
    """Home and quota of the one mailbox to which an alias leads; None if it is not just one."""
    user, domain = split(key)
    roster = router.roster
    if key not in roster.virtual and not (domain == router.origin and user in roster.virtual):
        return None
    try:
        recipients = router.expand(key)
    except Fault:
        return None
    mailbox = router.mailbox(recipients[0]) if len(recipients) == 1 else None
    account = roster.accounts.get(mailbox) if mailbox is not None else None
    if account is None:
        return None
    fields = dict(account.fields())
    try:
        home, mail, rule = (
            _expanded(fields.get(f"userdb_{name}"), account.address) for name in USERDB_FIELDS
        )
    except KeyError:
        return None  # a variable that only Dovecot knows
    rule = _quota_rule(router, account.address) if rule is None else rule
    return AccountRow(None, maildir(account.address), home, mail, rule)


def _expanded(value: str | None, address: str) -> str | None:
    """A field with the variables of an address put in, as Dovecot does for the mailbox itself.
    Raises KeyError for any other."""
    if value is None or "%" not in value:
        return value
    import re

    user, domain = split(address)
    known = {"%%": "%", "%u": address, "%n": user, "%d": domain}
    # Every address is in lower case already, which is what an L asks for.
    return re.sub("%L?(?:[^L]|$)", lambda found: known[found[0].replace("%L", "%")], value)


def _quota_rule(router: Router, address: str) -> str | None:
    quota = router.roster.quotas.get(address)
    return None if quota is None else f"*:storage={quota.size}"


def _with_scheme(hash: str) -> str:
    if is_locked(hash):
        return LOCKED
    return hash if hash[0] == "{" else f"{{{DEFAULT_SCHEME}}}{hash}"


ACCOUNTS = Accounts()
EXCEPTIONS = Exceptions()
MASTERS = Masters()
