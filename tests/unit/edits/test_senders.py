"""Who may send as whom: the verbs, and the rows that Postfix reads."""

import pytest

from mailroster.base.address import Address
from mailroster.base.findings import Refused
from mailroster.edits import accounts as edits
from mailroster.edits import senders
from mailroster.publish.tables.postfix import CATCH_ALL_SENDERS, SENDERS
from mailroster.publish.tables.table import full
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.sender_logins import SENDER_LOGINS
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router

A, B, NEW = Address("a@x.com"), Address("b@x.com"), Address("new@x.com")


def roster(grants: str = "", aliases: str = "") -> Roster:
    accounts = "".join(f"{name}@x.com|{{PLAIN}}x\n" for name in "abc")
    return Roster(
        accounts=Document(ACCOUNTS, accounts),
        virtual=Document(VIRTUAL, aliases),
        sender_logins=Document(SENDER_LOGINS, grants),
    )


@pytest.mark.parametrize(
    ("before", "account", "sender", "after"),
    [
        ("", A, "press@x.com", "press@x.com a@x.com\n"),
        ("press@x.com b@x.com", A, "press@x.com", "press@x.com b@x.com,a@x.com"),
        ("# who\n", A, "@far.test", "# who\n@far.test a@x.com\n"),
    ],
)
def test_a_grant(before: str, account: Address, sender: str, after: str) -> None:
    assert senders.grant(roster(before), account, sender).sender_logins.text == after


@pytest.mark.parametrize(
    ("before", "account", "sender", "words"),
    [
        ("press@x.com a@x.com\n", A, "press@x.com", "may send as 'press@x.com' already"),
        ("press@x.com A@X.com\n", A, "press@x.com", "may send as 'press@x.com' already"),
        ("", A, A, "may send as itself already"),
        ("", NEW, "press@x.com", "there is no account"),
    ],
)
def test_a_grant_that_is_refused_says_why(
    before: str, account: Address, sender: str, words: str
) -> None:
    with pytest.raises(Refused, match=words):
        senders.grant(roster(before), account, sender)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("press@x.com a@x.com\n", ""),
        ("press@x.com b@x.com,  A@x.com ,c@x.com\n", "press@x.com b@x.com ,c@x.com\n"),
        ("Press@X.com b@x.com\n", "Press@X.com b@x.com\n"),
        ("other@x.com a@x.com\n", "other@x.com a@x.com\n"),
        ("press@x.com.au a@x.com\n", "press@x.com.au a@x.com\n"),
    ],
)
def test_a_right_taken_away(before: str, after: str) -> None:
    assert senders.revoke(roster(before), A, "press@x.com").sender_logins.text == after


def test_a_deleted_account_takes_its_rights_and_those_on_it() -> None:
    grants = "press@x.com a@x.com,b@x.com\n@far.test a@x.com\nA@x.com c@x.com\naa@x.com b@x.com\n"
    after = edits.delete_accounts(roster(grants), [A])
    assert after.sender_logins.text == "press@x.com b@x.com\naa@x.com b@x.com\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("press@x.com a@x.com\n", "press@x.com new@x.com\n"),
        ("press@x.com b@x.com, a@x.com\n", "press@x.com b@x.com, new@x.com\n"),
        ("press@x.com a@x.com,new@x.com\n", "press@x.com new@x.com\n"),
        ("a@x.com b@x.com, c@x.com\n", "new@x.com b@x.com, c@x.com\n"),
        ("A@X.com  b@x.com , new@x.com\n", "new@x.com  b@x.com\n"),
        ("# mailroster: comment us\na@x.com new@x.com\n", ""),
        (
            "# mailroster: comment us\npress@x.com A@x.com\n",
            "# mailroster: comment us\npress@x.com new@x.com\n",
        ),
        ("a@x.com b@x.com\nnew@x.com b@x.com\n", "new@x.com b@x.com\n"),
        ("ba@x.com b@x.com\n", "ba@x.com b@x.com\n"),
        (
            "press@x.com a@x.com,@bad\npress@x.com b@x.com\npress@x.com a@x.com\n",
            "press@x.com a@x.com,@bad\npress@x.com b@x.com\npress@x.com new@x.com\n",
        ),
    ],
)
def test_the_rights_of_a_renamed_account_go_with_it(before: str, after: str) -> None:
    document = roster(before).sender_logins
    assert senders.renamed(document, A, NEW, keep=False).text == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a@x.com b@x.com\npress@x.com a@x.com\n",
         "a@x.com b@x.com\npress@x.com new@x.com\nnew@x.com b@x.com\n"),
        ("a@x.com b@x.com\nnew@x.com c@x.com\n", "a@x.com b@x.com\nnew@x.com c@x.com,b@x.com\n"),
        ("a@x.com b@x.com\nnew@x.com b@x.com\n", "a@x.com b@x.com\nnew@x.com b@x.com\n"),
        ("a@x.com b@x.com,c@x.com\n", "a@x.com b@x.com,c@x.com\nnew@x.com b@x.com,c@x.com\n"),
        ("a@x.com new@x.com\n", "a@x.com new@x.com\n"),
        ("# mailroster: comment us\nA@x.com new@x.com, b@x.com\n",
         "# mailroster: comment us\nA@x.com new@x.com, b@x.com\nnew@x.com b@x.com\n"),
        ("new@x.com c@x.com\n", "new@x.com c@x.com\n"),
    ],
    ids=["no line for the new one yet", "one for others", "one for the same", "two of them",
         "the new one itself", "the new one and another", "no line for the old one"],
)  # fmt: skip
def test_where_the_old_address_stays_others_may_send_as_it_too(before: str, after: str) -> None:
    document = roster(before).sender_logins
    assert senders.renamed(document, A, NEW, keep=True).text == after


@pytest.mark.parametrize(
    ("grants", "aliases", "rows"),
    [
        pytest.param("", "info@x.com a@x.com\n", {"info@x.com": "a@x.com"}, id="an alias"),
        pytest.param(
            "press@far.test a@x.com\n", "", {"press@far.test": "a@x.com"}, id="a grant alone"
        ),
        pytest.param(
            "info@x.com c@x.com\n", "info@x.com a@x.com, b@x.com\n",
            {"info@x.com": "a@x.com, b@x.com, c@x.com"}, id="a grant joins the alias",
        ),
        pytest.param(
            "b@x.com a@x.com\n", "", {"b@x.com": "a@x.com, b@x.com"},
            id="a mailbox keeps its own address",
        ),
        pytest.param("@x.com a@x.com\n", "", {"@x.com": "a@x.com"}, id="a whole domain"),
        pytest.param(
            "", "one@x.com two@x.com\ntwo@x.com a@x.com\n",
            {"one@x.com": "a@x.com", "two@x.com": "a@x.com"}, id="a chain",
        ),
        pytest.param("", "@x.com a@x.com\n", {}, id="a catch-all is none of them"),
    ],
)  # fmt: skip
def test_the_rows_for_senders(grants: str, aliases: str, rows: dict[str, str]) -> None:
    router = Router(roster(grants, aliases), "mail.test", lambda address: None)
    assert full(SENDERS, router) == rows


def test_a_catch_all_has_a_table_of_its_own() -> None:
    router = Router(roster("", "@x.com a@x.com, far@y.org\ni@x.com b@x.com\n"), "h", lambda _: None)
    assert full(CATCH_ALL_SENDERS, router) == {"@x.com": "a@x.com"}
