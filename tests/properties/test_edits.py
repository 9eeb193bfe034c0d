"""Laws of edits: only the line that is meant changes; once is enough; add and delete cancel."""

from typing import Any, NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailroster.base.address import Address, fold
from mailroster.base.findings import ParseError, Refused
from mailroster.edits import accounts, aliases, app_passwords, senders
from mailroster.edits.locks import lock, unlock
from mailroster.edits.notes import NoteChange
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS, Account
from mailroster.roster.formats.app_passwords import APP_PASSWORDS, SCHEME
from mailroster.roster.formats.credentials import is_clear
from mailroster.roster.formats.quotas import QUOTAS, Quota
from mailroster.roster.formats.relaymap import RELAYMAP
from mailroster.roster.formats.sender_logins import Grant
from mailroster.roster.formats.virtual import VIRTUAL, Alias
from mailroster.roster.roster import Roster
from tests.support.edit_cases import (
    APP_PASSWORD,
    CASES,
    ORIGIN,
    A,
    B,
    Case,
    Verb,
    cases,
    done,
    rosters,
)
from tests.support.kept import assert_kept
from tests.support.texts import DIGEST, FORMATS, HASH, raw


@given(rosters(), cases)
def test_an_edit_changes_only_what_it_is_about(roster: Roster, case: Case) -> None:
    after = done(case.verb, roster)
    assume(after is not None)
    assert after is not None
    for (field, old), (_, new) in zip(roster.documents(), after.documents(), strict=True):
        if field not in case.keys:
            assert bytes(new) == bytes(old), field
            continue
        assert_kept(old, new, case.keys[field])


@given(rosters(), cases)
def test_the_same_edit_twice_equals_once_or_is_refused(roster: Roster, case: Case) -> None:
    once = done(case.verb, roster)
    assume(once is not None)
    assert once is not None
    twice = done(case.verb, once)
    if case.repeatable:
        assert twice == once or (twice is not None and texts(twice) == texts(once))
    else:
        assert twice is None


def texts(roster: Roster) -> list[str]:
    return [document.text for _, document in roster.documents()]


@given(rosters(), st.sampled_from(["c@x.com", "zoe@y.org", "o'neil@xn--bcher-kva.de"]))
def test_add_then_delete_of_an_account_is_identity(roster: Roster, login: str) -> None:
    address = Address(login)
    assume(address not in roster.accounts.index and address not in roster.quotas.index)
    assume(address not in roster.virtual.index)
    assume(address not in named(roster.virtual) | named(roster.sender_logins))
    assume(address not in roster.sender_logins.index)
    whole = complete(roster, "accounts", "quotas")
    added = accounts.set_quota(
        accounts.add_account(whole, Account(address, HASH)), Quota(address, "1G")
    )
    removed = accounts.delete_accounts(added, [address])
    assert [bytes(d) for _, d in removed.documents()] == [bytes(d) for _, d in whole.documents()]


@given(rosters(), st.sampled_from(["fresh@x.com", "@y.org", "bare"]))
def test_add_then_delete_of_an_alias_is_identity(roster: Roster, key: str) -> None:
    assume(key not in roster.virtual.index)
    whole = complete(roster, "virtual")
    added = aliases.add_alias(whole, key, ["q@q.test", "r&d+tag@q.test"], ORIGIN)
    half = aliases.delete_alias(added, key, ["q@q.test"])
    assert half.virtual.get(key) is not None
    removed = aliases.delete_alias(half, key, ["R&D+tag@q.test"])
    assert bytes(removed.virtual) == bytes(whole.virtual)


class Pair(NamedTuple):
    """A verb, the verb that takes it back, and the file and the key they are about."""

    do: Verb
    undo: Verb
    field: str
    key: str


PAIRS = {
    "quota": Pair(
        lambda r: accounts.set_quota(r, Quota(A, "7M")),
        lambda r: accounts.delete_quota(r, A),
        "quotas", A,
    ),
    "send": Pair(
        lambda r: accounts.restrict(r, "send_access", B),
        lambda r: accounts.allow(r, "send_access", B),
        "send_access", B,
    ),
    "receive": Pair(
        lambda r: accounts.restrict(r, "receive_access", B),
        lambda r: accounts.allow(r, "receive_access", B),
        "receive_access", B,
    ),
    "grant": Pair(
        lambda r: senders.grant(r, A, B),
        lambda r: senders.revoke(r, A, B),
        "sender_logins", B,
    ),
    "app password": Pair(
        lambda r: app_passwords.add(r, APP_PASSWORD),
        lambda r: app_passwords.delete(r, A, ["phone"]),
        "app_passwords", APP_PASSWORD.key,
    ),
    "master": Pair(
        lambda r: accounts.add_master(r, "fresh", HASH),
        lambda r: accounts.delete_masters(r, ["fresh"]),
        "masters", "fresh",
    ),
}  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@given(rosters())
def test_what_was_set_is_there_and_its_deletion_is_identity(pair: Pair, roster: Roster) -> None:
    document: Document[Any] = getattr(roster, pair.field)
    assume(not any(document.format.key(line) == pair.key for line in document.lines))
    known = Document(ACCOUNTS, f"{A}|{HASH}\n")
    whole = complete(roster._replace(accounts=known), pair.field)
    there = pair.do(whole)
    assert getattr(there, pair.field).get(pair.key) is not None
    assert texts(pair.undo(there)) == texts(whole)


@given(rosters(), st.sampled_from(["{PLAIN}one", "$6$salt$one", HASH]))
def test_the_last_of_two_passwords_counts_and_the_first_leaves_no_trace(
    roster: Roster, first: str
) -> None:
    def account(roster: Roster, hash: str) -> Roster:
        return accounts.set_password(roster, A, hash)

    def master(roster: Roster, hash: str) -> Roster:
        return accounts.set_master_password(roster, "info", hash)

    for verb in (account, master):
        try:
            once = verb(roster, "{PLAIN}two")
        except Refused:
            continue
        assert texts(verb(verb(roster, first), "{PLAIN}two")) == texts(once)


@given(rosters())
def test_a_lock_that_is_taken_away_leaves_no_trace(roster: Roster) -> None:
    locked = done(lambda r: lock(r, A, NoteChange(), lambda _: HASH), roster)
    assume(locked is not None)
    assert locked is not None
    there, account = locked.accounts.get(A), roster.accounts.get(A)
    assert there is not None
    assert there.is_locked()
    assert account is not None
    if not account.is_locked() and not is_clear(account.password):
        assert texts(unlock(locked, A)) == texts(roster)


@given(rosters())
def test_a_deleted_account_leaves_every_line_that_does_not_name_it(roster: Roster) -> None:
    after = done(lambda r: accounts.delete_accounts(r, [A]), roster)
    assume(after is not None)
    assert after is not None
    assert_kept(roster.accounts, after.accounts, A)
    assert_kept(roster.quotas, after.quotas, A)
    for field in ("regexp", "masters", "send_access", "receive_access", "relaymap"):
        assert getattr(after, field).text == getattr(roster, field).text
    assert after.sasl_passwords.text == roster.sasl_passwords.text
    left = not_naming(after.sender_logins, A)
    assert [line for line in not_naming(roster.sender_logins, A) if line not in left] == []
    assert not_naming(after.virtual, A) == not_naming(roster.virtual, A)
    assert not_naming(after.local_aliases, A) == not_naming(roster.local_aliases, A)


def not_naming(document: Document[Any], word: str) -> list[str]:
    """The logical lines that don't hold a word; a final line feed is no line."""
    lines = document.text.removesuffix("\n") and document.lines
    return [line for line in lines if line and word not in line.lower()]


def named(document: Document[Alias] | Document[Grant]) -> set[str]:
    """Every recipient in a line that can be read, whether it counts or not."""
    found: set[str] = set()
    for line in filter(document.format.key, document.lines):
        try:
            found |= {fold(recipient) for recipient in document.format.parse(line)[1]}
        except ParseError:
            continue
    return found


def complete(roster: Roster, *fields: str) -> Roster:
    """The same, where some of the files end in a line feed: else an append adds it for good."""
    for field in fields:
        document = getattr(roster, field)
        if document.text and not document.text.endswith("\n"):
            ended: dict[str, Any] = {field: Document(document.format, document.text + "\n")}
            roster = roster._replace(**ended)
    return roster


@given(raw, st.sampled_from(["b@x.com", "B@X.com", "c@x.com", "a@xn--bcher-kva.de"]))
def test_without_a_recipient_the_others_stay_in_order(content: bytes, recipient: str) -> None:
    roster = Roster(virtual=Document.from_bytes(VIRTUAL, b"a@x.com b@x.com c@x.com\n" + content))
    for key in roster.virtual.index:
        before = roster.virtual.get(key)
        after = aliases.delete_alias(roster, key, [recipient]).virtual
        if before is None:
            continue
        rest = [r for r in before.recipients if fold(r) != fold(recipient)]
        if rest:
            left = after.get(key)
            assert left is not None
            assert list(left.recipients) == rest
        else:
            position = roster.virtual.position(key)
            assert position is not None
            assert len(after.lines) < len(roster.virtual.lines) or after.text == ""


@given(rosters())
def test_a_deleted_account_is_nowhere_a_recipient(roster: Roster) -> None:
    after = done(lambda r: accounts.delete_accounts(r, [A]), roster)
    assume(after is not None)
    assert after is not None
    assert A not in after.accounts.index
    assert A not in after.quotas.index
    assert A not in named(after.virtual)


def test_the_cases_can_succeed() -> None:
    """Else the laws would hold of nothing."""
    roster = Roster(
        accounts=Document(ACCOUNTS, f"a@x.com|{HASH}\n"), quotas=Document(QUOTAS, "a@x.com:1G\n")
    )
    succeeded = {case.name for case in CASES if done(case.verb, roster) is not None}
    succeeded |= {case.name for case in CASES if done(case.verb, Roster()) is not None}
    relayed = Roster(relaymap=Document(RELAYMAP, "@x.com\n"))
    succeeded |= {case.name for case in CASES if done(case.verb, relayed) is not None}
    phone = Document(APP_PASSWORDS, f"{APP_PASSWORD.key}|{SCHEME}{DIGEST}\n")
    with_phone = Roster(app_passwords=phone)
    succeeded |= {case.name for case in CASES if done(case.verb, with_phone) is not None}
    held = Roster(masters=Document(FORMATS[4], f"info|{HASH}\n"))
    succeeded |= {case.name for case in CASES if done(case.verb, held) is not None}
    assert succeeded == {case.name for case in CASES}
