"""SPF records: which terms are valid, what they match, and how lookups are counted (RFC 7208)."""

import pytest

from mailroster.analysis.dns import spf
from mailroster.base.dns import ANSWERED, FAILED, NO_NAME, Answer

DOMAIN, ADDRESS, ADDRESS_6 = "x.com", "203.0.113.25", "2001:db8::25"
#: The records of other names.
ZONE: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {
    ("a.x", "A"): ((ADDRESS,),),
    ("a.x", "AAAA"): ((ADDRESS_6,),),
    ("near.x", "A"): (("203.0.113.99",),),
    ("near.x", "AAAA"): (("2001:db8::99",),),
    ("mx.x", "MX"): (("10", "far.x"), ("20", "a.x")),
    ("null.x", "MX"): (("0", "."),),
    ("many.x", "MX"): tuple(("10", f"{number}.many.x") for number in range(11)),
    ("ten.x", "MX"): tuple(("10", f"{number}.many.x") for number in range(10)),
    ("far.x", "A"): (("192.0.2.1",),),
    ("25.113.0.203.in-addr.arpa", "PTR"): (("liar.p.x",), ("mail.p.x",)),
    ("mail.p.x", "A"): ((ADDRESS,),),
    ("liar.p.x", "A"): (("192.0.2.1",),),
    ("203.0.113.25.e.x", "A"): (("127.0.0.2",),),
    ("25.113.0.203.in-addr.e.x", "A"): (("127.0.0.2",),),
    ("com.e.x", "A"): (("127.0.0.2",),),
    ("postmaster.x.com.e.x", "A"): (("127.0.0.2",),),
    ("pass.x", "TXT"): (("v=spf1 +all",),),
    ("fail.x", "TXT"): (("v=spf1 -all",),),
    ("soft.x", "TXT"): (("other",), ("v=spf1 ~all",)),
    ("two.x", "TXT"): (("v=spf1 -all",), ("V=SPF1 +all",)),
    ("loop.x", "TXT"): (("v=spf1 include:loop.x",),),
}


def evaluated(terms: str, address: str | None = ADDRESS) -> spf.Evaluation:
    def ask(name: str, kind: str) -> Answer:
        if (name, kind) == (DOMAIN, "TXT"):
            return Answer(ANSWERED, ((f"v=spf1 {terms}",),))
        if name.endswith("down.x"):
            return Answer(FAILED, reason="SERVFAIL")
        records = ZONE.get((name, kind), ())
        return Answer(ANSWERED if records else NO_NAME, records)

    return spf.evaluate(DOMAIN, address, ask)


@pytest.mark.parametrize(
    ("terms", "result"),
    [
        ("", spf.NEUTRAL), ("all", spf.PASS), ("ALL", spf.PASS), ("-all", spf.FAIL),
        ("~all", spf.SOFTFAIL), ("?all", spf.NEUTRAL), ("  -all ", spf.FAIL),
        ("ip4:203.0.113.25", spf.PASS), ("ip4:203.0.113.0/24 -all", spf.PASS),
        ("ip4:203.0.112.0/24 -all", spf.FAIL), ("-ip4:203.0.113.25 all", spf.FAIL),
        ("ip4:0.0.0.0/0", spf.PASS), ("ip6:2001:db8::/32 -all", spf.FAIL),
        ("a:a.x -all", spf.PASS), ("A:A.X. -all", spf.PASS), ("a:near.x -all", spf.FAIL),
        ("a:near.x/24 -all", spf.PASS), ("a:near.x//64 -all", spf.FAIL), ("mx:mx.x -all", spf.PASS),
        ("mx:null.x -all", spf.FAIL), ("ptr:p.x -all", spf.PASS), ("ptr:mail.p.x -all", spf.PASS),
        ("ptr:liar.p.x -all", spf.FAIL), ("ptr:other.x -all", spf.FAIL),
        ("ptr:l.p.x -all", spf.FAIL), ("exists:%{i}.e.x -all", spf.PASS),
        ("exists:%{ir}.%{v}.e.x -all", spf.PASS), ("exists:%{d1}.e.x -all", spf.PASS),
        ("exists:%{s}.e.x -all", spf.FAIL), ("exists:%{l}.%{o}.e.x -all", spf.PASS),
        ("exists:%{d1r}.e.x -all", spf.FAIL), ("exists:%{h1}.e.x -all", spf.PASS),
        ("exists:%{p}%{c}.e.x -all", spf.FAIL), ("exists:%{d0}.e.x -all", spf.FAIL),
        ("include:pass.x -all", spf.PASS), ("include:fail.x ~all", spf.SOFTFAIL),
        ("include:soft.x -all", spf.FAIL), ("?include:pass.x", spf.NEUTRAL),
        ("redirect=fail.x", spf.FAIL), ("redirect=soft.x", spf.SOFTFAIL),
        ("redirect=fail.x ?all", spf.NEUTRAL), ("redirect=fail.x all", spf.PASS),
        ("exp=x.y unknown=1 -all", spf.FAIL),
    ],
)  # fmt: skip
def test_the_result_of_terms(terms: str, result: str) -> None:
    assert evaluated(terms)[0::2] == (result, ""), evaluated(terms)


@pytest.mark.parametrize(
    ("terms", "result"),
    [
        ("ip6:2001:db8::/32 -all", spf.PASS), ("ip4:203.0.113.0/24 -all", spf.FAIL),
        ("a:a.x -all", spf.PASS), ("a:near.x -all", spf.FAIL), ("a:near.x//64 -all", spf.PASS),
        ("a:near.x/24 -all", spf.FAIL), ("a:near.x/24//32 -all", spf.PASS),
    ],
)  # fmt: skip
def test_the_result_for_ipv6(terms: str, result: str) -> None:
    assert evaluated(terms, ADDRESS_6).result == result


@pytest.mark.parametrize(
    "term",
    [
        "ip4:", "ip4", "ip4:203.0.113.25/33", "ip4:203.0.113.0/255.255.255.0",
        "ip4:203.0.113.0/0.0.0.255", "ip4:203.0.113.25/024", "ip4:203.0.113.25/", "ip4:2001:db8::1",
        "ip4:x.com", "ip4/24", "ip6:203.0.113.1", "ip6:fe80::1%eth0", "ip6:2001:db8::/129", "ip6:",
        "a:", "mx:", "a/33", "a//129", "a/24/24", "a/٢٤", "mx/024", "ptr:", "include", "include:",
        "exists", "exists:", "all:x", "all/24", "alle", "+", "x", "x y", "include:%{z}.x",
        "exists:%{d٢}.x", "exists:%.x", "redirect=", "redirect=a.x redirect=b.x", "ä",
        "include:none.x", "redirect=none.x",
    ],
)  # fmt: skip
def test_a_wrong_term_makes_the_record_invalid(term: str) -> None:
    found = evaluated(f"{term} all")
    if term.startswith("redirect=none"):  # not evaluated, since there is an all
        assert found.result == spf.PASS
        found = evaluated(term)
    assert (found.result, found.error) == ("", spf.SYNTAX), found
    assert found.message


def test_a_wrong_term_behind_the_one_that_matches_counts_too() -> None:
    assert evaluated("all ip4:203.0.113.0/255.255.255.0").error == spf.SYNTAX


@pytest.mark.parametrize(
    ("terms", "lookups", "error"),
    [
        ("a:a.x", 1, ""), ("a:near.x " * 10, 10, ""), ("a:near.x " * 11, 11, spf.LOOKUPS),
        ("ip4:192.0.2.1 " * 30, 0, ""), ("exp=a.x " * 30, 0, ""), ("mx:ten.x -all", 1, ""),
        ("mx:many.x -all", 1, spf.LOOKUPS), ("include:loop.x", 11, spf.LOOKUPS),
        ("redirect=soft.x", 1, ""), ("a:none.x a:none.x -all", 2, ""),
        ("a:none.x a:none.x a:none.x -all", 3, spf.VOID), ("mx:none.x exists:none.x", 2, ""),
        ("mx:none.x exists:none.x a:none.x", 3, spf.VOID), ("include:two.x", 1, spf.TWO),
        ("a:down.x", 1, spf.UNANSWERED), ("include:down.x", 1, spf.UNANSWERED),
        ("a:a.x a:down.x", 1, ""),
    ],
)  # fmt: skip
def test_lookups_are_counted_up_to_their_limits(terms: str, lookups: int, error: str) -> None:
    found = evaluated(terms)
    assert (found.lookups, found.error) == (lookups, error), found


def test_without_an_address_nothing_matches_and_every_lookup_counts() -> None:
    terms = "a:a.x include:pass.x exists:%{d1}.e.x mx:mx.x ptr:p.x ip4:0.0.0.0/0 all"
    assert evaluated(terms, None) == spf.Evaluation(spf.NEUTRAL, 5)


def test_behind_an_all_no_redirect_is_followed() -> None:
    assert evaluated("redirect=down.x -all", None) == spf.Evaluation(spf.NEUTRAL, 0)
    assert evaluated("redirect=down.x ip4:192.0.2.1", None).error == spf.UNANSWERED


def test_a_long_term_is_shown_in_part() -> None:
    assert len(evaluated(f"{'x' * 5000} -all").message) < 200


@pytest.mark.parametrize(
    ("text", "is_record"),
    [
        ("v=spf1", True), ("V=SPF1 -all", True), ("v=spf1\t-all", False), ("v=spf10", False),
        (" v=spf1", False), ("v=spf1-all", False), ("", False), ("spf2.0/pra", False),
    ],
)  # fmt: skip
def test_which_texts_are_records(text: str, is_record: bool) -> None:
    assert (spf.records_of([text]) == [text]) is is_record
