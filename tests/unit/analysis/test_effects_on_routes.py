"""Routes of addresses and of what patterns make of them, and whose a change may alter."""

import pytest

from mailroster.analysis.effects.effect import Effect
from mailroster.analysis.effects.routes import Route, Routes, affected_keys, rerouted
from mailroster.routing.change import change
from tests.support.foreseen import between, roster, router

H = "{SHA512-CRYPT}$6$abc$def"
ACCOUNTS = f"bob@a.test|{H}\njane@a.test|{H}\nqa@a.test|{H}\nx@b.test|{H}\n"


@pytest.mark.parametrize(
    ("result", "ends", "elsewhere"),
    [
        ("bob@a.test", ["bob@a.test"], []),
        ("bob@a.test,jane@a.test", ["bob@a.test", "jane@a.test"], []),
        (
            "bob@a.test, far@y.org qa@a.test",
            ["bob@a.test", "far@y.org", "qa@a.test"],
            ["far@y.org"],
        ),
        ("$1@a.test,bob@a.test", ["$1@a.test", "bob@a.test"], []),
        ("none@a.test", [], []),
    ],
)
def test_the_route_of_what_a_pattern_makes(
    result: str, ends: list[str], elsewhere: list[str]
) -> None:
    routes = Routes(router(roster(accounts=ACCOUNTS)))
    assert routes.of_result(result) == Route(tuple(ends), frozenset(elsewhere))


def effects(before: dict[str, str], after: dict[str, str]) -> dict[str, Effect]:
    """By their subject, those of two rosters with the accounts above if they have no others."""
    some, more = (roster(**{"accounts": ACCOUNTS, **texts}) for texts in (before, after))
    return {effect.subject: effect for effect in between(some, more)}


def test_a_pattern_with_two_recipients_leads_to_both() -> None:
    found = effects({}, {"regexp": r"/^two@a\.test$/ bob@a.test,jane@a.test" + "\n"})
    (effect,) = found.values()
    assert (effect.kind, effect.after) == ("pattern-added", ("bob@a.test", "jane@a.test"))


@pytest.mark.parametrize("to", ["bob@a.test", "jane@a.test,bob@a.test", "@c.test"])
def test_an_account_that_goes_takes_the_mail_along_that_a_pattern_sends_there(to: str) -> None:
    regexp = {"regexp": rf"/^qa@a\.test$/ {to}" + "\n", "virtual": "@c.test bob@a.test\n"}
    found = effects(regexp, {**regexp, "accounts": ACCOUNTS.partition("\n")[2]})
    assert "bob@a.test" in found["qa@a.test"].before
    assert "bob@a.test" not in found["qa@a.test"].after


@pytest.mark.parametrize(
    ("virtual", "pattern", "subject"),
    [
        ("@a.test @b.test\n", r"/^.+@b\.test$/ jane@a.test", "@a.test"),
        ("list@a.test qa+x@a.test\n", r"/^qa\+x@/ bob@a.test", "list@a.test"),
        ("list@a.test qa+y@a.test\nqa@a.test x@b.test\n", r"/^x\+y@/ bob@a.test", "list@a.test"),
        ("list+x@a.test qa@a.test\n", r"/^qa@a\.test$/ bob@a.test", "list+x@a.test"),
        ("@c.test qa@a.test\n", r"/^qa@/ bob@a.test", "@c.test"),
        ("one@a.test two@a.test\ntwo@a.test qa@a.test\n", r"/^qa@/ bob@a.test", "one@a.test"),
        ("two@a.test qa@a.test\n", r"/^qa@/ bob@a.test,x@b.test", "two@a.test"),
    ],
    ids=["a domain that leads to another", "a recipient with an extension", "one that goes along",
         "a key with one", "a catch-all", "a chain", "two recipients"],
)  # fmt: skip
def test_a_new_pattern_reroutes_what_leads_to_the_addresses_it_takes(
    virtual: str, pattern: str, subject: str
) -> None:
    found = effects({"virtual": virtual}, {"virtual": virtual, "regexp": f"{pattern}\n"})
    assert subject in found


def test_a_domain_that_is_new_concerns_the_patterns_that_lead_into_it() -> None:
    texts = {"regexp": r"/^qa@a\.test$/ z@new.test" + "\n"}
    found = effects(texts, {**texts, "accounts": f"{ACCOUNTS}y@new.test|{H}\n"})
    assert (found["qa@a.test"].before, found["qa@a.test"].after) == (("z@new.test",), ())


def test_all_that_is_left_out_is_told_as_one_effect() -> None:
    one = router(roster(accounts=ACCOUNTS))
    before, after = Routes(one), Routes(one)
    before.not_followed |= {"bob@a.test", "jane@a.test"}
    after.not_followed |= {"bob@a.test", "qa@a.test"}
    few = affected_keys(change(one, one), lambda _, some: None)._replace(left_out=4)
    assert list(rerouted(few, before, after)) == [Effect("not-examined", "", ("7",), ("7",))]


def test_what_is_not_examined_is_counted() -> None:
    before = router(roster(accounts=ACCOUNTS))
    after = router(roster(accounts=ACCOUNTS, regexp="/^qa@/ bob@a.test\n"))
    asked: list[set[str]] = []
    found = affected_keys(change(before, after), lambda _, some: asked.append(set(some)), most=2)
    assert found.left_out == 2
    assert asked == [{"bob@a.test", "jane@a.test"}] * 2
    handed = "@c.test @a.test\n@d.test @a.test\n"
    before = router(roster(accounts=ACCOUNTS, virtual=handed))
    removed = ACCOUNTS.replace("bob@", "bo@").replace("jane@", "ja@")
    after = router(roster(accounts=removed, virtual=handed))
    found = affected_keys(change(before, after), lambda _, some: None, most=3)
    users = {"bob", "jane", "bo", "ja"}
    every = {f"{user}@{domain}" for user in users for domain in ("a.test", "c.test", "d.test")}
    assert found.left_out == 8 - 3
    assert len(every & set(found.keys)) == 4 + 3
