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


def _login(connection: sqlite3.Connection, digest: str, service: str) -> list[tuple[object, ...]]:
    query = schema.app_password_query(ADDRESS, digest, service, reports=True)
    return connection.execute(query).fetchall()


def test_the_query_of_app_passwords_checks_digest_protocol_and_end_by_one_search() -> None:
    rows = {
        "all": schema.AppPasswordRow("a@xn--x", "all", None, None, "::1", "10.0.0.0/8"),
        "imap": schema.AppPasswordRow("a@xn--x", "imap", " imap ", "2999-12-31 24:00:00"),
        "old": schema.AppPasswordRow("a@xn--x", "old", None, "2020-12-31 24:00:00"),
    }
    with closing(sqlite3.connect(":memory:")) as connection:
        for shape in schema.SHAPES:
            connection.execute(shape.definition())
        connection.execute("INSERT INTO spelling VALUES ('xn--x', '[éÉ]', NULL)")
        for digest, row in rows.items():
            marks = ",".join("?" * (1 + len(row)))
            values = (f"a@xn--x|{digest}", *row)
            connection.execute(f"INSERT INTO app_password VALUES ({marks})", values)
        nets = ("::1", "10.0.0.0/8", None)
        assert _login(connection, "all", "pop3") == [
            ("a@xn--x", None, "Y", *nets, "a@xn--x|all"[-schema.APP_DIGITS :])
        ]
        assert [len(_login(connection, "imap", s)) for s in ("imap", "ima", "smtp", "")] == [
            1,
            0,
            0,
            0,
        ]
        assert [len(_login(connection, d, "imap")) for d in ("old", "", "al", "ALL")] == [0] * 4
        query = schema.app_password_query(ADDRESS, "all", "imap", reports=False)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
        assert plan[0] == "SEARCH app_password USING PRIMARY KEY (key=?)"


def test_a_protocol_that_a_main_password_does_not_open_gets_the_hash_of_a_lock() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for shape in schema.SHAPES:
            connection.execute(shape.definition())
        for services in (None, " imap smtp ", " "):
            row = ("a@xn--x", *schema.AccountRow("{X}h", "d/a", services=services))
            marks = ",".join("?" * len(row))
            connection.execute(f"INSERT OR REPLACE INTO account VALUES ({marks})", row)
            found = {
                service: connection.execute(schema.password_query("'a@xn--x'", service)).fetchone()[
                    1
                ]
                for service in ("imap", "smtp", "pop3", "lmtp", "")
            }
            opened = [service for service, hash in found.items() if hash == "{X}h"]
            assert opened == {
                None: ["imap", "smtp", "pop3", "lmtp", ""], " imap smtp ": ["imap", "smtp"],
                " ": [],
            }[services]  # fmt: skip
            assert set(found.values()) <= {"{X}h", schema.LOCKED}
