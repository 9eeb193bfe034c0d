"""When a new pair replaces the copy that the servers read, and what is said of both."""

import json
import shutil
import time
from base64 import b64encode
from pathlib import Path

import pytest

from mailroster.base.findings import Refused
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, Sources, load
from mailroster.servers import certificates
from mailroster.servers.certificates import Assessment
from tests.support.pki import Authority, Issued, openssl

HOST = "mail.x.test"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


class Place:
    """The files of one pair, and an instance that reads them."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.chain, self.key = folder / "fullchain.pem", folder / "privkey.pem"
        given = {"home": str(folder), "hostname": HOST, "tls_certificate": str(self.chain)}
        given |= {"tls_key": str(self.key), **options}
        self.settings: Settings = load(Sources(given, {}, lambda path: b"", lambda path: False))
        self.layout = Layout(self.settings.state)
        Path(self.layout.tls).mkdir(parents=True, exist_ok=True)

    def write(self, issued: Issued) -> None:
        self.chain.write_text(issued.chain)
        self.key.write_text(issued.key)

    def assess(self) -> Assessment:
        names = certificates.server_names(self.settings, self.layout)
        return certificates.assess(certificates.sources(self.settings, self.layout)[0], names)

    def renew(self) -> Assessment:
        assessment = self.assess()
        certificates.put_in_force(assessment, self.layout)
        return assessment

    def copy(self) -> str:
        return Path(self.layout.tls, "active.pem").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_copy_has_the_key_and_then_the_chain(place: Place, authority: Authority) -> None:
    issued = authority.issue(HOST)
    place.write(issued)
    place.renew()
    first, _, rest = place.copy().partition("\n")
    assert first == f"# A copy by mailroster of {place.chain} {place.key}"
    assert rest == issued.key + issued.chain
    assert place.assess().new is None


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        pytest.param((HOST, 60), (HOST, 60), "", id="good after good"),
        pytest.param((HOST, -1), (HOST, 60), "", id="good after one that has expired"),
        pytest.param((HOST, 60), (HOST, -1), "certificate-expired", id="expired after good"),
        pytest.param((HOST, -1), (HOST, -1), "", id="expired after expired"),
        pytest.param((HOST, 60), (HOST, 5), "", id="ends soon after good"),
        pytest.param((HOST, 60), ("other.test", 60), "certificate-name", id="another name"),
        pytest.param(("other.test", 60), ("other.test", 60), "", id="another name as before"),
        pytest.param(("*.x.test", 60), (HOST, 60), "", id="after a wildcard"),
        pytest.param((HOST, 60), ("*.x.test", 60), "", id="a wildcard"),
        pytest.param((HOST, 60), ("*.mail.x.test", 60), "certificate-name", id="one level more"),
    ],
)
def test_a_new_pair_is_used_unless_it_has_a_fault_that_the_old_one_does_not_have(
    place: Place, authority: Authority, old: tuple[str, int], new: tuple[str, int], code: str
) -> None:
    place.write(authority.issue(old[0], days=old[1]))
    place.renew()
    before = place.copy()
    issued = authority.issue(new[0], days=new[1])
    place.write(issued)
    refusal = place.renew().refusal
    assert (refusal.code if refusal else "") == code
    assert place.copy() == before if code else issued.key + issued.chain in place.copy()


def test_files_that_cannot_be_used_leave_the_copy(place: Place, authority: Authority) -> None:
    with pytest.raises(Refused):
        certificates.check(place.settings, place.layout)
    place.write(authority.issue(HOST))
    place.renew()
    before = place.copy()
    place.key.write_text(authority.issue(HOST).key)
    refusal = place.renew().refusal
    assert refusal is not None
    assert (refusal.code, place.copy()) == ("unusable-certificate", before)
    certificates.check(place.settings, place.layout)
    shutil.rmtree(place.layout.tls)
    with pytest.raises(Refused):
        certificates.check(place.settings, place.layout)


def test_a_copy_of_other_files_is_none(tmp_path: Path, authority: Authority) -> None:
    place = Place(tmp_path)
    place.write(authority.issue(HOST))
    place.renew()
    other = Place(tmp_path, tls_certificate=str(tmp_path / "other.pem"))
    with pytest.raises(Refused, match=r"there is no TLS file .*other\.pem"):
        certificates.check(other.settings, other.layout)


def test_a_damaged_copy_is_made_again(place: Place, authority: Authority) -> None:
    issued = authority.issue(HOST)
    place.write(issued)
    place.renew()
    Path(place.layout.tls, "active.pem").write_text(place.copy()[:700])
    place.renew()
    assert place.copy().endswith(issued.key + issued.chain)


@pytest.mark.parametrize("order", ["root first", "twice", "foreign"])
def test_the_order_of_the_chain(place: Place, authority: Authority, order: str) -> None:
    issued = authority.issue(HOST)
    good = [issued.certificate, authority.intermediate, authority.root]
    place.write(issued)
    for count in (1, 2, 3):
        place.chain.write_text("".join(good[:count]))
        assert place.assess().verdict.faults == ()
    bad = {
        "root first": [good[0], good[2], good[1]],
        "twice": [good[0], good[0], good[1]],
        "foreign": [good[0], authority.issue("y.test").certificate],
    }[order]
    place.chain.write_text("".join(bad))
    assert [fault.code for fault in place.assess().verdict.faults] == ["certificate-chain"]


@pytest.mark.parametrize(
    ("days", "words"),
    [(13, "in 13 days"), (1, "in 1 day"), (0, "in less than a day"), (15, "")],
)
def test_an_end_within_two_weeks_is_reported(
    place: Place, authority: Authority, days: int, words: str
) -> None:
    place.write(authority.issue(HOST, days=days))
    faults = place.assess().verdict.faults
    assert [fault.code for fault in faults] == (["certificate-ends"] if words else [])
    assert all(words in fault.message for fault in faults)


def test_a_name_of_the_setting_will_do(tmp_path: Path, authority: Authority) -> None:
    place = Place(tmp_path, tls_domain="*.other.test")
    place.write(authority.issue("other.test"))
    assert place.assess().verdict.faults == ()


def test_an_acme_json_is_followed_too(tmp_path: Path, authority: Authority) -> None:
    file = tmp_path / "acme.json"
    place = Place(tmp_path, tls_certificate=str(file), tls_key="")
    issued = authority.issue("*.x.test")
    pair = {
        "certificate": b64encode(issued.chain.encode()).decode(),
        "key": b64encode(issued.key.encode()).decode(),
    }
    file.write_text(
        json.dumps({"le": {"Certificates": [{"domain": {"main": "*.x.test"}, **pair}]}})
    )
    place.renew()
    assert place.copy().endswith(issued.key + issued.chain)
    file.write_text("{")
    refusal = place.assess().refusal
    assert refusal is not None
    assert "is not an acme.json of Traefik" in refusal.message
    file.write_text('{"le": {"Certificates": []}}')
    refusal = place.assess().refusal
    assert refusal is not None
    assert f"has no certificate for {HOST}" in refusal.message


def test_two_pairs_of_one_type_are_reported(tmp_path: Path, authority: Authority) -> None:
    alternative = tmp_path / "alt.pem"
    place = Place(tmp_path, tls_alt_certificate=str(alternative))
    place.write(authority.issue(HOST))
    names = certificates.server_names(place.settings, place.layout)
    for kind, codes in (("ec", ["certificate-type"]), ("rsa", [])):
        other = authority.issue(HOST, kind=kind)
        alternative.write_text(other.chain + other.key)
        every = [
            certificates.assess(source, names)
            for source in certificates.sources(place.settings, place.layout)
        ]
        assert [fault.code for fault in certificates.same_type(every)] == codes


def test_a_second_pair_alone_is_refused(tmp_path: Path) -> None:
    given = {"home": str(tmp_path), "hostname": HOST, "tls_alt_certificate": "/a"}
    settings = load(Sources(given, {}, lambda path: b"", lambda path: False))
    with pytest.raises(Refused, match="tls_alt_certificate is set without tls_certificate"):
        certificates.check(settings, Layout(settings.state))


def test_a_key_never_appears_in_a_message(place: Place, authority: Authority) -> None:
    key = authority.issue(HOST).key
    place.chain.write_text(key)
    place.key.write_text(key.replace("PRIVATE", "PUBLIC"))
    with pytest.raises(Refused) as refused:
        place.assess()
    assert not any(line in str(refused.value) for line in key.split("\n")[1:-2])


def test_a_hostile_name_in_a_certificate_forges_no_date(place: Place, authority: Authority) -> None:
    (authority.folder / "h.key").write_text(authority.issue(HOST).key)
    place.key.write_text((authority.folder / "h.key").read_text())
    place.chain.write_text(
        openssl(
            "req", "-x509", "-key", str(place.key), "-utf8", "-days", "3", "-addext",
            f"subjectAltName=DNS:{HOST}", "-subj", "/CN=x\nnotAfter=Jan  1 00:00:00 2090 GMT",
        )
    )  # fmt: skip
    verdict = place.assess().verdict
    assert [fault.code for fault in verdict.faults] == ["certificate-ends"]
    assert verdict.ends_s < time.time() + 4 * 86400
