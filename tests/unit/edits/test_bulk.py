"""Many rows at once: what becomes of the files, and what is refused."""

from collections.abc import Callable

import pytest

from mailroster.base.address import Address
from mailroster.base.findings import Location
from mailroster.edits import accounts as edits
from mailroster.edits import aliases
from mailroster.edits.bulk import BadRows, MergeResult, add_rows
from mailroster.edits.rows import AccountRow, Row, Rows
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS, Account
from mailroster.roster.formats.quotas import QUOTAS, Quota
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.formats.virtual import VIRTUAL, Alias
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router

H = "{SHA512-CRYPT}$6$abc$def"
ORIGIN = "mail.example.test"


def account(address: str, hash: str = "", quota: str = "", extra: str = "") -> AccountRow:
    return AccountRow(Address(address), "", hash, quota, extra)


def alias(key: str, *recipients: str) -> Alias:
    return Alias(key, recipients)


def rows(*entries: AccountRow | Alias) -> Rows:
    return Rows([Row(Location("in", line), entry) for line, entry in enumerate(entries, 1)], [])


def route(roster: Roster) -> Router:
    return Router(roster, ORIGIN, lambda address: None)


def merged(
    roster: Roster, *entries: AccountRow | Alias, update: bool = False, skip_bad: bool = False
) -> MergeResult:
    return add_rows(roster, rows(*entries), route, update=update, skip_bad=skip_bad)


def texts(roster: Roster) -> tuple[str, str, str]:
    return roster.accounts.text, roster.quotas.text, roster.virtual.text


def roster(accounts: str = "", quotas: str = "", virtual: str = "") -> Roster:
    return Roster(
        accounts=Document(ACCOUNTS, accounts),
        quotas=Document(QUOTAS, quotas),
        virtual=Document(VIRTUAL, virtual),
    )


def refused(
    roster: Roster, *entries: AccountRow | Alias, update: bool = False, skip_bad: bool = False
) -> list[tuple[str, str]]:
    with pytest.raises(BadRows) as error:
        merged(roster, *entries, update=update, skip_bad=skip_bad)
    return [(str(f.where), f.code) for f in error.value.findings if f.severity == "error"]


def test_many_rows_are_as_the_single_commands_one_by_one() -> None:
    start = roster("# ours\r\nold@x.com|{PLAIN}x", "old@x.com:1G\n", "z@x.com old@x.com\n")
    after = start
    verbs: tuple[Callable[[Roster], Roster], ...] = (
        lambda r: edits.add_account(r, Account(Address("a@x.com"), H, "fail=y")),
        lambda r: edits.set_quota(r, Quota(Address("a@x.com"), "5G")),
        lambda r: edits.add_account(r, Account(Address("b@x.com"), H)),
        lambda r: aliases.add_alias(r, "i@x.com", ["a@x.com", "b@x.com"], ORIGIN),
    )
    for verb in verbs:
        after = verb(after)
    done = merged(
        start,
        account("a@x.com", H, "5G", "fail=y"),
        alias("i@x.com", "a@x.com", "b@x.com"),
        account("b@x.com", H),
    )
    assert texts(done.roster) == texts(after)
    assert done.counts == {("account", "added"): 2, ("alias", "added"): 1}


def test_what_exists_is_refused_in_every_row_that_names_it() -> None:
    start = roster(f"A@x.com|{H}\n", "", "I@x.com a@x.com\nj b\n")
    assert refused(
        start, account("a@x.com", H), account("b@x.com", H), alias("i@x.com", "b@x.com"),
        account("j@x.com"), account("i@x.com", H),
    ) == [
        ("in:1", "exists-already"), ("in:3", "exists-already"), ("in:4", "no-password"),
        ("in:5", "exists-already"),
    ]  # fmt: skip


def test_an_update_changes_what_a_row_says_and_keeps_the_rest() -> None:
    start = roster(
        f"# x\r\n A@x.com | {H} | fail\r\nb@x.com|{H}\r\nbad\r\n",
        "a@X.com : 1G \nb@x.com:2G\n",
        "I@x.com a@x.com,\n  b@x.com\nj b\n# end",
    )
    done = merged(
        start,
        account("a@x.com", "{PLAIN}new"),
        account("b@x.com", "", "3G", "nologin"),
        account("c@x.com", H, "1G"),
        alias("i@x.com", "b@x.com"),
        alias("j", "b"),
        update=True,
    )
    assert texts(done.roster) == (
        f"# x\r\n A@x.com | {{PLAIN}}new | fail\r\nb@x.com|{H}|nologin\r\nbad\r\nc@x.com|{H}\r\n",
        "a@X.com : 1G \nb@x.com:3G\nc@x.com:1G\n",
        "i@x.com b@x.com\nj b\n# end",
    )
    assert done.counts == {
        ("account", "changed"): 2, ("account", "added"): 1,
        ("alias", "changed"): 1, ("alias", "unchanged"): 1,
    }  # fmt: skip
    again = merged(
        done.roster, account("a@x.com", "{PLAIN}new"), account("b@x.com", "", "3G"), update=True
    )
    assert again.roster == done.roster
    assert again.counts == {("account", "unchanged"): 2}


def test_a_circle_is_refused_in_each_of_its_rows_and_what_leads_to_it() -> None:
    start = roster("", "", "in@x.com a@x.com\nout@x.com z@x.com\nsick q\nq sick\n")
    entries = alias("a@x.com", "b@x.com"), alias("b@x.com", "a+t@x.com"), alias("c", "out@x.com")
    assert refused(start, *entries) == [
        ("in:1", "unreasonable-alias"),
        ("in:2", "unreasonable-alias"),
        ("postfix-virtual.cf:1", "unreasonable-alias"),
    ]
    assert merged(start, *entries[1:]).counts == {("alias", "added"): 2}


@pytest.mark.parametrize(
    ("before", "new"),
    [
        ("a@x.com @y.com\n", alias("a@y.com", "a@x.com")),
        ("@x.com @y.com\n", alias("@y.com", "@x.com")),
        ("info z\nb@y.com info\n", alias(f"info@{ORIGIN}", "b@y.com")),
        ("a@x.com b@B\u00fccher.example\n", alias("b@xn--bcher-kva.example", "a@x.com")),
        ("a@x.com B+tag@y.com\n", alias("b@y.com", "A@x.com")),
        ("a@x.com b@y.com\nb@y.com c\nc d@z.com\n", alias("@z.com", "a@x.com")),
    ],
)
def test_every_way_to_a_new_alias_is_followed(before: str, new: Alias) -> None:
    start = roster("", "", before)
    found = refused(start, new)
    assert ("in:1", "unreasonable-alias") in found
    assert ("postfix-virtual.cf:1", "unreasonable-alias") in found


def test_limits_are_judged_for_the_whole() -> None:
    start = roster("", "", "all@x.com g@x.com\n")
    many = [f"u{n}@y.com" for n in range(1001)]
    assert refused(start, alias("g@x.com", *many)) == [
        ("in:1", "unreasonable-alias"), ("postfix-virtual.cf:1", "unreasonable-alias"),
    ]  # fmt: skip
    assert merged(start, alias("g@x.com", *many[:1000])).counts == {("alias", "added"): 1}


def test_patterns_are_asked_too() -> None:
    start = roster()._replace(regexp=Document(REGEXP, "/^p@/ a@x.com\n"))

    def with_pattern(roster: Roster) -> Router:
        return Router(roster, ORIGIN, lambda address: "a@x.com" if address[:2] == "p@" else None)

    with pytest.raises(BadRows):
        add_rows(start, rows(alias("a@x.com", "p@y.com")), with_pattern)


def test_bad_rows_may_be_skipped_but_not_what_harms_others() -> None:
    start = roster(f"a@x.com|{H}\n", "", "all@x.com g@x.com\n")
    done = merged(
        start,
        account("a@x.com", "{PLAIN}other"),
        account("b@x.com", H),
        alias("c", "d"),
        alias("d", "c"),
        alias("e", "f"),
        skip_bad=True,
    )
    assert texts(done.roster) == (
        f"a@x.com|{H}\nb@x.com|{H}\n", "", "all@x.com g@x.com\ne f\n"
    )  # fmt: skip
    assert sorted({str(finding.where) for finding in done.findings}) == ["in:1", "in:3", "in:4"]
    first = alias("all@x.com", *(f"u{n}@y.com" for n in range(600)), "g@x.com")
    start = roster("", "", f"{first.key} {','.join(first.recipients)}\n")
    group = alias("g@x.com", *(f"v{n}@y.com" for n in range(600)))
    assert refused(start, group, skip_bad=True) == [("postfix-virtual.cf:1", "unreasonable-alias")]


def test_an_alias_that_takes_the_mail_of_a_mailbox_is_warned_of() -> None:
    done = merged(
        roster(),
        account("a@x.com", H),
        account("b@x.com", H),
        alias("a@x.com", "b@x.com"),
        alias("b@x.com", "B@x.com", "c@x.com"),
    )
    assert [(str(f.where), f.severity, f.code) for f in done.findings] == [
        ("in:3", "warning", "alias-on-mailbox")
    ]
