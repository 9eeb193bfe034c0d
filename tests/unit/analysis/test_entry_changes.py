"""What changed between two rosters, in words."""

import pytest

from mailroster.analysis.entry_changes import NOUNS, described, entry_changes
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.quotas import QUOTAS
from mailroster.roster.formats.regexp import REGEXP
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster

H = "{S}h"


def roster(accounts: str = "", quotas: str = "", virtual: str = "", regexp: str = "") -> Roster:
    return Roster(
        accounts=Document(ACCOUNTS, accounts), quotas=Document(QUOTAS, quotas),
        virtual=Document(VIRTUAL, virtual), regexp=Document(REGEXP, regexp),
    )  # fmt: skip


def told(before: Roster, after: Roster) -> str:
    return described(entry_changes(before, after))


def accounts(*users: str) -> str:
    return "".join(f"{user}@x.com|{H}\n" for user in users)


def test_every_file_has_words_for_its_entries() -> None:
    assert set(NOUNS) == set(Roster._fields)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        pytest.param((), (accounts("a"),), "added: account a@x.com", id="the first one"),
        pytest.param((accounts("a"),), (accounts("a", "c", "b"),),
                     "added: accounts b@x.com, c@x.com", id="two more"),
        pytest.param((accounts("a"),), (), "removed: account a@x.com", id="the last one"),
        pytest.param((accounts("a"),), ("# mailroster: comment x\n" + accounts("a"),), "",
                     id="a comment alone"),
        pytest.param((accounts("a", "b"),), (accounts("b", "a"),), "", id="another order"),
        pytest.param((accounts("a"),), (accounts("a") + "a@x.com|{S}other\n",), "",
                     id="a duplicate, which does not count"),
        pytest.param((accounts("a"),), (accounts("a") + "broken\n",), "", id="a line in error"),
        pytest.param((accounts("a"),), ("a@x.com|{S}new\n",), "changed: account a@x.com",
                     id="another password, and no word of it"),
        pytest.param(
            (accounts("a"), "a@x.com:1G\n", "i@x.com a@x.com\n"),
            (accounts("b"), "a@x.com:2G\n", "i@x.com b@x.com\n"),
            "added: account b@x.com; changed: quota of a@x.com, alias i@x.com; "
            "removed: account a@x.com",
            id="all of it",
        ),
        pytest.param((accounts("z"),), (accounts(*"zabcd"),),
                     "added: 4 accounts (a@x.com, b@x.com, c@x.com, …)", id="more than are named"),
        pytest.param(("", "", "", "/^a$/ a@x.com\n"), ("", "", "", "/^a$/ b@x.com\n"),
                     "added: rule by pattern /^a$/ b@x.com; removed: rule by pattern /^a$/ a@x.com",
                     id="a rule, which is known by all of its line"),
    ],
)  # fmt: skip
def test_a_change_in_words(before: tuple[str, ...], after: tuple[str, ...], words: str) -> None:
    assert told(roster(*before), roster(*after)) == words


def test_thousands_are_counted() -> None:
    many = accounts(*(f"u{n:04}" for n in range(5000)))
    first = "u0000@x.com, u0001@x.com, u0002@x.com, …"
    assert told(roster(accounts("a")), roster(accounts("a") + many)) == (
        f"added: 5,000 accounts ({first})"
    )
    assert told(roster(many), roster()) == f"removed: 5,000 accounts ({first})"
    other = many.replace(H, "{S}other")
    assert told(roster(many + accounts("a")), roster(other)) == (
        f"changed: 5,000 accounts ({first}); removed: account a@x.com"
    )


def test_no_key_can_write_on_a_terminal() -> None:
    assert told(roster(), roster(virtual="\x1b[31m@x.com a@x.com\n")).isprintable()
