"""The tables of Dovecot's SQLite database, and the queries by which Dovecot reads them. Pure.

The columns of a table are its key and the fields of its row class. A row has the columns of every
version of Dovecot; a query reads those of one version. docs/reference/tables.md describes them.
"""

from typing import NamedTuple

from mailroster.base.settings import Settings
from mailroster.roster.dovecot.served import PASSDB_FIELDS


class AccountRow(NamedTuple):
    """The columns of the table `account` after its key; None is a field that is not set. The last
    ones are PASSDB_FIELDS."""

    password: str | None
    maildir: str  # below the mail folder
    home: str | None = None
    mail: str | None = None
    quota_rule: str | None = None
    mail_driver: str | None = None
    mail_path: str | None = None
    mail_inbox_path: str | None = None
    storage_size: str | None = None
    services: str | None = None  # that the password opens, with a blank around each
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


class AppPasswordRow(NamedTuple):
    """The columns of the table `app_password` after its key, which is `address|digest`."""

    address: str
    label: str
    services: str | None = None  # with a blank around each
    until: str | None = None  # YYYY-MM-DD hh:mm:ss, local time
    allow_nets: str | None = None
    #: The networks to which the account itself is restricted.
    account_nets: str | None = None
    account_real_nets: str | None = None


class MasterRow(NamedTuple):
    password: str


class SpellingRow(NamedTuple):
    """How a domain may be spelt, as patterns of SQLite's GLOB."""

    composed: str
    decomposed: str | None = None


class Shape(NamedTuple):
    """A table: its name, the name of its key, the class of its rows and the version of its content.

    `version` changes with the meaning of a row. The database's `user_version` holds the versions of
    all tables, two digits for each, in multiples of `unit`; 0 is a table never filled.
    """

    table: str
    key: str
    row: type[AccountRow] | type[MasterRow] | type[SpellingRow] | type[AppPasswordRow]
    version: int
    unit: int

    def columns(self) -> tuple[str, ...]:
        return (self.key, *self.row._fields)

    def definition(self) -> str:
        columns = ", ".join(f"{name} TEXT" for name in self.row._fields)
        return f"CREATE TABLE {self.table} ({self.key} TEXT PRIMARY KEY, {columns}) WITHOUT ROWID"

    def version_in(self, user_version: int) -> int:
        """The version of this table in a database."""
        return user_version // self.unit % _VERSIONS

    def updated(self, user_version: int) -> int:
        """The `user_version` with this version of the table."""
        return user_version + (self.version - self.version_in(user_version)) * self.unit


#: The hash of a locked account, which matches no password. A `!` behind a base64 scheme would make
#: Dovecot log an error.
LOCKED = "{SHA512-CRYPT}!"
#: How many digits of its digest name an app password in a report.
APP_DIGITS = 16
_VERSIONS = 100
ACCOUNT = Shape("account", "address", AccountRow, version=3, unit=1)
MASTER = Shape("master", "name", MasterRow, version=1, unit=_VERSIONS)
SPELLING = Shape("spelling", "domain", SpellingRow, version=1, unit=_VERSIONS**2)
APP_PASSWORD = Shape("app_password", "key", AppPasswordRow, version=1, unit=_VERSIONS**3)
SHAPES = (ACCOUNT, MASTER, SPELLING, APP_PASSWORD)
#: `PRAGMA user_version` of a database whose tables all have these versions.
SCHEMA_VERSION = sum(shape.version * shape.unit for shape in SHAPES)


# Queries. A newline becomes a continued line of the configuration (common.continued). `address` is
# the SQL of `account_address`.

#: The row of an alias has no password, and is no account.
ACCOUNTS_QUERY = "SELECT address AS user FROM account WHERE password IS NOT NULL"


def account_address(name: str, user: str, domain: str) -> str:
    """The address of a login name in SQL. A domain that is not ASCII becomes its A-labels. Each
    argument is Dovecot's variable for that part, in lower case."""
    is_spelt = f"'{domain}' GLOB '*[^ -~]*'"
    spelling = f"('{domain}' GLOB composed OR '{domain}' GLOB decomposed)"
    address = f"SELECT '{user}@' || domain FROM spelling WHERE {is_spelt} AND {spelling}"
    return f"coalesce(({address}), '{name}')"


def password_query(address: str, service: str) -> str:
    """`service` is Dovecot's variable for the protocol. A protocol that the password does not open
    gets a hash that matches no password; a master needs none."""
    return f"""\
SELECT address AS user,
CASE WHEN services IS NULL OR instr(services, ' {service} ') THEN password ELSE '{LOCKED}' END
AS password, {", ".join(PASSDB_FIELDS)}
FROM account WHERE address = {address} AND password IS NOT NULL"""


def master_query(name: str) -> str:
    """`name` is Dovecot's variable for a login name in lower case."""
    return f"SELECT name AS user, password FROM master WHERE name = '{name}'"


def app_password_query(address: str, digest: str, service: str, *, reports: bool) -> str:
    """The row of an app password: it is the key of its row, so no hash is checked. `digest` is
    Dovecot's variable for the SHA-256 of the password in hexadecimal digits, `service` that for the
    protocol. Dovecot checks each of the columns `allow_nets`. `reports`: a report of a login says
    which app password it was, by the end of its digest."""
    app = f", substr(key, -{APP_DIGITS}) AS userdb_app" if reports else ""
    return f"""\
SELECT address AS user, NULL AS password, 'Y' AS nopassword, allow_nets,
account_nets AS allow_nets, account_real_nets AS allow_real_nets{app}
FROM app_password WHERE key = {address} || '|{digest}'
AND (services IS NULL OR instr(services, ' {service} '))
AND (until IS NULL OR until > datetime('now', 'localtime'))"""


def user_query_2_3(settings: Settings, address: str, unlimited: str, messages: str) -> str:
    """`unlimited` is the quota rule without a limit, which needs the rule `messages` after it."""
    mail = _literal(settings.mail).replace("%", "%%")
    return f"""\
SELECT coalesce(home, '{mail}/' || maildir || '/home') AS home,
coalesce(mail, 'maildir:{mail}/' || maildir) AS mail,
{_owner(settings)}, CASE quota_rule WHEN '{unlimited}' THEN '{unlimited}{messages}'
ELSE quota_rule END AS quota_rule, address AS user FROM account WHERE address = {address}"""


def user_query_2_4(settings: Settings, address: str, *, has_location: bool) -> str:
    """`has_location`: the configuration sets where mail is by default, so the query need not."""
    mail = _literal(settings.mail)
    driver, inbox = "mail_driver", "mail_inbox_path"
    if not has_location:
        driver = "coalesce(mail_driver, 'maildir') AS mail_driver"
        inbox = f"coalesce(mail_inbox_path, '{mail}/' || maildir) AS mail_inbox_path"
    return f"""\
SELECT coalesce(home, '{mail}/' || maildir || '/home') AS home,
coalesce(mail_path, '{mail}/' || maildir) AS mail_path, {driver}, {inbox},
{_owner(settings)}, storage_size AS "quota/user/storage_size",
address AS user FROM account WHERE address = {address}"""


def _owner(settings: Settings) -> str:
    return f"{settings.vmail_uid} AS uid, {settings.vmail_gid} AS gid"


def _literal(text: str) -> str:
    """Text between the quotes of SQL."""
    return text.replace("'", "''")
