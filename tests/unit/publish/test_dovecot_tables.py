"""Extra fields in Dovecot's tables: a column, a line of the passwd-file, or nothing."""

import pytest

from mailroster.base.address import Address
from mailroster.publish.tables.dovecot import Accounts, Exceptions, ExceptionsByService, _plain_row
from mailroster.roster.documents.document import Document
from mailroster.roster.dovecot.served import PASSDB_FIELDS, misplaced
from mailroster.roster.formats.quotas import Quota
from mailroster.roster.roster import Roster
from mailroster.routing.change import change
from mailroster.routing.router import Router
from mailroster.servers.config.dovecot.schema import LOCKED, AccountRow

HASH = "{SHA512-CRYPT}$6$abc$def"
ACCOUNTS, EXCEPTIONS = Accounts("2.3"), Exceptions("2.3")
START = f"a@x.com:{HASH}::::::"


def router(extra: str, quotas: str = "", virtual: str = "") -> Router:
    empty = Roster()
    roster = empty._replace(
        accounts=Document(empty.accounts.format, f"a@x.com|{HASH}|{extra}\n"),
        quotas=Document(empty.quotas.format, quotas),
        virtual=Document(empty.virtual.format, virtual),
    )
    return Router(roster, "host.test", lambda _: None)


@pytest.mark.parametrize(
    ("extra", "columns"),
    [
        ("nologin", {"nologin": ""}),
        ("nologin=yes reason=gone", {"nologin": "yes", "reason": "gone"}),
        (
            "userdb_mail=mbox:~/m:INBOX=~/i",
            {
                "mail": "mbox:~/m:INBOX=~/i",
                "mail_driver": "mbox",
                "mail_path": "~/m",
                "mail_inbox_path": "~/i",
            },
        ),
        ("userdb_uid=5000 userdb_gid=5000", {}),
        ("userdb_mail_uid=vmail nodelay=y", {"nodelay": "y"}),
    ],
)
def test_fields_with_a_column_are_a_row(extra: str, columns: dict[str, str]) -> None:
    given = router(extra)
    assert ACCOUNTS.row(given, "a@x.com") == AccountRow(HASH, "x.com/a", **columns)
    assert EXCEPTIONS.row(given, "a@x.com") is None


@pytest.mark.parametrize(
    ("extra", "fields"),
    [
        ("fail nologin", "fail nologin"),
        ("fail=a:b|c=d  \t noauthenticate=", "fail=a:b|c=d noauthenticate="),
        ("fail=1 userdb_nice=2 fail=3", "fail=3 userdb_nice=2"),
        ("userdb_uid=7 fail=1 userdb_gid=8", "fail=1"),
        ("reason=%n", "reason=%n"),
        ("userdb_mail=maildir:/srv/%d/%n", "userdb_mail=maildir:/srv/%d/%n"),
    ],
)
def test_any_other_field_and_any_variable_is_a_line_of_the_passwd_file(
    extra: str, fields: str
) -> None:
    given = router(extra)
    assert EXCEPTIONS.row(given, "a@x.com") == START + fields
    assert ACCOUNTS.row(given, "a@x.com") is None


def test_a_quota_of_the_file_stands_behind_the_fields_unless_they_have_one() -> None:
    quotas = "a@x.com:5G\n"
    line = EXCEPTIONS.row(router("fail=1", quotas), "a@x.com")
    assert line == START + "fail=1 userdb_quota_rule=*:storage=5G"
    own = "fail=1 userdb_quota_rule=*:storage=7M"
    assert EXCEPTIONS.row(router(own, quotas), "a@x.com") == START + own


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("maildir:/srv/%d/%n", "maildir:/srv/x.com/a"),
        ("maildir:/srv/%Lu", "maildir:/srv/a@x.com"),
        ("maildir:/srv/%%d", "maildir:/srv/%d"),
        ("maildir:/srv/%%%n", "maildir:/srv/%a"),
        ("maildir:~/m", "maildir:~/m"),
    ],
)
def test_an_alias_has_the_mail_of_its_mailbox_with_the_variables_of_that(
    field: str, value: str
) -> None:
    given = router(f"userdb_mail={field}", virtual="info@y.org a@x.com\n")
    assert ACCOUNTS.row(given, "info@y.org") == AccountRow(
        None,
        "x.com/a",
        mail=value,
        mail_driver="maildir",
        mail_path=value[8:],
        mail_inbox_path=value[8:],
    )


@pytest.mark.parametrize("value", ["%h/m", "%1n", "%{user|reverse}"])
def test_an_alias_has_no_row_if_only_dovecot_knows_where_the_mail_is(value: str) -> None:
    given = router(f"userdb_mail=maildir:{value}", virtual="info@y.org a@x.com\n")
    assert ACCOUNTS.row(given, "info@y.org") is None


@pytest.mark.parametrize(
    ("virtual", "local", "expected"),
    [
        ("info@y.org a@x.com\n", "", {"a@x.com", "info@y.org"}),
        ("one@y.org two@y.org\ntwo@y.org a@x.com\n", "", {"a@x.com", "one@y.org", "two@y.org"}),
        ("info a@x.com\n@y.org a@x.com\n", "", {"a@x.com", "info@host.test"}),
        ("info@y.org b@x.com\n", "", {"a@x.com"}),
        ("info@y.org abuse@x.com\none@y.org info@y.org\n", "",
         {"a@x.com", "info@y.org", "one@y.org"}),
        ("info@y.org mine\n", "mine: postmaster\n", {"a@x.com", "info@y.org", "mine@host.test"}),
    ],
    ids=["an alias", "a chain", "a bare name, but no catch-all", "not what leads elsewhere",
         "what leads to a role that the postmaster has", "through a local alias"],
)  # fmt: skip
def test_a_quota_concerns_the_account_and_the_aliases_that_lead_to_it(
    virtual: str, local: str, expected: set[str]
) -> None:
    before, after = (
        router("", quotas, virtual)._replace(postmaster="A@x.com")
        for quotas in ("a@x.com:1G\n", "a@x.com:2G\n")
    )
    aliases = Document(Roster().local_aliases.format, local)
    before, after = (
        r._replace(roster=r.roster._replace(local_aliases=aliases)) for r in (before, after)
    )
    assert set(ACCOUNTS.affected(change(before, after))) == expected
    assert EXCEPTIONS.affected(change(before, after)) == {"a@x.com"}


def test_each_account_and_each_alias_is_a_key_once() -> None:
    virtual = (
        "info a@x.com\ninfo@host.test b@x.com\nmore a@x.com\nMore a@x.com\n@x.com a@x.com\n"
        "a@x.com b@x.com\nlist@x.com a@x.com\n"
    )
    keys = ["a@x.com", "info@host.test", "more@host.test", "list@x.com"]
    assert sorted(ACCOUNTS.keys(router("", virtual=virtual))) == sorted(keys)


def test_an_address_that_only_a_catch_all_takes_has_no_row() -> None:
    given = router("", virtual="@host.test a@x.com\ninfo a@x.com\n")
    assert ACCOUNTS.row(given, "any@host.test") is None
    assert ACCOUNTS.row(given, "info@host.test") == AccountRow(None, "x.com/a")


def test_only_accounts_that_are_there_can_have_a_misplaced_folder() -> None:
    fields = "userdb_home=/elsewhere userdb_nice=1"
    accounts = router(fields).roster.accounts
    for keys, count in (([], 0), (["nobody@x.com"], 0), (["nobody@x.com", "a@x.com"], 1)):
        assert len(list(misplaced(accounts, keys, "/srv/mail"))) == count
    assert list(misplaced(router("nologin").roster.accounts, ["a@x.com"], "/srv/mail")) == []


@pytest.mark.parametrize("hash", ["{SHA512-CRYPT}!$6$a", "{SSHA}!x", "!$6$a", "{FOO}!x"])
@pytest.mark.parametrize("extra", ["", "|fail=1"])
def test_a_locked_account_has_a_hash_that_no_password_has(hash: str, extra: str) -> None:
    given = router("")
    accounts = Document(given.roster.accounts.format, f"a@x.com|{hash}{extra}\n")
    given = given._replace(roster=given.roster._replace(accounts=accounts))
    if extra:
        assert EXCEPTIONS.row(given, "a@x.com") == f"a@x.com:{LOCKED}::::::fail=1"
    else:
        assert ACCOUNTS.row(given, "a@x.com") == AccountRow(LOCKED, "x.com/a")


def test_each_field_that_dovecot_asks_for_is_a_column() -> None:
    assert AccountRow._fields[-len(PASSDB_FIELDS) :] == PASSDB_FIELDS


@pytest.mark.parametrize("size", ["5G", "0", None])
@pytest.mark.parametrize("password", ["{X}h", None])
def test_a_plain_row_is_that_of_the_class(password: str | None, size: str | None) -> None:
    quota = Quota(Address("a@x.com"), size) if size else None
    rule = f"*:storage={size}" if size else None
    row = AccountRow(password, "x.com/a", quota_rule=rule, storage_size=size)
    made = _plain_row(password, "x.com/a", quota)
    assert (made, type(made)) == (row, AccountRow)


def test_the_services_of_a_main_password_are_those_of_its_field_or_of_the_setting() -> None:
    for extra, setting, services in (
        ("", None, None),
        ("", (), " "),
        ("", ("imap", "smtp"), " imap smtp "),
        ("services=smtp,imap", None, " imap smtp "),
        ("services=none", ("imap",), " "),
        ("services=pop3 allow_nets=::1", (), " pop3 "),
    ):
        given = router(extra)._replace(services=setting)
        row = ACCOUNTS.row(given, "a@x.com")
        assert row is not None
        assert row.services == services, extra
        assert row.password == HASH


def test_an_exception_with_services_has_its_hash_in_the_lines_of_these_only() -> None:
    by_service = ExceptionsByService("2.3")
    for extra, setting, services in (
        ("userdb_nice=3", None, None),
        ("userdb_nice=3", ("imap",), ["imap"]),
        ("userdb_nice=3 services=pop3,sieve", ("imap",), ["pop3", "sieve"]),
        ("userdb_nice=3 services=none", None, []),
    ):
        given = router(extra)._replace(services=setting)
        line = EXCEPTIONS.row(given, "a@x.com")
        hash = HASH if services is None else LOCKED
        assert line == f"a@x.com:{hash}::::::userdb_nice=3"
        lines = {key: by_service.row(given, key) for key in by_service.keys(given)}
        assert {key: row for key, row in lines.items() if row is not None} == {
            f"a@x.com/{service}": f"a@x.com/{service}:{HASH}::::::userdb_nice=3 user=a@x.com"
            for service in services or ()
        }
