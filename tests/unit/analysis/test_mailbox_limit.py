"""How much a mailbox may hold, by the files alone."""

import pytest

from mailroster.analysis.mailbox_limit import default, limit_of
from mailroster.base.address import Address
from mailroster.roster.documents.document import Document
from mailroster.roster.dovecot.fields import Limit
from mailroster.roster.dovecot.versions import VERSIONS
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.quotas import QUOTAS
from mailroster.roster.roster import Roster

A = Address("a@x.com")


#: Extra fields, entries of dovecot-quotas.cf -> the size on 2.3 and on 2.4.
TABLE: list[tuple[str, str, int | None, int | None]] = [
    ("", "", 1000, 1000),
    ("", "a@x.com:5k\n", 5120, 5120),
    ("", "a@x.com:0\n", 0, 0),
    ("", "aa@x.com:5k\na@x.com.au:6k\n", 1000, 1000),
    ("", "a@x.com:bad\n", 1000, 1000),
    ("nologin", "", 1000, 1000),
    ("userdb_quota_rule=*:storage=2M", "a@x.com:5k\n", 2 << 20, 2 << 20),
    ("userdb_plugin/quota_rule=*:storage=2M", "a@x.com:5k\n", 2 << 20, 2 << 20),
    ("userdb_quota_rule=*:storage=7", "", 7 << 10, 7 << 10),
    ("userdb_quota_rule=*:bytes=7", "", 7, 7),
    ("userdb_quota_rule=*:bytes=7k", "", 7 << 10, 7 << 10),
    ("userdb_quota_rule=*:storage=1G:messages=9", "", 1 << 30, 1 << 30),
    ("userdb_quota_rule=*:messages=9", "a@x.com:5k\n", 0, 0),
    ("userdb_quota_rule=*:storage=0", "a@x.com:5k\n", 0, 0),
    # In 2.3 a rule for one folder in place of that for all leaves no limit; 2.4 has no such rule.
    ("userdb_quota_rule=Trash:storage=1G", "a@x.com:5k\n", 0, 5120),
    ("userdb_quota_rule2=Trash:storage=+1G", "a@x.com:5k\n", 5120, 5120),
    ("userdb_quota_rule2=*:storage=1M", "a@x.com:5k\n", 1 << 20, 1 << 20),
    ("userdb_quota_rule=?:storage=1M", "a@x.com:5k\n", None, 1 << 20),
    ("userdb_quota_rule=*:ignore", "", None, 1000),
    ("userdb_quota/user/storage_size=2M", "a@x.com:5k\n", 2 << 20, 2 << 20),
    ("userdb_quota_storage_size=7", "a@x.com:5k\n", 7, 7),
    ("userdb_quota_storage_size=7M userdb_quota/user/storage_size=2M", "", 2 << 20, 2 << 20),
    ("userdb_quota_message_count=7", "a@x.com:5k\n", 0, 5120),
    ("userdb_quota_rule=*:storage=2M userdb_quota/user/storage_size=2M", "", 2 << 20, 2 << 20),
    ("userdb_quota_rule=*:storage=2M userdb_quota/user/storage_size=3M", "", 2 << 20, 3 << 20),
]


def limit(extra: str, quotas: str, version: str = "") -> Limit:
    bar = f"|{extra}" if extra else ""
    accounts = Document(ACCOUNTS, f"a@x.com|{{PLAIN}}x{bar}\n")
    roster = Roster(accounts=accounts, quotas=Document(QUOTAS, quotas))
    return limit_of(roster, A, default(1000, version))


@pytest.mark.parametrize(("extra", "quotas", "old", "new"), TABLE)
def test_the_limit_of_a_mailbox(extra: str, quotas: str, old: int | None, new: int | None) -> None:
    assert limit(extra, quotas, "2.3").size == old
    assert limit(extra, quotas, "2.4").size == new
    assert limit(extra, quotas).size == (old if old == new else None)


@pytest.mark.parametrize(
    ("extra", "quotas", "is_default", "field"),
    [
        ("", "", True, ""),
        ("", "a@x.com:5k\n", False, ""),
        ("nologin", "", True, ""),
        ("userdb_quota_rule2=Trash:storage=+1G", "", True, ""),
        ("userdb_quota_rule2=Trash:storage=+1G", "a@x.com:5k\n", False, ""),
        ("userdb_quota_rule2=*:storage=1M", "a@x.com:5k\n", False, "userdb_quota_rule2"),
        ("nologin userdb_plugin/quota_rule=*:storage=1M", "", False, "userdb_quota_rule"),
        ("userdb_quota_storage_size=7", "a@x.com:5k\n", False, "userdb_quota_storage_size"),
    ],
)
def test_where_a_limit_comes_from(extra: str, quotas: str, is_default: bool, field: str) -> None:
    for version in VERSIONS:
        found = limit(extra, quotas, version)
        assert (found.is_default, found.field) == (is_default, field)


def test_the_messages_that_a_mailbox_may_hold() -> None:
    for version in VERSIONS:
        assert limit("userdb_quota_rule=*:storage=2M:messages=9", "", version)[:2] == (2 << 20, 9)
        assert limit("userdb_quota/user/message_count=9", "", version).messages == 9
