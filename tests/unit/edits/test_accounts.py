"""The verbs: what they make of a roster, and what they refuse."""

from collections.abc import Callable

import pytest

from mailroster.base.address import Address
from mailroster.base.findings import ParseError, Refused
from mailroster.edits import accounts as edits
from mailroster.edits import aliases
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.access import SEND_ACCESS
from mailroster.roster.formats.accounts import ACCOUNTS, Account
from mailroster.roster.formats.masters import MASTERS
from mailroster.roster.formats.quotas import QUOTAS, Quota
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster

ORIGIN = "mail.example.test"
HASH = "{PLAIN}x"


def roster(accounts: str = "", quotas: str = "", virtual: str = "", access: str = "") -> Roster:
    """`accounts` are addresses; the other files stand as they are."""
    lines = "".join(f"{address}|{HASH}\n" for address in accounts.split())
    return Roster(
        accounts=Document(ACCOUNTS, lines),
        quotas=Document(QUOTAS, quotas),
        virtual=Document(VIRTUAL, virtual),
        send_access=Document(SEND_ACCESS, access),
    )


def refused(verb: Callable[[], Roster], words: str) -> None:
    with pytest.raises((Refused, ParseError), match=words):
        verb()


def test_an_account_is_refused_that_exists_or_is_an_alias() -> None:
    before = roster("Bob@X.com", virtual="Info@x.com bob@x.com\n")
    refused(lambda: edits.add_account(before, Account(Address("bob@x.com"), HASH)), "exists")
    refused(lambda: edits.add_account(before, Account(Address("info@x.com"), HASH)), "alias")
    assert "bo@x.com" in edits.add_account(before, Account(Address("bo@x.com"), HASH)).accounts


NEIGHBOURS = "bob@x.co bob@x.com bob@x.com.au first.last@x.com firstxlast@x.com a-bob@x.com"


@pytest.mark.parametrize("login", NEIGHBOURS.split())
def test_no_account_is_taken_for_its_neighbour(login: str) -> None:
    address = Address(login)
    before = roster(
        NEIGHBOURS,
        "".join(f"{name}:1G\n" for name in NEIGHBOURS.split()),
        "".join(f"alias-of-{name} {name}\n" for name in NEIGHBOURS.split())
        + f"all@x.com {', '.join(NEIGHBOURS.split())}\n",
        "".join(f"{name} REJECT\n" for name in NEIGHBOURS.split()),
    )
    rest = [name for name in NEIGHBOURS.split() if name != login]
    after = edits.delete_accounts(before, [address])
    assert list(after.accounts.index) == rest
    assert list(after.quotas.index) == rest
    assert list(after.virtual.index) == [*(f"alias-of-{name}" for name in rest), "all@x.com"]
    everybody = after.virtual.get("all@x.com")
    assert everybody is not None
    assert list(everybody.recipients) == rest
    changed = edits.set_password(edits.set_quota(before, Quota(address, "2G")), address, "{S}n")
    for name in rest:
        assert changed.accounts.get(name) == before.accounts.get(name)
        assert changed.quotas.get(name) == before.quotas.get(name)
    assert changed.quotas.get(login) == (login, "2G")
    assert list(edits.delete_quota(before, address).quotas.index) == rest
    assert list(edits.allow(before, "send_access", login).send_access.index) == rest


@pytest.mark.parametrize("login", ["nobody@x.com", "ob@x.com", "bob@x.comm"])
def test_an_account_that_is_not_there_is_refused(login: str) -> None:
    before, address = roster(NEIGHBOURS), Address(login)
    for verb in (
        lambda: edits.delete_accounts(before, [Address("bob@x.com"), address]),
        lambda: edits.set_password(before, address, HASH),
        lambda: edits.set_quota(before, Quota(address, "1G")),
        lambda: edits.delete_quota(before, address),
    ):
        refused(verb, "there is no account")


def test_a_deleted_account_takes_every_line_of_its_own_with_it() -> None:
    before = Roster(
        accounts=Document(ACCOUNTS, f"Bob@X.com|{HASH}\nbob@x.com|bad\nbob@x.com|{HASH}|fail=1\n"),
        quotas=Document(QUOTAS, "bob@x.com:bad\nBOB@x.com:1G\n"),
        virtual=Document(VIRTUAL, "a@x Bob@x.com\nb@x bob@X.com, c@x\nBob@x.com d@x\n"),
    )
    after = edits.delete_accounts(before, [Address("bob@x.com")])
    assert after.accounts.text == ""
    assert after.quotas.text == ""
    assert after.virtual.text == "b@x c@x\nBob@x.com d@x\n"


def test_a_deleted_account_goes_out_of_lines_too_that_do_not_count() -> None:
    before = roster("bob@x.com", virtual="l@x a@x\nl@x bob@x.com,c@x\nm@x\nm@x bob@x.com\n")
    after = edits.delete_accounts(before, [Address("bob@x.com")])
    assert after.virtual.text == "l@x a@x\nl@x c@x\nm@x\n"


def test_a_deleted_account_goes_out_of_aliases_in_every_spelling_of_its_domain() -> None:
    before = roster("a@bücher.de", virtual="l@x a@Bücher.de\nm@x a@xn--bcher-kva.de, z@x\n")
    after = edits.delete_accounts(before, [Address("a@xn--bcher-kva.de")])
    assert after.virtual.text == "m@x z@x\n"


def test_an_alias_grows_and_shrinks() -> None:
    grown = aliases.add_alias(
        roster(virtual="Info@X.com a@x\n"), "info@x.com", ["b@x", "c@x"], ORIGIN
    )
    assert grown.virtual.text == "Info@X.com a@x,b@x,c@x\n"
    shrunk = aliases.delete_alias(grown, "info@x.com", ["B@x", "nobody@x"])
    assert shrunk.virtual.text == "Info@X.com a@x,c@x\n"
    assert aliases.delete_alias(shrunk, "info@x.com", ["a@x", "c@x"]).virtual.text == ""
    assert aliases.delete_alias(shrunk, "nobody@x.com", ["a@x"]).virtual.text == shrunk.virtual.text


def chain(count: int) -> str:
    """A chain: n0@x -> n1@x -> …"""
    return "".join(f"n{n}@x n{n + 1}@x\n" for n in range(count))


@pytest.mark.parametrize(
    ("virtual", "key", "recipients", "words"),
    [
        pytest.param("a@x b@x\n", "a@x", ["B@x"], "already", id="the same again"),
        pytest.param("", "a@x", ["b@x", "b@x"], "already", id="twice at once"),
        pytest.param("a@x b@x\n", "b@x", ["a@x"], "loop", id="a cycle of two"),
        pytest.param("a@x b@x\nb@x c@x\n", "c@x", ["z@x", "a@x"], "1000", id="a growing cycle"),
        pytest.param("a@x b@x\nb@x c@x\n", "c@x", ["a@x"], "loop", id="a cycle of three"),
        pytest.param(chain(1200), "start@x", ["n0@x"], "chain", id="before a long chain"),
        pytest.param(chain(999), "n999@x", [f"n{n}@x" for n in range(1000, 1002)], "chain",
                     id="the last link of a chain"),
        pytest.param("", "a@x", [f"u{n}@x" for n in range(1001)], "1000 recipients", id="1001"),
        pytest.param("", "@x.com", ["a@x.com"], "", id="a catch-all to its own domain: fine"),
        pytest.param("a@x @b.com\n", "a@x", ["b@x"], "@domain", id="beside @domain"),
        pytest.param("", "a@x", ["b@x", "@b.com"], "@domain", id="@domain beside others"),
    ],
)  # fmt: skip
def test_what_postfix_could_not_follow_is_refused(
    virtual: str, key: str, recipients: list[str], words: str
) -> None:
    before = roster("a@x.com", virtual=virtual)
    if not words:
        assert aliases.add_alias(before, key, recipients, ORIGIN).virtual.get(key) is not None
        return
    refused(lambda: aliases.add_alias(before, key, recipients, ORIGIN), words)


@pytest.mark.parametrize(
    ("virtual", "key", "recipients"),
    [
        pytest.param("", "a@x", ["a@x"], id="an alias to itself"),
        pytest.param("", "a@x", ["a@x", "b@x"], id="a mailbox that keeps a copy"),
        pytest.param("", "a@x", [f"u{n}@x" for n in range(1000)], id="1000 recipients"),
        pytest.param(chain(900), "start@x", ["n0@x"], id="a chain of 900"),
        pytest.param("p@x q@x\nq@x p@x\n", "a@x", ["b@x"], id="an old loop elsewhere"),
        pytest.param("x@x.com a@x\n", "@x.com", ["box@x.com"], id="an alias of any name"),
    ],
)
def test_what_postfix_can_follow_is_taken(virtual: str, key: str, recipients: list[str]) -> None:
    after = aliases.add_alias(
        roster("box@x.com", virtual=virtual), key, recipients, ORIGIN
    ).virtual.get(key)
    assert after is not None
    assert set(after.recipients) == set(recipients)


def test_a_loop_of_a_catch_all_is_seen_though_an_account_has_any_name() -> None:
    before = roster("x@x.com any@x.com", virtual="loop@y.com @x.com\n")
    refused(lambda: aliases.add_alias(before, "@x.com", ["loop@y.com"], ORIGIN), "loop")


def test_restrictions_and_masters() -> None:
    before = roster(access="Bob@x.com OK\n")
    refused(lambda: edits.restrict(before, "send_access", "bob@x.com"), "already")
    after = edits.restrict(before, "receive_access", "bob@x.com")
    assert after.receive_access.text == "bob@x.com REJECT\n"
    assert edits.allow(before, "send_access", "bob@x.com.au").send_access == before.send_access
    assert edits.allow(before, "send_access", "bob@x.com").send_access.text == ""
    masters = Roster(masters=Document(MASTERS, "Admin | {S}o\r\n"))
    assert edits.set_master_password(masters, "admin", "{S}n").masters.text == "admin|{S}n\r\n"
    refused(lambda: edits.add_master(masters, "admin", HASH), "exists")
    refused(lambda: edits.set_master_password(masters, "other", HASH), "no master")
    refused(lambda: edits.delete_masters(masters, ["admin", "other"]), "no master")
    assert edits.delete_masters(masters, ["admin"]).masters.text == ""


@pytest.mark.parametrize(
    ("before", "targets", "after"),
    [
        ("", ["far@y.org"], "bob@x.com far@y.org\n"),
        ("", ["bob@x.com", "far@y.org"], "bob@x.com bob@x.com,far@y.org\n"),
        ("", ["far@y.org", "far@y.org"], "bob@x.com far@y.org\n"),
        ("Bob@x.com Old@y.org, far@y.org\n", ["Far@y.org"], "Bob@x.com far@y.org\n"),
        ("bob@x.com a@y.org,b@y.org\n", ["c@y.org"], "bob@x.com c@y.org\n"),
        ("i@x.com bob@x.com\n", ["far@y.org"], "i@x.com bob@x.com\nbob@x.com far@y.org\n"),
    ],
    ids=["to another", "with a copy kept", "one that is named twice", "what is there stays",
         "others go", "an alias that leads there stays"],
)  # fmt: skip
def test_a_forward_has_its_targets_and_no_others(
    before: str, targets: list[str], after: str
) -> None:
    found = aliases.forward(
        roster("bob@x.com", virtual=before), Address("bob@x.com"), targets, ORIGIN
    )
    assert found.virtual.text == after


def test_a_forward_is_refused_that_nobody_could_follow() -> None:
    bob = Address("bob@x.com")
    circle = "i@x.com bob@x.com\n"
    refused(lambda: aliases.forward(roster(), bob, ["far@y.org"], ORIGIN), "no account 'bob@x.com'")
    own = roster("bob@x.com", virtual=circle)
    refused(lambda: aliases.forward(own, bob, ["BOB@x.com"], ORIGIN), "without a forward")
    refused(lambda: aliases.forward(own, bob, ["i@x.com"], ORIGIN), "loop")
    # An alias that leads there could be followed before, and has one step too many then.
    chain = "".join(f"l{n}@x.com l{n + 1}@x.com\n" for n in range(998)) + "l998@x.com bob@x.com\n"
    long = roster("bob@x.com", virtual=chain)
    refused(lambda: aliases.forward(long, bob, ["far@y.org"], ORIGIN), "'l0@x.com' leads to")


def test_an_alias_that_was_broken_already_does_not_hinder_a_forward() -> None:
    broken = "l@x.com m@x.com\nm@x.com l@x.com, bob@x.com\n"
    before = roster("bob@x.com", virtual=broken)
    after = aliases.forward(before, Address("bob@x.com"), ["far@y.org"], ORIGIN)
    assert after.virtual.text == f"{broken}bob@x.com far@y.org\n"


def test_a_forward_ends_and_what_is_none_stays_so() -> None:
    bob = Address("bob@x.com")
    before = roster(
        "bob@x.com", virtual="i@x.com bob@x.com\n# mailroster: comment x\nbob@x.com f@y.org\n"
    )
    after = aliases.stop_forward(before, bob)
    assert after.virtual.text == "i@x.com bob@x.com\n"
    assert aliases.stop_forward(after, bob).virtual.text == after.virtual.text
    refused(lambda: aliases.stop_forward(roster(), bob), "no account 'bob@x.com'")


def test_an_account_that_is_known_leaves_the_roster_as_it_is() -> None:
    before = roster("bob@x.com")
    assert edits.require_account(before, Address("bob@x.com")) is before


def test_a_master_is_added_once() -> None:
    after = edits.add_master(Roster(), "info", HASH)
    assert after.masters.text == f"info|{HASH}\n"
    refused(lambda: edits.add_master(after, "info", HASH), "'info' exists already")
