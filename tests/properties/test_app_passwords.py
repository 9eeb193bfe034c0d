"""Laws of app passwords: they go where their account goes, and edits of others leave them alone."""

from itertools import permutations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailroster.base.address import Address
from mailroster.base.findings import Refused
from mailroster.base.services import SERVICES
from mailroster.edits import accounts, app_passwords
from mailroster.edits.notes import NoteChange, annotate
from mailroster.edits.rename import rename_account
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.notes import noted
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.app_passwords import APP_PASSWORDS, AppPassword, key, line
from mailroster.roster.roster import Roster
from tests.support.edit_cases import ORIGIN, A, B, Verb, rosters
from tests.support.kept import assert_kept
from tests.support.texts import DIGEST, HASH, raw

NEW = Address("somebody@new.test")
ENTRIES = st.builds(
    lambda address, label, digest, services, until, nets: AppPassword(
        key(address, label), Address(address), label, digest, services, until, nets
    ),
    st.sampled_from((A, B, "c@y.test")),
    st.sampled_from(("phone", "tablet", "a.b-c_d", "0", "x" * 40)),
    st.sampled_from((DIGEST, "0" * 64, "f" * 64)),
    st.one_of(
        st.none(),
        st.sets(st.sampled_from(SERVICES), min_size=1).map(
            lambda some: tuple(service for service in SERVICES if service in some)
        ),
    ),
    st.sampled_from(("", "2126-12-31", "2126-12-31T18:00", "2126-12-31T18:00:05")),
    st.sampled_from(("", "10.0.0.0/8,::1", "192.0.2.17")),
)
some_entries = st.lists(ENTRIES, max_size=8, unique_by=lambda entry: entry.key)


def roster_of(entries: list[AppPassword], more: bytes = b"") -> Roster:
    """Accounts with these app passwords, among other lines."""
    text = "".join(f"# of {entry.label}\n{line(entry)}\n" for entry in entries)
    return Roster(
        accounts=Document(ACCOUNTS, "".join(f"{each}|{HASH}\n" for each in (A, B, "c@y.test"))),
        app_passwords=Document.from_bytes(APP_PASSWORDS, more + b"\n" + text.encode()),
    )


def own(roster: Roster, account: str) -> dict[str, AppPassword]:
    """The app passwords of an account, by label."""
    entries = (entry for _, entry in roster.app_passwords.items())
    return {entry.label: entry for entry in entries if entry.address == account}


@given(ENTRIES)
def test_an_app_password_is_read_as_it_was_written(entry: AppPassword) -> None:
    assert APP_PASSWORDS.parse(line(entry)) == entry
    assert APP_PASSWORDS.key(line(entry)) == entry.key
    plain = APP_PASSWORDS.plain()
    assert plain is not None
    if plain.match(line(entry)):
        assert plain.entry(line(entry)) == entry


@given(some_entries, raw, st.data())
def test_edits_of_other_app_passwords_commute(
    entries: list[AppPassword], more: bytes, data: st.DataObject
) -> None:
    """Two deletions in any order leave the same bytes; an addition and a deletion, too."""
    roster = roster_of(entries, more)
    keys = [entry.key for entry in entries if roster.app_passwords.get(entry.key) is not None]
    assume(len(keys) >= 2)
    first, second = data.draw(st.permutations(keys))[:2]
    new = AppPassword(key(A, "fresh"), A, "fresh", DIGEST)
    assume(new.key not in roster.app_passwords.index)

    def delete(roster: Roster, key: str) -> Roster:
        address, _, label = key.partition("|")
        return app_passwords.delete(roster, Address(address), [label])

    edits: tuple[Verb, ...] = (
        lambda r: delete(r, first),
        lambda r: delete(r, second),
        lambda r: app_passwords.add(r, new),
    )
    results = set()
    for order in permutations(edits):
        after = roster
        for edit in order:
            after = edit(after)
        results.add(bytes(after.app_passwords))
    assert len(results) == 1


@given(some_entries, raw, st.sampled_from((None, "in the kitchen")))
def test_a_rename_takes_all_of_them_along_and_no_other(
    entries: list[AppPassword], more: bytes, comment: str | None
) -> None:
    roster = roster_of(entries, more)
    assume(NEW not in more.decode("utf-8", "replace").lower())
    for label in own(roster, A):
        roster = annotate(roster, "app_passwords", key(A, label), NoteChange(comment))
    before = own(roster, A)
    after = rename_account(roster, A, NEW, ORIGIN)
    assert own(after, A) == {}
    assert own(after, NEW) == {
        label: entry._replace(key=key(NEW, label), address=NEW) for label, entry in before.items()
    }
    for other in (B, "c@y.test"):
        assert own(after, other) == own(roster, other)
    comments = [notes.comment for notes in noted(after.app_passwords).values()]
    assert comments == [notes.comment for notes in noted(roster.app_passwords).values()]
    without_alias = after._replace(virtual=roster.virtual)
    back = rename_account(without_alias, NEW, A, ORIGIN)
    assert bytes(back.app_passwords) == bytes(roster.app_passwords)


@given(rosters())
def test_a_deleted_account_has_none_left_and_every_other_line_stays(roster: Roster) -> None:
    try:
        after = accounts.delete_accounts(roster, [A])
    except Refused:
        return
    assert own(after, A) == {}
    assert not_naming(after.app_passwords, A) == not_naming(roster.app_passwords, A)


def not_naming(document: Document[AppPassword], word: str) -> list[str]:
    """The lines that contain neither a word nor a note; a final line feed is no line."""
    return [
        each
        for each in document.lines
        if each and word not in each.lower() and not each.startswith("# mailroster:")
    ]


@given(rosters(), st.sampled_from((A, B)))
def test_a_new_password_of_the_account_and_a_lock_change_no_app_password(
    roster: Roster, account: Address
) -> None:
    """A lock closes them in the tables, not in the file."""
    try:
        after = accounts.set_password(roster, account, HASH)
    except Refused:
        return
    assert bytes(after.app_passwords) == bytes(roster.app_passwords)


@given(some_entries, raw, ENTRIES)
def test_one_that_exists_is_refused_and_a_new_one_is_the_only_change(
    entries: list[AppPassword], more: bytes, new: AppPassword
) -> None:
    roster = roster_of(entries, more)
    if new.key in roster.app_passwords:
        with pytest.raises(Refused):
            app_passwords.add(roster, new)
        return
    after = app_passwords.add(roster, new)
    assert_kept(roster.app_passwords, after.app_passwords, new.key)
    assert after.app_passwords.get(new.key) == new
