"""The tables of the database of blocks, and the query by which Dovecot reads it. Pure.

Dovecot 2.4 and 2.3 differ in the names of variables only.
"""

from mailroster.base.client_network import expanded_sql
from mailroster.servers.config.dovecot import schema

#: The field of a blocked login by which its report differs from that of a wrong password.
FIELD = "mailroster_blocked"
#: The account of a client that is known to all accounts.
EVERY_ACCOUNT = "*"
#: Table -> the SQL statement that makes it.
TABLES = {
    "block": (
        "CREATE TABLE block (key TEXT PRIMARY KEY, client TEXT, since TEXT, until TEXT, "
        "author TEXT, in_a_row INTEGER) WITHOUT ROWID"
    ),
    "closed": (
        "CREATE TABLE closed (account TEXT PRIMARY KEY, since TEXT, until TEXT) WITHOUT ROWID"
    ),
    "known": (
        "CREATE TABLE known (account TEXT, key TEXT, time TEXT, PRIMARY KEY (account, key)) "
        "WITHOUT ROWID"
    ),
    "spelling": (
        "CREATE TABLE spelling (domain TEXT PRIMARY KEY, composed TEXT, decomposed TEXT) "
        "WITHOUT ROWID"
    ),
}


def query(client: str, name: str, user: str, domain: str) -> str:
    """A row if the login is refused. The arguments are Dovecot's variables for the address of the
    client, and for the login name in lower case and its parts.

    The key of a client ends in `:`, so the last key up to the expanded address is the only one that
    can be its beginning: each lookup reads one row."""
    account = schema.account_address(name, user, domain)
    return f"""\
SELECT NULL AS password, 'Y' AS nopassword, 'Y' AS {FIELD}
FROM (SELECT {expanded_sql(client)} AS address) AS client
WHERE (SELECT substr(address, 1, length(key)) = key AND until > datetime('now')
FROM block WHERE key <= address ORDER BY key DESC LIMIT 1)
OR (EXISTS (SELECT 1 FROM closed WHERE account = {account} AND until > datetime('now'))
AND NOT {_is_known(account)}
AND NOT {_is_known(f"'{EVERY_ACCOUNT}'")})"""


def _is_known(account: str) -> str:
    return f"""\
coalesce((SELECT substr(address, 1, length(key)) = key
FROM known WHERE account = {account} AND key <= address ORDER BY key DESC LIMIT 1), 0)"""
