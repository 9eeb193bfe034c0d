"""What differs between two rosters, and which aliases and patterns may lead to it."""

import pytest

from mailroster.roster.documents.compare import changed_keys, changed_lines
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import LargeDocument
from mailroster.roster.documents.splices import Splice
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.regexp import REGEXP
from mailroster.routing.change import change, dependents, may_be, results_of, sources_of
from mailroster.routing.router import Router
from tests.support.foreseen import roster
from tests.support.large_documents import PlainBase, indexed

ORIGIN = "mail.test"


def router(postmaster: str = "", **texts: str) -> Router:
    return Router(roster(**texts), ORIGIN, lambda _: None, postmaster=postmaster)


@pytest.mark.parametrize(
    ("result", "results"),
    [
        ("A@x.com", ["a@x.com"]),
        ("a@x.com,B@x.com c@x.com", ["a@x.com", "b@x.com", "c@x.com"]),
        ("info", [f"info@{ORIGIN}"]),
        ("@y.org", ["@y.org"]),
        ("$1", ["$1@$"]),
        ("$1@x.com", ["$1@x.com"]),
        ("a@$2,${1}x", ["a@$2", "${1}x@$"]),
    ],
)
def test_the_results_of_a_pattern(result: str, results: list[str]) -> None:
    rule = REGEXP.parse(f"/^x/ {result}")
    assert list(results_of(router(), rule)) == results


@pytest.mark.parametrize(
    ("capture", "user", "domain", "may"),
    [
        ("a@x.com", "a", "x.com", True),
        ("a+t@x.com", "a", "x.com", True),
        ("b@x.com", "a", "x.com", False),
        ("a@y.org", "a", "x.com", False),
        ("@x.com", "a", "x.com", True),
        ("@y.org", "a", "x.com", False),
        ("a@x.com", "", "x.com", True),
        ("a@x.com", "", "y.org", False),
        ("$1@x.com", "a", "x.com", True),
        ("$1@x.com", "a", "y.org", False),
        ("$1@$", "a", "x.com", True),
        ("b@$1", "a", "x.com", True),
    ],
)
def test_whether_a_result_may_be_an_address(
    capture: str, user: str, domain: str, may: bool
) -> None:
    assert may_be(capture, user, domain) == may


@pytest.mark.parametrize(
    ("regexp", "captured"),
    [
        ("/^p@/ a@x.com", True),
        ("/^p@/ c@y.org,a@x.com", True),
        ("/^p@/ @x.com", True),
        ("/^p@/ list@y.org", True),
        ("/^p@/ c@y.org,b@x.com", False),
        ("/^p@/ @y.net", False),
        ("/^p@(.*)/ b@$1", True),
        ("/^(.*)@p/ $1@x.com", True),
    ],
)
def test_a_pattern_may_lead_to_an_address_by_any_of_its_results(
    regexp: str, captured: bool
) -> None:
    asked = router(virtual="list@y.org a@x.com\nother@y.org b@x.com\n", regexp=f"{regexp}\n")
    assert sources_of(asked, ["a@x.com"]) == ({"list@y.org"}, captured)
    every = {"list@y.org", "other@y.org"}
    assert dependents(asked, ["a@x.com"]) == (every if captured else {"list@y.org"})
    assert sources_of(asked, ["@z.net"]).captured == regexp.endswith("b@$1")


VIRTUAL = "post@y.org postmaster\nabuse@y.org b@x.com\nhi@y.org post@y.org\nout@y.org c@x.com\n"


@pytest.mark.parametrize(
    ("postmaster", "virtual", "keys", "found"),
    [
        ("", "", ["a@x.com"], set()),
        ("A@x.com", "", ["a@x.com"], {"post@y.org", "hi@y.org", "abuse@y.org"}),
        ("a+p@x.com", "", ["a@x.com"], {"post@y.org", "hi@y.org", "abuse@y.org"}),
        ("a@x.com", "", ["b@x.com"], {"abuse@y.org"}),
        ("a@x.com", "", ["@x.com"],
         {"post@y.org", "hi@y.org", "abuse@y.org", "out@y.org"}),
        ("admin@x.com", "admin@x.com a@x.com\n", ["a@x.com"],
         {"admin@x.com", "post@y.org", "hi@y.org", "abuse@y.org"}),
        ("admin", "admin a@x.com\n", ["a@x.com"],
         {"admin", "post@y.org", "hi@y.org", "abuse@y.org"}),
    ],
    ids=["no postmaster", "the postmaster", "an extension of it", "another", "its whole domain",
         "through an alias", "through a bare name"],
)  # fmt: skip
def test_what_leads_to_a_role_depends_on_the_postmaster(
    postmaster: str, virtual: str, keys: list[str], found: set[str]
) -> None:
    asked = router(postmaster, virtual=VIRTUAL + virtual)
    assert found <= dependents(asked, keys)
    assert ("out@y.org" in dependents(asked, keys)) == ("out@y.org" in found)
    assert ("post@y.org" in dependents(asked, keys)) == ("post@y.org" in found)


ACCOUNT = "a@x.com|{PLAIN}x\n"


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [
        ({}, {"accounts": ACCOUNT}, True),
        ({"accounts": ACCOUNT}, {"accounts": ACCOUNT.replace("}x", "}y")}, False),
        ({"accounts": ACCOUNT}, {"accounts": ACCOUNT, "virtual": "a@x.com b@x.com\n"}, True),
        ({"accounts": ACCOUNT}, {"accounts": ACCOUNT, "virtual": "d@x.com b@x.com\n"}, False),
        ({"accounts": ACCOUNT}, {"accounts": ACCOUNT, "quotas": "a@x.com:1G\n"}, False),
    ],
    ids=["an account comes", "its password changes", "it is forwarded", "another alias", "a quota"],
)
def test_a_change_concerns_what_leads_to_a_role_if_the_postmaster_moves(
    before: dict[str, str], after: dict[str, str], moves: bool
) -> None:
    one, other = (
        router("a@x.com", **{**some, "virtual": VIRTUAL + some.get("virtual", "")})
        for some in (before, after)
    )
    for found in (change(one, other), change(other, one)):
        assert ({"post@y.org", "hi@y.org"} <= found.dependents) == moves
        assert "out@y.org" not in found.dependents


def test_a_new_domain_concerns_what_leads_to_its_roles() -> None:
    one = router("a@x.com", virtual="hi@y.org abuse@new.test\n")
    for key in ("b@new.test", "@new.test"):
        other = router("a@x.com", virtual=f"hi@y.org abuse@new.test\n{key} c@x.com\n")
        assert change(one, other).dependents == {"hi@y.org", key}
        assert change(other, one).dependents == {"hi@y.org", key}


def test_keys_that_are_asked_for_besides_are_in_the_change() -> None:
    one = router(accounts=ACCOUNT)
    also = {"quotas": frozenset({"a@x.com"}), "accounts": frozenset({"b@x.com"})}
    found = change(one, router(accounts=""), also)
    assert found.keys["quotas"] == {"a@x.com"}
    assert found.keys["accounts"] == {"a@x.com", "b@x.com"}
    assert found.keys["virtual"] == frozenset()


def test_another_origin_concerns_every_alias() -> None:
    one = router(virtual=VIRTUAL)
    found = change(one, one._replace(origin="other.test"))
    assert found.captures
    assert found.dependents == {"post@y.org", "abuse@y.org", "hi@y.org", "out@y.org"}


@pytest.mark.parametrize(
    ("old", "new", "removed", "added"),
    [
        ("x\nx\n", "x\n", ["x"], []),
        ("x\n", "x\nx\n", [], [(1, "x")]),
        ("x\nx\nx\n", "x\n", ["x", "x"], []),
        ("x\n", "x\nx\nx\n", [], [(1, "x"), (2, "x")]),
        ("a\nb\nc\n", "a\nd\ne\nc\n", ["b"], [(1, "d"), (2, "e")]),
        ("a\n", "a\n", [], []),
    ],
)
def test_the_lines_between_the_common_beginning_and_the_common_end(
    old: str, new: str, removed: list[str], added: list[tuple[int, str]]
) -> None:
    found = changed_lines(Document(ACCOUNTS, old), Document(ACCOUNTS, new))
    assert found == (removed, added)


def test_documents_that_both_have_splices_or_other_bases_are_compared_as_wholes() -> None:
    base = PlainBase(ACCOUNTS, b"a@x|1\nb@x|2\n")
    one = LargeDocument(ACCOUNTS, base, [Splice(0, 6, "c@x|1\n")])
    other = LargeDocument(ACCOUNTS, base, [Splice(0, 6, "d@x|1\n")])
    assert changed_keys(one, other) == {"c@x", "d@x"}
    assert changed_keys(one, indexed(ACCOUNTS, b"a@x|1\nb@x|2\n")) == {"a@x", "c@x"}
    some, more = indexed(ACCOUNTS, b"a@x|1\n"), indexed(ACCOUNTS, b"b@x|1\n")
    assert changed_keys(some, more) == {"a@x", "b@x"}
