"""Laws of DKIM: the files around keys, which key signs, and the record of a key in each form."""

import base64
from typing import Any

import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroster.analysis.dns import dkim_record
from mailroster.analysis.dns.dkim_record import DkimKey
from mailroster.analysis.dns.record import NEEDED, Record
from mailroster.base.layout import Layout
from mailroster.servers.config import dkim
from mailroster.servers.config.dkim import Key, Rotation

LAYOUT = Layout("/s")
_label = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,12}[A-Za-z0-9])?", fullmatch=True)
selectors = st.lists(_label, min_size=1, max_size=3).map(".".join)
domains = st.sampled_from(("x.com", "b-x.com", "a.b.example", "xn--mller-kva.example"))
rotations = st.builds(Rotation, selectors, selectors, st.integers(0, 10**10 - 1))
#: The public part of a key: RSA with 1024 to 4096 bits, and Ed25519.
publics = st.one_of(*(st.binary(min_size=size, max_size=size) for size in (32, 162, 294, 550)))
keys = st.builds(
    lambda domain, selector, kind, place: Key(
        domain, selector, f"{place}/{domain}-{selector}-{kind}", kind, b"", f"{kind}-0"
    ),
    domains,
    st.sampled_from(("mail", "a", "b", "2026a")),
    st.sampled_from(dkim.KINDS),
    st.sampled_from((dkim.OPENDKIM_KEYS, dkim.RSPAMD_KEYS)),
)
some_keys = st.lists(keys, max_size=8, unique_by=lambda key: (key.name(), key.kind))
named = st.dictionaries(domains, st.sets(st.sampled_from(("a", "b", "none")), max_size=2))
under_way = st.dictionaries(
    domains, st.builds(Rotation, st.just("a"), st.just("b"), st.sampled_from((0, 1)))
)


@given(rotations)
def test_a_rotation_is_read_as_it_was_written(rotation: Rotation) -> None:
    assert dkim.parse_rotation(dkim.rotation_text(rotation)) == rotation


@given(rotations, st.integers(0, 200))
def test_a_rotation_that_is_cut_off_is_none(rotation: Rotation, size: int) -> None:
    text = dkim.rotation_text(rotation)
    if size < len(text):
        assert dkim.parse_rotation(text[:size]) is None


@given(st.sampled_from(dkim.KINDS), publics, selectors, domains)
def test_a_record_in_every_form_has_the_same_key(
    kind: str, public: bytes, selector: str, domain: str
) -> None:
    """The zone line, the one string, and the record that `setup dns` prints."""
    text = base64.b64encode(public).decode()
    name, value = dkim_record.record_name(domain, selector), dkim_record.record(kind, text)
    record = DkimKey(selector, kind, text, 0, "").text()
    lines = [dkim_record.zone_line(name, value), Record(name, "TXT", (record,), NEEDED, "").line()]
    assert dkim_record.public_key(value) == dkim_record.public_key(record) == text
    for line in lines:
        owner, rest = line.split(" ", 1)
        rest = rest.removeprefix("3600 ").removeprefix("IN TXT ")
        (rdata,) = dns.rrset.from_text(owner, 60, "IN", "TXT", rest)
        read: Any = rdata
        assert max(map(len, read.strings)) <= 255
        assert owner == f"{name}."
        joined = b"".join(read.strings).decode()
        assert joined in (value, record)
        tags = dict(tag.strip().split("=", 1) for tag in joined.split(";"))
        assert (tags["v"], tags["k"], tags["p"]) == ("DKIM1", kind, text)


@given(st.sampled_from(dkim.KINDS), publics, st.lists(st.integers(0, 400), max_size=5))
def test_blanks_in_a_published_key_mean_nothing(kind: str, public: bytes, at: list[int]) -> None:
    text = base64.b64encode(public).decode()
    spaced = text
    for place in at:
        spaced = f"{spaced[:place]} {spaced[place:]}"
    assert dkim_record.public_key(f"v=DKIM1 ; k={kind};\tp = {spaced} ; t=s") == text
    assert dkim_record.public_key("v=DKIM1; p=") == ""


@given(some_keys, named, under_way, st.randoms(use_true_random=False))
def test_one_key_of_each_type_signs_for_a_domain_in_any_order_of_the_files(
    found: list[Key], named: dict[str, set[str]], rotations: dict[str, Rotation], random: Any
) -> None:
    signing = dkim.chosen(found, named, rotations)
    assert [(key.domain, key.kind) for key in signing] == sorted(
        {(key.domain, key.kind) for key in found}
    )
    assert set(signing) <= set(found)
    mixed = list(found)
    random.shuffle(mixed)
    assert dkim.chosen(mixed, named, rotations) == signing
    for key in signing:
        others = {each.selector for each in found if each[0::3] == key[0::3]}
        rotation = rotations.get(key.domain)
        if rotation and rotation.signing() in others:
            assert key.selector == rotation.signing()
        elif wanted := named.get(key.domain, set()) & others:
            assert key.selector in wanted
        elif "mail" in others:
            assert key.selector == "mail"


@given(some_keys, st.sampled_from(("mail.x.com", "x.com", "MAIL.b-x.com", "host", "a.b.c.test")))
def test_the_tables_have_a_line_for_each_key_and_sign_for_the_server_once(
    found: list[Key], hostname: str
) -> None:
    """Every name in the SigningTable is in the KeyTable, and no author has two keys."""
    for kind in dkim.KINDS:
        own = dkim.chosen([key for key in found if key.kind == kind], {}, {})
        names = [line.split(" ")[0] for line in dkim.key_table(own, LAYOUT).splitlines()]
        rows = [line.split(" ") for line in dkim.signing_table(own, hostname).splitlines()]
        assert names == [key.name() for key in own]
        assert {name for _, name in rows} == set(names)
        authors = [author for author, _ in rows]
        assert len(authors) == len(set(authors))
        if extra := [(author, name) for author, name in rows[len(own) :]]:
            ((author, name),) = extra
            assert author == f"*@{hostname.lower()}"
            assert hostname.lower().endswith(f".{name.partition('._domainkey.')[2]}")


@pytest.mark.parametrize("place", ["opendkim", "rspamd"])
@given(selector=selectors, domain=domains)
def test_the_name_of_a_file_gives_back_its_selector_and_domain(
    place: str, selector: str, domain: str
) -> None:
    if place == "opendkim":
        found = dkim.opendkim_key(domain, f"{selector}.private")
    else:
        found = dkim.rspamd_key(f"rsa-2048-{selector}-{domain}.private.txt", {domain})
    assert found is not None
    assert (found.selector, found.domain) == (selector, domain)
