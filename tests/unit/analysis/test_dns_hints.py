"""The hints of findings about DNS records have the record that is right, and a lookup that fails is
no missing record."""

from collections.abc import Iterator

import pytest

from mailroster.analysis.dns.advice import advised
from tests.support.name_server import SERVFAIL, NameServer
from tests.support.perfect_zone import DOMAIN, FACTS, HOST, changed, found, zone_of


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer(zone_of(), is_secure=True).running() as running:
        yield running


_MISSING = [
    (DOMAIN, "MX", "no-mx"), (DOMAIN, "TXT", "no-spf"), (HOST, "TXT", "no-helo-spf"),
    (f"mail._domainkey.{DOMAIN}", "TXT", "no-dkim"), (f"_dmarc.{DOMAIN}", "TXT", "no-dmarc"),
    (f"mta-sts.{DOMAIN}", "CNAME", "no-mta-sts-policy"),
    (f"_smtp._tls.{DOMAIN}", "TXT", "no-tls-rpt"), (HOST, "CAA", "no-caa"),
    (f"_25._tcp.{HOST}", "TLSA", "no-tlsa"), (f"_imaps._tcp.{DOMAIN}", "SRV", "no-srv"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "code"), _MISSING)
def test_the_hint_about_a_missing_record_has_the_record(
    server: NameServer, name: str, kind: str, code: str
) -> None:
    server.remove(name, kind)
    (hint,) = {finding.hint for finding in found(server) if finding.code == code}
    (record,) = (each for each in advised(FACTS) if each[:2] == (name, kind))
    expected = f"setup dns {DOMAIN}" if code == "no-srv" else f"add the record {record.brief()}"
    assert expected in hint


@pytest.mark.parametrize(
    ("name", "kind", "code", "record"),
    [
        (f"_imaps._tcp.{DOMAIN}", "SRV", "wrong-srv", f"0 1 143 {HOST}."),
        (f"mail._domainkey.{DOMAIN}", "TXT", "wrong-dkim", '"p="'),
        (f"_25._tcp.{HOST}", "TLSA", "wrong-tlsa", f"3 1 1 {'00' * 32}"),
        (DOMAIN, "MX", "null-mx", "0 ."),
    ],
)
def test_the_hint_about_a_wrong_record_has_the_right_one(
    server: NameServer, name: str, kind: str, code: str, record: str
) -> None:
    changed(server, f"{name}. {kind} {record}")
    (hint,) = {f.hint for f in found(server) if f.code == code}
    (right,) = (each for each in advised(FACTS) if each[:2] == (name, kind))
    assert right.value() in hint


@pytest.mark.parametrize(("name", "kind", "code"), [*_MISSING, (f"_mta-sts.{DOMAIN}", "TXT", "")])
def test_a_record_whose_lookup_fails_is_not_called_missing(
    server: NameServer, name: str, kind: str, code: str
) -> None:
    """The finding is about the lookup, and says nothing about the record."""
    server.faults[name] = SERVFAIL
    findings = found(server)
    places = [f.where.file for f in findings if f.code == "dns-lookup-failed"]
    asked = "A" if kind == "CNAME" else kind
    assert f"{name} {asked}" in places or name.startswith("mta-sts.")
    assert len(places) == len(set(places))
    assert not {code, f"no-{asked.lower()}", "no-mta-sts"} & {f.code for f in findings}
