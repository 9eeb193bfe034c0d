"""Which DNS records a domain needs, and their text in a zone file."""

from typing import Any

import dns.rdatatype
import dns.zone
import pytest

from mailroster.analysis.dns.advice import advised, spf_text
from mailroster.analysis.dns.dkim_record import DkimKey
from mailroster.analysis.dns.facts import Facts, Machine, facts_of, is_public
from mailroster.analysis.dns.record import NEEDED, Record, zone_text
from mailroster.base.settings import Settings, Sources, load
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.relaymap import RELAYMAP
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.roster.roster import Roster
from tests.support.perfect_zone import ADDRESS, DOMAIN, FACTS, HOST, KEY

H = "{PLAIN}x"


def settings(**options: str) -> Settings:
    options = {"hostname": HOST, "home": "/nowhere", **options}
    return load(Sources(options, {}, lambda path: b"", lambda path: False))


def roster(accounts: str = "", aliases: str = "", relays: str = "") -> Roster:
    return Roster(
        accounts=Document(ACCOUNTS, accounts),
        virtual=Document(VIRTUAL, aliases),
        relaymap=Document(RELAYMAP, relays),
    )


def values(facts: Facts, kind: str) -> dict[str, str]:
    """The advised records of a type: name -> value."""
    return {record.name: record.value() for record in advised(facts) if record.kind == kind}


def test_a_server_that_is_complete_gets_each_kind_of_record() -> None:
    records = [(record.name, record.kind) for record in advised(FACTS)]
    assert records == [
        (DOMAIN, "MX"), (HOST, "A"), (HOST, "AAAA"),
        ("25.113.0.203.in-addr.arpa", "PTR"),
        (f"5.2.{'0.' * 22}8.b.d.0.1.0.0.2.ip6.arpa", "PTR"),
        (DOMAIN, "TXT"), (HOST, "TXT"), (f"mail._domainkey.{DOMAIN}", "TXT"),
        (f"_dmarc.{DOMAIN}", "TXT"), (f"_mta-sts.{DOMAIN}", "TXT"), (f"mta-sts.{DOMAIN}", "CNAME"),
        (f"_smtp._tls.{DOMAIN}", "TXT"), (HOST, "CAA"), (f"_25._tcp.{HOST}", "TLSA"),
        (f"_imaps._tcp.{DOMAIN}", "SRV"), (f"_submissions._tcp.{DOMAIN}", "SRV"),
        (f"autoconfig.{DOMAIN}", "CNAME"), (f"autodiscover.{DOMAIN}", "CNAME"),
    ]  # fmt: skip
    assert all(record.reason.endswith(".") for record in advised(FACTS))


def test_no_name_has_a_cname_and_another_record() -> None:
    records = advised(FACTS._replace(host=DOMAIN))
    aliases = {record.name for record in records if record.kind == "CNAME"}
    assert aliases.isdisjoint(record.name for record in records if record.kind != "CNAME")


def test_of_a_server_named_as_its_domain_spf_is_one_record() -> None:
    assert values(FACTS._replace(host=DOMAIN), "TXT")[DOMAIN] == "v=spf1 mx -all"
    texts = [r for r in advised(FACTS._replace(host=DOMAIN)) if r[:2] == (DOMAIN, "TXT")]
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("relays", "spf"),
    [
        ((), "v=spf1 mx -all"),
        (("smtp.provider.example",), "v=spf1 mx a:smtp.provider.example ~all"),
        (("10.0.0.1", "127.0.0.1"), "v=spf1 mx ~all"),
        (("192.0.2.9", "2001:db8::9"), "v=spf1 mx ip4:192.0.2.9 ip6:2001:db8::9 ~all"),
    ],
)
def test_relays_may_send_too(relays: tuple[str, ...], spf: str) -> None:
    assert spf_text(FACTS._replace(relays=relays)) == spf


def test_the_reasons_say_what_is_missing_first() -> None:
    def reason(facts: Facts, name: str) -> str:
        (record,) = (each for each in advised(facts) if each[:2] == (name, "TXT"))
        return record.reason

    whole = reason(FACTS, f"_dmarc.{DOMAIN}")
    assert "DKIM key first" not in whole
    assert "no reports" not in whole
    without_keys = FACTS._replace(machine=FACTS.machine._replace(keys=()))
    assert reason(without_keys, f"_dmarc.{DOMAIN}").startswith(f"{whole} Make a DKIM key first")
    without_reports = reason(FACTS._replace(reports=""), f"_dmarc.{DOMAIN}")
    assert (
        without_reports == f"{whole} postmaster@{DOMAIN} gets no mail, so no reports are requested."
    )
    relays = FACTS._replace(relays=("a.example", "b.example"))
    assert reason(relays, DOMAIN).startswith(reason(FACTS, DOMAIN))
    assert "Mail leaves through a.example, b.example" in reason(relays, DOMAIN)


@pytest.mark.parametrize(
    ("relaymap", "relayhost", "relays"),
    [
        ("", "", ()),
        ("", "[smtp.a.example]:587, b.example", ("smtp.a.example", "b.example")),
        ("@example.com [smtp.c.example]:465\n", "[smtp.a.example]:587", ("smtp.c.example",)),
        ("@example.com\n", "[smtp.a.example]:587", ()),
        ("@other.example [smtp.c.example]\n", "", ()),
        ("@example.com [ipv6:2001:db8::9]:25\n", "", ("2001:db8::9",)),
    ],
)
def test_the_relays_of_a_domain_are_its_own_or_those_of_all(
    relaymap: str, relayhost: str, relays: tuple[str, ...]
) -> None:
    facts = facts_of(DOMAIN, roster(relays=relaymap), settings(relayhost=relayhost), Machine())
    assert facts.relays == relays


@pytest.mark.parametrize(
    ("accounts", "aliases", "postmaster", "reports"),
    [
        (f"a@example.com|{H}\n", "", "", ""),
        (f"postmaster@example.com|{H}\n", "", "", "postmaster@example.com"),
        ("", "postmaster@example.com a@example.com\n", "", "postmaster@example.com"),
        ("", "@example.com a@example.com\n", "", "postmaster@example.com"),
        ("", "", "admin@other.example", "postmaster@example.com"),
    ],
)
def test_reports_go_only_to_an_address_that_receives_mail(
    accounts: str, aliases: str, postmaster: str, reports: str
) -> None:
    chosen = settings(postmaster_address=postmaster)
    facts = facts_of(DOMAIN, roster(accounts, aliases), chosen, Machine(keys=(KEY,)))
    assert facts.reports == reports
    dmarc = values(facts, "TXT")[f"_dmarc.{DOMAIN}"]
    expected = f"; rua=mailto:{reports}" if reports else ""
    assert dmarc == f"v=DMARC1; p=quarantine{expected}"
    assert (f"_smtp._tls.{DOMAIN}" in values(facts, "TXT")) == bool(reports)


def test_without_a_dkim_key_dmarc_demands_nothing() -> None:
    facts = FACTS._replace(machine=Machine())
    assert values(facts, "TXT")[f"_dmarc.{DOMAIN}"].startswith("v=DMARC1; p=none")


def test_services_that_are_off_have_no_record_and_ports_are_those_of_the_settings() -> None:
    chosen = settings(
        layout="system", imap_port="0", pop3_port="0", pop3s_port="0", imaps_port="994"
    )
    facts = facts_of(DOMAIN, roster(), chosen, Machine())
    assert values(facts, "SRV") == {
        f"_submissions._tcp.{DOMAIN}": f"0 1 465 {HOST}",
        f"_submission._tcp.{DOMAIN}": f"0 1 587 {HOST}",
        f"_imaps._tcp.{DOMAIN}": f"0 1 994 {HOST}",
        f"_sieve._tcp.{DOMAIN}": f"0 1 4190 {HOST}",
    }


@pytest.mark.parametrize(
    ("issuer", "tls_type", "ca"),
    [
        ("Let's Encrypt", "", "letsencrypt.org"), ("DigiCert Inc", "", "digicert.com"),
        ("", "letsencrypt", "letsencrypt.org"), ("", "", ""), ("My own CA", "", ""),
        ("My own CA", "letsencrypt", ""),
    ],
)  # fmt: skip
def test_caa_names_the_authority_of_the_certificate(issuer: str, tls_type: str, ca: str) -> None:
    facts = facts_of(DOMAIN, roster(), settings(tls_type=tls_type), Machine(issuer=issuer))
    assert facts.ca == ca
    assert values(facts, "CAA") == ({HOST: f"0 issue {ca}"} if ca else {})


def test_without_an_address_the_record_is_shown_without_a_value() -> None:
    facts = FACTS._replace(machine=Machine())
    assert [(r.name, r.fields) for r in advised(facts) if r.kind == "A"] == [(HOST, ())]
    assert "; mail.example.com. 3600 IN A …" in zone_text(DOMAIN, advised(facts)).splitlines()


def joined(rdata: Any) -> str:
    return b"".join(rdata.strings).decode()


def parsed(text: str, origin: str = DOMAIN) -> dict[tuple[str, str], list[str]]:
    """The records that dnspython reads from a zone file: (name, type) -> values; those in comments
    are left out. TXT strings are joined."""
    zone = dns.zone.from_text(text, origin, relativize=False, check_origin=False)
    records: dict[tuple[str, str], list[str]] = {}
    for name, _, rdata in zone.iterate_rdatas():
        kind = dns.rdatatype.to_text(rdata.rdtype)
        value = joined(rdata) if kind == "TXT" else rdata.to_text()
        records.setdefault((name.to_text(omit_final_dot=True), kind), []).append(value)
    return records


def test_a_zone_file_has_the_records_without_a_condition() -> None:
    key = DkimKey("long", "rsa", "A" * 700, 4096, "k")
    facts = FACTS._replace(machine=FACTS.machine._replace(keys=(KEY, key)))
    text = zone_text(DOMAIN, advised(facts))
    records = parsed(text)
    assert records[f"long._domainkey.{DOMAIN}", "TXT"] == [key.text()]
    assert records[HOST, "CAA"] == ['0 issue "letsencrypt.org"']
    assert records[DOMAIN, "MX"] == [f"10 {HOST}."]
    assert records[HOST, "A"] == [ADDRESS]
    expected = {(r.name, r.kind) for r in advised(facts) if not r.condition and r.kind != "PTR"}
    assert set(records) == expected
    assert "; in another zone: 25.113.0.203.in-addr.arpa. 3600 IN PTR mail.example.com." in text


def test_every_string_has_at_most_255_octets() -> None:
    zone = dns.zone.from_text(
        Record("a.example.com", "TXT", ("é" * 400,), NEEDED, "").line() + "\n",
        DOMAIN, relativize=False, check_origin=False,
    )  # fmt: skip
    rdata: Any
    (rdata,) = (rdata for _, _, rdata in zone.iterate_rdatas())
    assert [len(part) for part in rdata.strings] == [255, 255, 255, 35]
    assert joined(rdata) == "é" * 400


def test_a_server_of_another_domain_is_named_and_its_records_are_comments() -> None:
    facts = FACTS._replace(domain="other.example")
    records = parsed(zone_text("other.example", advised(facts)), "other.example")
    assert records["other.example", "MX"] == [f"10 {HOST}."]
    assert (HOST, "A") not in records


def test_an_idna_domain_is_in_a_labels() -> None:
    facts = FACTS._replace(domain="xn--mller-kva.example")
    records = parsed(zone_text(facts.domain, advised(facts)), facts.domain)
    assert ("xn--mller-kva.example", "MX") in records


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("203.0.113.1", True), ("2001:db8::1", True), ("8.8.8.8", True), ("10.0.0.1", False),
        ("172.16.5.1", False), ("192.168.1.1", False), ("100.64.0.1", False), ("127.0.0.1", False),
        ("169.254.1.1", False), ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False),
        ("fe80::1", False), ("fd00::1", False), ("::ffff:10.0.0.1", False), ("x", False),
        ("", False), ("mail.example.com", False),
    ],
)  # fmt: skip
def test_which_addresses_the_internet_reaches(address: str, public: bool) -> None:
    assert is_public(address) is public
