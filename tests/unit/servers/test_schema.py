"""The queries of both versions of Dovecot read columns that the tables have."""

import os
import sqlite3
from contextlib import closing

import pytest

from mailroster.base.settings import Sources, load
from mailroster.servers.config.dovecot import schema

SETTINGS = load(Sources({"home": "/srv"}, {}, lambda path: b"", os.path.isdir))._replace(
    mail="/m'ail"
)
ADDRESS = schema.account_address("a@xn--x", "a", "é")
QUERIES = {
    "accounts": (schema.ACCOUNTS_QUERY, [("a@xn--x",)]),
    "password": (schema.password_query(ADDRESS, "imap"), [("a@xn--x", "{X}h", *[None] * 11)]),
    "master": (schema.master_query("boss"), [("boss", "{X}m")]),
    "user of 2.3": (
        schema.user_query_2_3(SETTINGS, ADDRESS, "*:storage=0", "m"),
        [
            (
                "/m'ail/d/a/home",
                "maildir:/m'ail/d/a",
                5000,
                5000,
                "*:storage=0m",
                "a@xn--x",
            )
        ],
    ),
    "user of 2.4": (
        schema.user_query_2_4(SETTINGS, ADDRESS, has_location=True),
        [("/m'ail/d/a/home", "/m'ail/d/a", None, None, 5000, 5000, "0", "a@xn--x")],
    ),
    "user of 2.4 without a location": (
        schema.user_query_2_4(SETTINGS, ADDRESS, has_location=False),
        [("/m'ail/d/a/home", "/m'ail/d/a", "maildir", "/m'ail/d/a", 5000, 5000, "0", "a@xn--x")],
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_reads_the_tables(name: str) -> None:
    query, rows = QUERIES[name]
    account = schema.AccountRow("{X}h", "d/a", quota_rule="*:storage=0", storage_size="0")
    alias = schema.AccountRow(None, "d/a")
    with closing(sqlite3.connect(":memory:")) as connection:
        for shape in schema.SHAPES:
            connection.execute(shape.definition())
        for table, *row in (
            ("account", "a@xn--x", *account),
            ("account", "alias@xn--x", *alias),
            ("master", "boss", *schema.MasterRow("{X}m")),
            ("spelling", "xn--x", *schema.SpellingRow("[éÉ]")),
        ):
            connection.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
        assert connection.execute(query).fetchall() == rows
