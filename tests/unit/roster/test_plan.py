"""What an edit changes in which file, and how it is shown."""

from typing import Any

from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.masters import MASTERS
from mailroster.roster.formats.quotas import QUOTAS
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.plan import FileEdit, diff, file_diff, plan, shown
from mailroster.roster.roster import Roster

BEFORE = Roster(
    accounts=Document(ACCOUNTS, "# us\na@x|{S}one\nb@x|{S}two|fail\nc@x {S}three\n\n"),
    virtual=Document(VIRTUAL, "l@x a@x\n"),
)


def test_a_plan_names_files_bytes_and_keys() -> None:
    after = BEFORE._replace(
        accounts=Document(ACCOUNTS, "# us\nb@x|{S}two|fail\n"),
        quotas=Document(QUOTAS, "b@x:1G\n"),
    )
    found = plan(BEFORE, after)
    assert [(e.field, e.file) for e in found.edits] == [
        ("accounts", "postfix-accounts.cf"),
        ("quotas", "dovecot-quotas.cf"),
    ]
    assert (bytes(found.edits[0].before), bytes(found.edits[0].after)) == (
        bytes(BEFORE.accounts),
        b"# us\nb@x|{S}two|fail\n",
    )
    assert set(found.keys) == {"accounts", "quotas"}
    assert "a@x" in found.keys["accounts"]
    assert found.keys["quotas"] == {"b@x"}


def test_an_edit_that_changes_nothing_is_no_plan() -> None:
    assert plan(BEFORE, BEFORE) == ((), {})
    assert diff(plan(BEFORE, BEFORE)) == ""


def test_a_new_password_shows_as_a_change_without_its_hash() -> None:
    accounts = BEFORE.accounts.replace(2, "b@x|{NEW}new|fail")
    shown = diff(plan(BEFORE, BEFORE._replace(accounts=accounts)))
    assert shown == (
        "--- a/postfix-accounts.cf\n+++ b/postfix-accounts.cf\n@@ -1,5 +1,5 @@\n # us\n"
        " a@x|{S}…\n-b@x|{S}…|fail\n+b@x|{NEW}…|fail\n c@x…\n \n"
    )


def test_the_same_scheme_shows_as_a_change_too() -> None:
    masters = Roster(masters=Document(MASTERS, "m|$6$one\n"))
    after = Roster(masters=Document(MASTERS, "m|$6$two\n"))
    assert diff(plan(masters, after)).endswith("-m|…\n+m|…\n")


def test_a_file_without_secrets_shows_its_bars() -> None:
    after = BEFORE._replace(virtual=Document(VIRTUAL, "l@x a@x,a|b@x\n"))
    assert diff(plan(BEFORE, after)).endswith("-l@x a@x\n+l@x a@x,a|b@x\n")


def test_no_byte_reaches_a_terminal_that_could_mean_something_to_it() -> None:
    after = BEFORE._replace(virtual=Document(VIRTUAL, "l@x a@x\r\n\x1b[2J\udcff\x9b\n"))
    shown = diff(plan(BEFORE, after))
    assert "+l@x a@x\\r\n+\\x1b[2J\\xff\\x9b\n" in shown


def test_a_tab_is_shown_as_it_is() -> None:
    after = BEFORE._replace(virtual=Document(VIRTUAL, "l@x\ta@x,\tb@x\n"))
    assert diff(plan(BEFORE, after)).endswith("-l@x a@x\n+l@x\ta@x,\tb@x\n")
    assert shown("\ta\t\tb\x07\t") == "\ta\t\tb\\x07\t"


def test_a_file_that_stays_the_same_has_no_diff() -> None:
    file: Document[Any] = BEFORE.virtual
    assert file_diff(FileEdit("virtual", file.format.file, file, file)) == ""
