"""Laws of SPF: trees of records against a plain count of their lookups (RFC 7208, 4.6.4)."""

import ipaddress
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroster.analysis.dns import spf
from mailroster.base.dns import ANSWERED, NO_NAME, Answer

ADDRESS = "203.0.113.25"
OTHERS = "ip4:192.0.2.0/24"


class Node(NamedTuple):
    """A record: terms that match nothing and look something up, records that it includes, whether
    it names the address, and the record that replaces it at its end."""

    terms: tuple[str, ...]
    includes: tuple["Node", ...]
    has_address: bool
    redirect: "Node | None"


_TERMS = st.lists(
    st.sampled_from(("a:other.x", "mx:other.x", "ptr:other.x", OTHERS)),
    max_size=3,
).map(tuple)
nodes = st.recursive(
    st.builds(Node, _TERMS, st.just(()), st.booleans(), st.none()),
    lambda children: st.builds(
        Node,
        _TERMS,
        st.lists(children, max_size=4).map(tuple),
        st.booleans(),
        st.one_of(st.none(), children),
    ),
    max_leaves=9,
)


def zone(node: Node, name: str, texts: dict[str, str]) -> dict[str, str]:
    """The records of a tree, by name."""
    terms = ["v=spf1", *node.terms]
    for number, child in enumerate(node.includes):
        terms.append(f"include:{number}.{name}")
        zone(child, f"{number}.{name}", texts)
    if node.has_address:
        terms.append(f"ip4:{ADDRESS}")
    if node.redirect:
        terms.append(f"redirect=r.{name}")
        zone(node.redirect, f"r.{name}", texts)
    else:
        terms.append("-all")
    texts[name] = " ".join(terms)
    return texts


def events(node: Node, *, matches: bool) -> Iterator[str]:
    """Each lookup on the way, until the address is found; then `found`."""
    yield from ("lookup" for term in node.terms if term != OTHERS)
    for child in node.includes:
        yield "lookup"
        for event in events(child, matches=matches):
            yield event
            if event == "found":
                return
    if node.has_address and matches:
        yield "found"
        return
    if node.redirect:
        yield "lookup"
        yield from events(node.redirect, matches=matches)


def evaluated(texts: dict[str, str], address: str | None) -> spf.Evaluation:
    def ask(name: str, kind: str) -> Answer:
        if kind == "TXT":
            return Answer(ANSWERED, ((texts[name],),)) if name in texts else Answer(NO_NAME)
        return Answer(ANSWERED, (("10", "other.x") if kind == "MX" else ("192.0.2.7",),))

    return spf.evaluate("x.com", address, ask)


@given(nodes)
def test_a_tree_of_records_passes_where_a_plain_count_says_so(tree: Node) -> None:
    texts = zone(tree, "x.com", {})
    for address in (None, ADDRESS):
        way = list(events(tree, matches=address is not None))
        lookups = way.count("lookup")
        found = evaluated(texts, address)
        if lookups > spf.LOOKUPS_MAX:
            assert (found.error, found.lookups) == (spf.LOOKUPS, spf.LOOKUPS_MAX + 1)
        else:
            expected = spf.PASS if way[-1:] == ["found"] else spf.FAIL
            expected = spf.NEUTRAL if address is None else expected
            assert (found.result, found.lookups) == (expected, lookups)


@given(
    st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4), st.sampled_from(("+", "-", "~"))
)
def test_an_address_matches_the_networks_that_contain_it(
    network: ipaddress.IPv4Address, prefix: int, address: ipaddress.IPv4Address, sign: str
) -> None:
    first = int(network) >> 32 - prefix == int(address) >> 32 - prefix
    results = {"+": spf.PASS, "-": spf.FAIL, "~": spf.SOFTFAIL}
    texts = {"x.com": f"v=spf1 {sign}ip4:{network}/{prefix} ?all"}
    found = evaluated(texts, str(address))
    assert found.result == (results[sign] if first else spf.NEUTRAL)
    assert evaluated(texts, "2001:db8::1").result == spf.NEUTRAL


@pytest.mark.parametrize("count", [9, 10, 11])
def test_the_eleventh_lookup_is_one_too_many(count: int) -> None:
    found = evaluated({"x.com": "v=spf1 " + "a:other.x " * count + "-all"}, None)
    assert found.error == ("" if count <= 10 else spf.LOOKUPS)
