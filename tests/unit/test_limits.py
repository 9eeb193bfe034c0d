"""How much a mailbox may hold, by the files alone."""

import pytest

from mailroster.address import Address
from mailroster.document import Document
from mailroster.formats.accounts import ACCOUNTS
from mailroster.formats.quotas import QUOTAS
from mailroster.limits import Limit, limit_of
from mailroster.roster import Roster

A = Address("a@x.com")


@pytest.mark.parametrize(
    ("extra", "quotas", "limit"),
    [
        ("", "", Limit(1000, is_default=True)),
        ("", "a@x.com:5k\n", Limit(5120)),
        ("", "a@x.com:0\n", Limit(0)),
        ("", "aa@x.com:5k\na@x.com.au:6k\n", Limit(1000, is_default=True)),
        ("", "a@x.com:bad\n", Limit(1000, is_default=True)),
        ("userdb_quota_rule=*:storage=2M", "a@x.com:5k\n", Limit(2 << 20)),
        ("userdb_quota_rule=*:storage=7", "", Limit(7 << 10)),
        ("userdb_quota_rule=*:bytes=7", "", Limit(7)),
        ("userdb_quota_rule=*:storage=1G:messages=9", "", Limit(1 << 30)),
        ("userdb_quota_rule=Trash:storage=1G", "", Limit(None)),
        ("userdb_quota_rule=*:storage=50%%%%", "", Limit(None)),
        ("userdb_quota/user/storage_size=2M", "a@x.com:5k\n", Limit(2 << 20)),
        ("userdb_quota_storage_size=7", "", Limit(7)),
        ("userdb_quota_rule=*:storage=2M userdb_quota/user/storage_size=2M", "", Limit(2 << 20)),
        ("userdb_quota_rule=*:storage=2M userdb_quota/user/storage_size=3M", "", Limit(None)),
        ("nologin", "", Limit(1000, is_default=True)),
    ],
)
def test_the_limit_of_a_mailbox(extra: str, quotas: str, limit: Limit) -> None:
    bar = f"|{extra}" if extra else ""
    roster = Roster(
        accounts=Document(ACCOUNTS, f"a@x.com|{{PLAIN}}x{bar}\n"), quotas=Document(QUOTAS, quotas)
    )
    assert limit_of(roster, A, 1000) == limit
