"""What is missing or wrong in the DNS, on a test server: the zone, each kind of record, hostile and
broken answers. Pages of codes show more (tests/docs/test_dns_pages.py)."""

from collections.abc import Iterator

import pytest

from mailroster.analysis.dns.dkim_record import DkimKey
from mailroster.analysis.dns.facts import Machine
from mailroster.base.dns import WebFile
from mailroster.base.findings import ERROR, INFO, WARNING, Finding
from tests.support.name_server import BOGUS, REFUSED, SERVFAIL, SILENT, NameServer
from tests.support.perfect_zone import (
    ADDRESS,
    ADDRESS_6,
    DOMAIN,
    FACTS,
    HOST,
    KEY,
    REVERSE,
    changed,
    found,
    zone_of,
)


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer(zone_of(), is_secure=True).running() as running:
        yield running


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def wrong(server: NameServer, records: str) -> list[Finding]:
    """The errors and warnings after a change of records."""
    changed(server, records)
    return [finding for finding in found(server) if finding.severity != INFO]


def test_with_all_records_that_are_advised_nothing_is_found(server: NameServer) -> None:
    assert found(server) == []


def test_of_an_idna_domain_with_all_records_nothing_is_found() -> None:
    facts = FACTS._replace(domain="xn--mller-kva.example", reports="")
    text = zone_of() + "\n" + zone_of(facts).replace(f"{DOMAIN}. ", "xn--mller-kva.example. ")
    facts_only = "\n".join(line for line in zone_of(facts).splitlines() if "xn--" in line)
    with NameServer(f"{zone_of()}\n{facts_only}", is_secure=True).running() as running:
        left = [f for f in found(running, facts) if f.severity != INFO]
        assert text
        assert left == []


def test_a_domain_without_any_record_is_one_finding() -> None:
    with NameServer("example.org. SOA ns.example.org. a.example.org. 1 2 3 4 5").running() as empty:
        assert codes(found(empty)) == ["no-domain"]


def test_with_only_the_zone_all_that_is_needed_is_missing(server: NameServer) -> None:
    for name, kind in list(server.records):
        if kind.name not in ("SOA", "NS") and not name.to_text().startswith("ns."):
            del server.records[name, kind]
    findings = found(server)
    assert codes([f for f in findings if f.severity == ERROR]) == [
        "no-mx", "no-address", "no-spf", "no-dkim",
    ]  # fmt: skip
    assert codes([f for f in findings if f.severity == WARNING]) == ["no-dmarc"]
    assert codes([f for f in findings if f.severity == INFO]) == [
        "no-helo-spf", "no-mta-sts", "no-tls-rpt", "no-caa", "no-tlsa", "no-srv", "no-autoconfig",
    ]  # fmt: skip


def test_a_finding_names_the_record_the_fault_and_the_fix(server: NameServer) -> None:
    first, *follow = wrong(server, f"; no {DOMAIN}. MX")
    assert codes(follow) == ["spf-excludes-server"]  # 'mx' in it stands for no server
    assert str(first) == (
        "example.com MX: error: there is no MX record, so mail goes to the A record of the domain, "
        "or nowhere; add the record example.com MX 10 mail.example.com [no-mx]"
    )


_NO_MX = {"spf-excludes-server", "mx-elsewhere"}
#: What follows from a fault.
_FOLLOW = {
    "null-mx": _NO_MX, "mx-elsewhere": _NO_MX, "mx-without-address": _NO_MX,
    "private-address": _NO_MX, "unpublished-address": _NO_MX, "wrong-address": {*_NO_MX, "no-ptr"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("records", "code", "words"),
    [
        # the zone
        (f"{DOMAIN}. CNAME www.example.net.", "cname-at-domain", "CNAME to www.example.net"),
        # MX
        (f"{DOMAIN}. MX 0 .", "null-mx", "receives no mail"),
        (f"{DOMAIN}. MX 10 mx.a.\nmx.a. A 192.0.2.1", "mx-elsewhere", "goes to mx.a"),
        (f"{DOMAIN}. MX 1 m.a.\nm.a. CNAME {HOST}.", "mx-is-cname", "target mail.example.com"),
        (f"{DOMAIN}. MX 1 192.0.2.1.", "mx-without-address", "has the address 192.0.2.1"),
        (f"{DOMAIN}. MX 1 {HOST}.\n{DOMAIN}. MX 2 x.a.", "mx-without-address", "x.a has no"),
        # addresses and names
        (f"{HOST}. A 10.0.0.1", "private-address", "10.0.0.1"),
        (f"{HOST}. AAAA fd00::1", "private-address", "fd00::1"),
        (f"{HOST}. A 198.51.100.1", "wrong-address", "203.0.113.25, 2001:db8::25"),
        (f"; no {REVERSE}. PTR", "no-ptr", "has no name"),
        (f"{REVERSE}. PTR x.a.\nx.a. A {ADDRESS}", "ptr-disagrees", "has the name x.a, and"),
        (f"{REVERSE}. PTR x.a.\nx.a. A 192.0.2.1", "ptr-disagrees", "x.a does not lead back"),
        (f"{REVERSE}. PTR x.a.", "ptr-disagrees", "x.a does not lead back"),
        (f"; no {HOST}. AAAA", "unpublished-address", "2001:db8::25"),
        # SPF
        (f'{HOST}. TXT "v=spf1 -all"', "spf-excludes-server", "add a to the SPF"),
        (f"{DOMAIN}. TXT \"google-site=1\"", "no-spf", "no SPF record"),
        (f'{DOMAIN}. TXT "v=spf1 mx -all" "v=spf10 x"', "malformed-spf", "-allv=spf10"),
        (f'{DOMAIN}. TXT "v=spf1 mx"\n{DOMAIN}. TXT "v=spf1 -all"', "two-spf", "2 SPF"),
        (f'{DOMAIN}. TXT "v=spf1 mx include:a.example -all"', "malformed-spf", "no SPF record"),
        (f'{DOMAIN}. TXT "v=spf1 redirect=a.example"', "malformed-spf", "no SPF record"),
        (f'{DOMAIN}. TXT "v=spf1 mx ip4:1.2.3 -all"', "malformed-spf", "'ip4:1.2.3'"),
        (f'{DOMAIN}. TXT "v=spf1 mx exists:%{{z}}.a -all"', "malformed-spf", "wrong macro"),
        (f'{DOMAIN}. TXT "v=spf1 mx \u0131nclude:x.a -all"', "malformed-spf", "is no term"),
        (f'{DOMAIN}. TXT "v=spf1 mx a/99 -all"', "malformed-spf", "'a/99'"),
        (f'{DOMAIN}. TXT "v=spf1 mx:; -all"', "spf-excludes-server", "result fail"),
        (f'{DOMAIN}. TXT "v=spf1 -all"', "spf-excludes-server", "result fail"),
        (f'{DOMAIN}. TXT "v=spf1 ip4:{ADDRESS} ~all"', "spf-excludes-server", "result softfail"),
        (f'{DOMAIN}. TXT "v=spf1 mx all"', "spf-allows-all", "every machine"),
        # DKIM
        (f"; no mail._domainkey.{DOMAIN}. TXT", "no-dkim", "there is no record for the key"),
        (f'mail._domainkey.{DOMAIN}. TXT "v=DKIM1; p=MIIBOTHERKEY"', "wrong-dkim", "another key"),
        (f'mail._domainkey.{DOMAIN}. TXT "v=DKIM1; p="', "wrong-dkim", "revoked"),
        (f'mail._domainkey.{DOMAIN}. TXT "v=DKIM1; k=ed25519; p=MIIBIjANBgkq"', "wrong-dkim", ""),
        (f'mail._domainkey.{DOMAIN}. TXT "v=DKIM2; p=MIIBIjANBgkq"', "malformed-dkim", "no DKIM"),
        (f'mail._domainkey.{DOMAIN}. TXT "p=MIIBIjANBgkq; p=x"', "malformed-dkim", "no DKIM"),
        (f'mail._domainkey.{DOMAIN}. TXT "p=a"\nmail._domainkey.{DOMAIN}. TXT "p=b"',
         "malformed-dkim", "2 records"),
        (f'mail._domainkey.{DOMAIN}. TXT "v=DKIM1; t=s:y; p=MIIBIjANBgkq"', "dkim-test-mode", ""),
        # DMARC
        (f"; no _dmarc.{DOMAIN}. TXT", "no-dmarc", "no DMARC"),
        (f'_dmarc.{DOMAIN}. TXT "DMARC1; p=none"', "malformed-dmarc", "does not begin"),
        (f'_dmarc.{DOMAIN}. TXT "v=DMARC1; p=drop"', "malformed-dmarc", "no policy"),
        (f'_dmarc.{DOMAIN}. TXT "v=DMARC1; p=reject"\n_dmarc.{DOMAIN}. TXT "v=DMARC1; p=none"',
         "malformed-dmarc", "2 DMARC records"),
        (f'_dmarc.{DOMAIN}. TXT "v=DMARC1; p=reject; rua=mailto:x@y.example!10m"',
         "dmarc-report-refused", "y.example"),
        # the others
        (f'_mta-sts.{DOMAIN}. TXT "v=STSv1; id="', "malformed-mta-sts", "not valid"),
        (f'_mta-sts.{DOMAIN}. TXT "v=STSv1"', "malformed-mta-sts", "not valid"),
        (f"; no mta-sts.{DOMAIN}. CNAME", "no-mta-sts-policy", "no address"),
        (f'_smtp._tls.{DOMAIN}. TXT "v=TLSRPTv1"', "malformed-tls-rpt", "not valid"),
        (f'{HOST}. CAA 0 issue ";"', "caa-forbids-certificate", "allows no authority, but"),
        (f'; no {HOST}. CAA\n{DOMAIN}. CAA 0 issue "a.example; x=1"',
         "caa-forbids-certificate", "allows a.example, but"),
        (f"_25._tcp.{HOST}. TLSA 3 1 1 {'00' * 32}", "wrong-tlsa", "DANE"),
        (f"_imaps._tcp.{DOMAIN}. SRV 0 1 993 old.a.", "wrong-srv", "leads to 993 old.a"),
        (f"_imaps._tcp.{DOMAIN}. SRV 0 1 143 {HOST}.", "wrong-srv", "leads to 143"),
        (f"_imaps._tcp.{DOMAIN}. SRV 0 0 0 .", "wrong-srv", "leads to 0 ."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_alone(
    server: NameServer, records: str, code: str, words: str
) -> None:
    findings = wrong(server, records)
    assert code in codes(findings)
    assert words in " ".join(str(finding) for finding in findings if finding.code == code)
    for finding in findings:
        name, kind = finding.where.file.split(" ")
        assert name.endswith((DOMAIN, "in-addr.arpa", "ip6.arpa"))
        assert kind in _KINDS
    if code != "cname-at-domain":
        assert {finding.code for finding in findings} <= {code, *_FOLLOW.get(code, ())}


_KINDS = (
    "A", "AAAA", "CAA", "CNAME", "DKIM", "MX", "NS", "PTR", "SRV", "TLSA", "TXT", "policy",
)  # fmt: skip


def test_a_server_without_an_address_is_named_once(server: NameServer) -> None:
    findings = wrong(server, f"; no {HOST}. A\n; no {HOST}. AAAA")
    assert codes(findings) == [
        "no-address", "spf-excludes-server", "spf-excludes-server", "no-mta-sts-policy",
    ]  # fmt: skip
    assert findings[0].where.file == f"{HOST} A"
    assert f"add the record {HOST} A {ADDRESS}" in findings[0].hint
    machine = FACTS.machine._replace(addresses=(ADDRESS_6,))
    findings = found(server, FACTS._replace(machine=machine))
    (hint,) = (f.hint for f in findings if f.code == "no-address")
    assert f"add the record {HOST} AAAA {ADDRESS_6}" in hint


def test_a_lookup_of_the_server_s_own_spf_that_fails_is_only_that(server: NameServer) -> None:
    server.faults[HOST] = SERVFAIL
    findings = codes(found(server, answer_s=0.2))
    assert "dns-lookup-failed" in findings
    assert "no-helo-spf" not in findings


def test_another_server_of_the_mx_is_a_note(server: NameServer) -> None:
    changed(server, f"{DOMAIN}. MX 10 {HOST}.\n{DOMAIN}. MX 20 mx.a.\nmx.a. A 192.0.2.9")
    (finding,) = found(server)
    assert (finding.code, finding.severity) == ("other-mx", INFO)
    assert "mx.a" in finding.message
    assert finding.where.file == f"{DOMAIN} MX"


@pytest.mark.parametrize(
    "records",
    [
        f'{DOMAIN}. TXT "v=spf1 " "mx -a" "ll"\n{DOMAIN}. TXT "other"',
        f'{DOMAIN}. TXT "v=spf1 redirect=_spf.a."\n_spf.a. TXT "V=SPF1 A:{HOST} -ALL"',
        f'{DOMAIN}. TXT "v=spf1 include:_spf.a -all"\n_spf.a. TXT "v=spf1 a:{HOST}/24//64 -all"',
        f'{DOMAIN}. TXT "v=spf1 ip4:203.0.113.0/24 ip6:2001:db8::/32 -all"',
        f'{DOMAIN}. TXT "v=spf1 exists:%{{ir}}.%{{v}}.list.a ip6:2001:db8::25 -all"\n'
        "25.113.0.203.in-addr.list.a. A 127.0.0.2",
        f'{DOMAIN}. TXT "v=spf1 ptr -all"',
        f'mail._domainkey.{DOMAIN}. TXT "v=DKIM1; k=rsa; s=email; " "p=MIIB" "IjANBgkq; n=x"',
        f'mail._domainkey.{DOMAIN}. TXT "p=MIIB IjANBgkq;"',
        f'mail._domainkey.{DOMAIN}. CNAME k.a.\nk.a. TXT "p=MIIBIjANBgkq"',
        f'_dmarc.{DOMAIN}. TXT "v = DMARC1 ; p = Reject ; rua = mailto:x@y.z"\n'
        f'{DOMAIN}._report._dmarc.y.z. TXT "v=DMARC1"',
        f"{DOMAIN}. MX 10 mx.a.\nmx.a. A {ADDRESS}\nmx.a. AAAA {ADDRESS_6}",
        f"{REVERSE}. PTR {HOST}.\n{REVERSE}. PTR other.a.",
        f'{HOST}. CAA 0 iodef "mailto:a@b"\n{HOST}. CAA 0 issue "letsencrypt.org; x=y"',
        f"_25._tcp.{HOST}. TLSA 2 1 1 {'00' * 32}",
        f"_25._tcp.{HOST}. TLSA 3 1 2 {'00' * 64}",
        f"_25._tcp.{HOST}. TLSA 3 1 1 {'00' * 32}\n_25._tcp.{HOST}. TLSA 3 1 1 {'ab' * 32}",
    ],
)
def test_what_is_right_in_another_form_is_not_found(server: NameServer, records: str) -> None:
    assert wrong(server, records) == []


def test_eleven_lookups_are_too_many_and_ten_are_not(server: NameServer) -> None:
    names = " ".join(f"include:i{number}.a" for number in range(9))
    chain = "".join(f'\ni{number}.a. TXT "v=spf1 -all"' for number in range(10))
    assert wrong(server, f'{DOMAIN}. TXT "v=spf1 mx {names} -all"{chain}') == []
    (finding,) = wrong(server, f'{DOMAIN}. TXT "v=spf1 mx {names} include:i9.a -all"')
    assert (finding.code, "more than 10 lookups" in finding.message) == ("spf-lookups", True)


def test_lookups_of_included_records_count_though_the_server_is_allowed_before(
    server: NameServer,
) -> None:
    includes = "".join(
        f'\ni{number}.a. TXT "v=spf1 include:i{number + 1}.a -all"' for number in range(12)
    )
    findings = wrong(server, f'{DOMAIN}. TXT "v=spf1 mx include:i0.a -all"{includes}')
    assert codes(findings) == ["spf-lookups"]


def test_a_record_that_includes_itself_ends(server: NameServer) -> None:
    findings = wrong(server, f'{DOMAIN}. TXT "v=spf1 mx include:{DOMAIN} -all"')
    assert codes(findings) == ["spf-lookups"]


def test_three_names_that_do_not_exist_are_too_many(server: NameServer) -> None:
    assert wrong(server, f'{DOMAIN}. TXT "v=spf1 mx a:x1.a a:x2.a -all"') == []
    findings = wrong(server, f'{DOMAIN}. TXT "v=spf1 mx a:x1.a a:x2.a a:x3.a -all"')
    assert codes(findings) == ["spf-lookups"]


def test_the_dmarc_record_of_a_domain_above_counts_for_one_below() -> None:
    facts = FACTS._replace(domain=f"sub.{DOMAIN}")
    with NameServer(zone_of()).running() as server:
        server.add("\n".join(line for line in zone_of(facts).splitlines() if "SOA" not in line))
        server.remove(f"_dmarc.sub.{DOMAIN}", "TXT")
        assert [f for f in found(server, facts) if f.severity != INFO] == []
        server.remove(f"_dmarc.{DOMAIN}", "TXT")
        assert codes([f for f in found(server, facts) if f.severity != INFO]) == ["no-dmarc"]


def test_mail_through_a_relay_may_come_from_elsewhere(server: NameServer) -> None:
    changed(server, f'{DOMAIN}. TXT "v=spf1 ip4:192.0.2.9 -all"')
    facts = FACTS._replace(relays=("smtp.provider.example",))
    assert found(server, facts) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(SERVFAIL, "SERVFAIL"), (REFUSED, "REFUSED"), (SILENT, "no answer within")],
)
def test_a_lookup_without_an_answer_is_named_with_its_reason(
    server: NameServer, fault: str, reason: str
) -> None:
    name = f"_dmarc.{DOMAIN}"
    server.faults[name] = fault
    findings = found(server, answer_s=0.2)
    (failed,) = (f for f in findings if f.code == "dns-lookup-failed")
    assert failed.where.file == f"{name} TXT"
    assert reason in failed.message
    # The server itself does not answer for that name: that is named, too.
    assert {f.code for f in findings} - {"dns-lookup-failed"} == {"silent-name-server"}


def test_an_include_without_an_answer_is_an_error_of_spf(server: NameServer) -> None:
    server.faults["i.a"] = SERVFAIL
    findings = wrong(server, f'{DOMAIN}. TXT "v=spf1 mx include:i.a -all"')
    assert codes(findings) == ["dns-lookup-failed"]
    assert "i.a TXT" in findings[0].message


def test_wrong_signatures_are_named_and_the_rest_is_checked_without_them() -> None:
    with NameServer(zone_of()).running() as server:
        server.is_authority = False  # it answers as a resolver only
        names = {name.to_text(omit_final_dot=True) for name, _ in server.records}
        server.faults = {name: BOGUS for name in names if name.endswith(DOMAIN)}
        changed(server, f"; no {DOMAIN}. MX")
        found_codes = codes(found(server))
        assert "dnssec-broken" in found_codes
        assert "no-mx" in found_codes
        assert "dns-lookup-failed" not in found_codes


def test_a_server_that_is_no_authority_is_named(server: NameServer) -> None:
    server.is_authority = False
    findings = found(server)
    assert codes(findings) == ["silent-name-server"]
    assert findings[0].where.file == f"{DOMAIN} NS"
    assert "ns.example.com" in findings[0].message


def test_each_server_of_the_zone_is_asked(server: NameServer) -> None:
    changed(server, f"ns2.{DOMAIN}. A 127.0.0.2\nns3.{DOMAIN}. AAAA ::1")
    server.add(
        f"{DOMAIN}. NS ns.{DOMAIN}.\n{DOMAIN}. NS ns2.{DOMAIN}.\n{DOMAIN}. NS gone.{DOMAIN}."
    )
    findings = found(server, answer_s=0.2)
    assert codes(findings) == ["silent-name-server"] * 2
    assert f"gone.{DOMAIN} does not answer for the zone: it has no address" in findings[0].message
    assert f"ns2.{DOMAIN} does not answer for the zone: no answer" in findings[1].message


def test_without_a_key_on_disk_the_mail_has_no_signature(server: NameServer) -> None:
    facts = FACTS._replace(machine=FACTS.machine._replace(keys=()))
    (finding,) = found(server, facts)
    assert (finding.code, finding.severity) == ("unsigned-domain", WARNING)


def test_a_short_key_is_named(server: NameServer) -> None:
    key = KEY._replace(bits=1024)
    facts = FACTS._replace(machine=FACTS.machine._replace(keys=(key,)))
    assert codes(found(server, facts)) == ["weak-dkim-key"]


def test_each_selector_has_its_own_record(server: NameServer) -> None:
    second = DkimKey("second", "ed25519", "A" * 43 + "=", 256, "file")
    facts = FACTS._replace(machine=FACTS.machine._replace(keys=(KEY, second)))
    (finding,) = found(server, facts)
    assert (finding.code, finding.where.file) == ("no-dkim", f"second._domainkey.{DOMAIN} TXT")


def test_a_tlsa_record_without_dnssec_is_a_note(server: NameServer) -> None:
    server.is_secure = False
    assert codes(found(server)) == ["tlsa-without-dnssec"]
    changed(server, f"; no _25._tcp.{HOST}. TLSA")
    assert found(server) == []


def test_the_key_of_each_certificate_needs_a_record(server: NameServer) -> None:
    facts = FACTS._replace(machine=FACTS.machine._replace(tls_keys=("ab" * 32, "cd" * 32)))
    (finding,) = found(server, facts)
    assert (finding.code, "cdcdcd" in finding.hint) == ("wrong-tlsa", True)
    changed(server, zone_of(facts))
    assert found(server, facts) == []


def test_without_the_address_of_the_machine_its_records_count(server: NameServer) -> None:
    facts = FACTS._replace(machine=Machine(keys=(KEY,)))
    changed(server, f"{HOST}. A 198.51.100.7\n7.100.51.198.in-addr.arpa. PTR {HOST}.")
    assert found(server, facts) == []
    changed(server, "7.100.51.198.in-addr.arpa. PTR x.a.")
    assert codes(found(server, facts)) == ["ptr-disagrees"]


POLICY = "version: STSv1\r\nmode: {}\r\nmx: {}\r\nmax_age: 86400\r\n"


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (WebFile(POLICY.format("enforce", HOST)), ""),
        (WebFile(POLICY.format("enforce", f"*.{DOMAIN}")), ""),
        (WebFile(POLICY.format("testing", HOST.upper())), ""),
        (WebFile("version: STSv1\nmode: none\nmax_age: 1\n"), ""),
        (WebFile(POLICY.format("enforce", "*.a.example.com")), "mta-sts-forbids-mx"),
        (WebFile(POLICY.format("testing", f"*.{HOST}")), "mta-sts-forbids-mx"),
        (WebFile("version: STSv1\nmode: enforce\nmax_age: 1\n"), "malformed-mta-sts-policy"),
        (WebFile("<html>\x1b[2J"), "malformed-mta-sts-policy"),
        (WebFile(POLICY.format("enforce", HOST).replace("86400", "x")), "malformed-mta-sts-policy"),
        (WebFile(POLICY.format("enforce", HOST).replace("STSv1", "2")), "malformed-mta-sts-policy"),
        (WebFile(""), "malformed-mta-sts-policy"),
        (WebFile("", "the certificate is not valid\x1b"), "no-mta-sts-policy"),
    ],
)
def test_the_policy_of_mta_sts_is_read_as_other_servers_read_it(
    server: NameServer, policy: WebFile, code: str
) -> None:
    findings = found(server, policy=policy)
    assert codes(findings) == ([code] if code else [])
    assert all(str(finding).isprintable() for finding in findings)


HOSTILE = r"\027[2J\000\010\127\226\128\174" + "A" * 200 + r"\"\\;\013\010Subject: x"


@pytest.mark.parametrize(
    "records",
    [
        f'{DOMAIN}. TXT "v=spf1 {HOSTILE}"',
        f'{DOMAIN}. TXT "v=spf1 include:{HOSTILE}" "{HOSTILE}"',
        f'mail._domainkey.{DOMAIN}. TXT "v=DKIM1 {HOSTILE}"',
        f'_dmarc.{DOMAIN}. TXT "v=DMARC1; p={HOSTILE}"',
        f'_dmarc.{DOMAIN}. TXT "v=DMARC1; p=none; rua=mailto:a@" "{HOSTILE}"',
        f'_dmarc.{DOMAIN}. TXT "{HOSTILE}"',
        f'_mta-sts.{DOMAIN}. TXT "v=STSv1; id={HOSTILE}"',
        f'_smtp._tls.{DOMAIN}. TXT "v=TLSRPTv1; {HOSTILE}"',
        f'{HOST}. CAA 0 issue "{HOSTILE}"',
        rf"{DOMAIN}. MX 10 \027[2J\010x.a.",
        rf"{REVERSE}. PTR \027[2J\010x.a.",
        rf"_imaps._tcp.{DOMAIN}. SRV 0 1 993 \027[2J\010x.a.",
        rf"{DOMAIN}. CNAME \027[2J\010x.a.",
    ],
)
def test_hostile_answers_are_shown_without_control_characters_and_short(
    server: NameServer, records: str
) -> None:
    findings = wrong(server, records)
    assert findings
    for finding in findings:
        assert str(finding).isprintable()
        assert len(str(finding)) < 700


def test_a_thousand_servers_and_records_end_soon(server: NameServer) -> None:
    many = "\n".join(f"{DOMAIN}. MX {n} m{n}.a." for n in range(300))
    texts = "\n".join(f'{DOMAIN}. TXT "v=spf1 {n}"' for n in range(300))
    findings = wrong(server, f"{many}\n{texts}")
    assert "mx-elsewhere" in codes(findings)
    assert len(server.asked) < 400
