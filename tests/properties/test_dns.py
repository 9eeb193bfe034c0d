"""Laws of DNS records: texts survive a zone file, and any answers end in findings that are safe to
show."""

from random import Random
from typing import Any

import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from mailroster.analysis.dns import spf
from mailroster.analysis.dns.findings import findings
from mailroster.analysis.dns.record import NEEDED, Record
from mailroster.analysis.dns.tags import mail_uris, tags_of
from mailroster.base.dns import ANSWERED, FAILED, NO_NAME, Answer, Ask, Delegation, Dns, WebFile
from mailroster.base.findings import ERROR, INFO, WARNING
from tests.support.perfect_zone import ADDRESS, ADDRESS_6, DOMAIN, FACTS, HOST

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=700)
#: Pieces of SPF records, in any order.
TERMS = (
    "v=spf1", "mx", "a", "ptr", "-all", "~all", "?all", "all", "include:a.x", "include:b.x",
    "a:b.x/8", "mx:a.x//64", "exists:%{i}.x", "exists:%{l1r-}.%{d2}", "ip4:203.0.113.0/24",
    "ip6:2001:db8::/32", "redirect=b.x", "exp=c.x", "ip4:", "a:", "%{", "include:", "redirect=",
    "x=y", "", "\x1b[2J", "ä", "a/33", "ip4:1.2.3.4/99", "mx/0", "a" * 300,
    "include:%{d}", "A:", "+", "-", "ip6:203.0.113.1",
)  # fmt: skip
records = st.lists(st.sampled_from(TERMS), max_size=9).map(
    lambda terms: " ".join(["v=spf1", *terms])
)
NAMES = ("a.x", "b.x", DOMAIN, HOST, ".", "", "\x1b.x", "x" * 300, "192.0.2.1", "*", "ä.x")
_POLICY = WebFile("version: STSv1\nmode: enforce\nmx: *.\x1b\nmx: x\nmax_age: 1")
ADDRESSES = (ADDRESS, ADDRESS_6, "10.0.0.1", "not an address", "", "::ffff:1.2.3.4", "fe80::1")


@given(texts)
def test_a_text_survives_a_zone_file(text: str) -> None:
    line = Record("a.example.com", "TXT", (text,), NEEDED, "").line()
    name, ttl, family, kind, value = line.split(" ", 4)
    assert line.isascii()
    assert line.isprintable()
    (rdata,) = dns.rrset.from_text(name, int(ttl), family, kind, value)
    read: Any = rdata
    assert b"".join(read.strings).decode() == text
    assert max(map(len, read.strings)) <= 255


@given(texts)
def test_any_text_is_a_list_of_tags_or_is_not(text: str) -> None:
    tags = tags_of(text)
    assert tags is None or all(name == name.strip().lower() for name in tags)
    assert all(uri in text for uri in mail_uris(text))


def answers(seed: int, some_records: list[str]) -> Ask:
    """A DNS with arbitrary answers, the same ones for the same question."""

    def fields(random: Random, kind: str) -> tuple[str, ...]:
        name = random.choice(NAMES)
        number = str(random.choice((0, 1, 3, 10, 65535)))
        by_kind: dict[str, tuple[str, ...]] = {
            "A": (random.choice([a for a in ADDRESSES if ":" not in a]),),
            "AAAA": (random.choice([a for a in ADDRESSES if "." not in a]),),
            "MX": (number, name), "SRV": (number, number, number, name),
            "CAA": (number, random.choice(("issue", "iodef", "\x00")), name),
            "TLSA": (number, number, number, random.choice(("", "ab" * 32))),
            "TXT": (random.choice([*some_records, "v=DKIM1; p=\x1b", "v=DMARC1; p=none; rua=\x07",
                                   "v=STSv1; id=\u202e", "v=TLSRPTv1;", "=;=", ""]),),
        }  # fmt: skip
        return by_kind.get(kind, (name,))

    def ask(name: str, kind: str) -> Answer:
        random = Random(f"{seed} {name} {kind}")
        status = random.choice((ANSWERED, ANSWERED, ANSWERED, NO_NAME, FAILED))
        if status == FAILED:
            return Answer(FAILED, reason="SERVFAIL\x1b[2J")
        if status == NO_NAME:
            return Answer(NO_NAME)
        found = {fields(random, kind) for _ in range(random.choice((0, 1, 1, 2, 12)))}
        aliases = random.choice(((), (), ("b.x",)))
        return Answer(ANSWERED, tuple(sorted(found)), aliases)

    return ask


@given(st.integers(0, 1 << 30), st.lists(records, min_size=1, max_size=5), st.booleans())
def test_any_answers_end_in_findings_that_are_safe_to_show(
    seed: int, some_records: list[str], is_secure: bool
) -> None:
    delegation = Delegation("x\x1b", ("a",), (("ns\x07", "why\x00"),), is_bogus=is_secure)
    policy = Random(seed).choice((None, WebFile("", "\x1b"), *map(WebFile, some_records), _POLICY))
    dns_of_others = Dns(answers(seed, some_records), lambda name: is_secure, lambda domain: policy)
    found = list(findings(FACTS, dns_of_others, delegation))
    assert all(finding.severity in (ERROR, WARNING, INFO) for finding in found)
    for finding in found:
        text = f"{finding.message}{finding.hint}"
        assert text.isprintable(), finding
        assert len(text) < 900, finding


@given(st.integers(0, 1 << 30), st.lists(records, min_size=1, max_size=5))
def test_any_spf_record_has_a_result_within_its_limits(seed: int, some_records: list[str]) -> None:
    asked = []
    answer = answers(seed, some_records)

    def ask(name: str, kind: str) -> Answer:
        asked.append(name)
        return answer(name, kind)

    for address in (None, ADDRESS, ADDRESS_6):
        evaluation = spf.evaluate(DOMAIN, address, ask)
        assert evaluation.lookups <= spf.LOOKUPS_MAX + 1
        assert bool(evaluation.error) != bool(evaluation.result)
        assert address or evaluation.result not in (spf.PASS, spf.FAIL, spf.SOFTFAIL)
    assert len(asked) < 3 * spf.LOOKUPS_MAX * (spf.NAMES_MAX + 3)
