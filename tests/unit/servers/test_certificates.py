"""Whether a certificate and its key can be used: what is refused by name, and what is warned of."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from mailroster.base.findings import Location, Refused
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings, Sources, load
from mailroster.servers import certificates
from mailroster.servers.certificate_faults import judge
from mailroster.servers.pem import Pair
from mailroster.system.programs import run


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs `a` and `b`, the combined `both`, a key with a passphrase, garbage, an empty file."""
    folder = tmp_path_factory.mktemp("pem")
    for name in ("a", "b"):
        made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        made += ["-subj", f"/CN={name}.example.test", "-days", "30"]
        openssl(*made, "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt")
    locking = ["pkey", "-in", f"{folder}/a.key", "-aes256", "-passout", "pass:x"]
    openssl(*locking, "-out", f"{folder}/locked.key")
    (folder / "both").write_text((folder / "a.key").read_text() + (folder / "a.crt").read_text())
    (folder / "chain").write_text((folder / "a.crt").read_text() + (folder / "b.crt").read_text())
    (folder / "garbage").write_text("garbage\n")
    (folder / "broken").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (folder / "empty").write_text("")
    return folder


def settings(pem: Path, names: str, hostname: str = "a.example.test") -> Settings:
    given = {"home": "/nonexistent", "hostname": hostname}
    for setting, name in zip(("tls_certificate", "tls_key"), names.split(), strict=False):
        given |= {setting: f"{pem}/{name}"} if name != "-" else {}
    return load(Sources(given, {}, lambda path: b"", lambda path: False))


@pytest.mark.parametrize("names", ["a.crt a.key", "both", "both both", "chain a.key", "both a.key"])
def test_a_pair_that_belongs_together_is_used(pem: Path, names: str) -> None:
    certificates.check(settings(pem, names), Layout("/nonexistent"))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        pytest.param("a.crt b.key", ["b.key does not belong to", "a.crt"], id="another key"),
        pytest.param("a.key a.crt", ["swap tls_certificate and tls_key", "a.key"], id="swapped"),
        pytest.param("garbage a.key", ["garbage has no certificate"], id="garbage"),
        pytest.param("broken a.key", ["broken can't be used with"], id="a damaged certificate"),
        pytest.param("a.crt garbage", ["garbage has no key"], id="garbage as key"),
        pytest.param("empty a.key", ["empty is empty"], id="an empty certificate"),
        pytest.param("a.crt empty", ["TLS key", "empty is empty"], id="an empty key"),
        pytest.param("a.crt locked.key", ["locked.key has a passphrase"], id="a passphrase"),
        pytest.param("a.crt", ["a.crt has no private key", "tls_key"], id="no key at all"),
        pytest.param("none a.key", ["there is no TLS file", "/none"], id="not there"),
        pytest.param(". a.key", ["there is no TLS file"], id="a folder"),
        pytest.param("- a.key", ["tls_key is set without tls_certificate"], id="a key alone"),
    ],
)  # fmt: skip
def test_what_the_servers_cannot_use_is_refused_by_name(
    pem: Path, names: str, words: list[str]
) -> None:
    with pytest.raises(Refused) as refused:
        certificates.check(settings(pem, names), Layout("/nonexistent"))
    assert [word for word in words if word not in str(refused.value)] == []
    assert str(refused.value).isprintable()


def test_what_clients_reject_is_a_warning(pem: Path, tmp_path: Path) -> None:
    def said(names: str, hostname: str) -> list[str]:
        layout, given = Layout("/nonexistent"), settings(pem, names, hostname)
        names_of_server = certificates.server_names(given, layout)
        (source,) = certificates.sources(given, layout)
        verdict = certificates.assess(source, names_of_server).verdict
        return [certificates.words(fault) for fault in verdict.faults]

    assert said("a.crt a.key", "a.example.test") == []
    (other,) = said("a.crt a.key", "mail.example.test")
    assert other.startswith(f"the TLS certificate {pem}/a.crt is not for mail.example.test")
    asking = ["req", "-new", "-key", f"{pem}/a.key", "-subj", "/CN=a.example.test"]
    openssl(*asking, "-out", f"{tmp_path}/csr")
    for name, begin, end in (("old", "20200101", "20210101"), ("new", "20900101", "20910101")):
        (tmp_path / "ca").mkdir(exist_ok=True)
        (tmp_path / "index").write_text("")
        (tmp_path / "cnf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={tmp_path}/index\nnew_certs_dir={tmp_path}/ca\n"
            "default_md=sha256\npolicy=p\nrand_serial=yes\n[p]\ncommonName=supplied\n"
        )
        openssl(
            "ca", "-batch", "-config", f"{tmp_path}/cnf", "-selfsign", "-keyfile", f"{pem}/a.key",
            "-in", f"{tmp_path}/csr", "-out", f"{pem}/{name}.crt",
            "-startdate", f"{begin}000000Z", "-enddate", f"{end}000000Z",
        )  # fmt: skip
    (expired,) = said("old.crt a.key", "a.example.test")
    assert "expired on Jan  1 00:00:00 2021 GMT" in expired
    (future,) = said("new.crt a.key", "a.example.test")
    assert "is not valid before Jan  1 00:00:00 2090 GMT" in future


def test_a_relative_path_of_the_toml_counts_from_the_config_folder() -> None:
    toml = b"tls_certificate = 'le/cert.pem'\ntls_key = '../key.pem'\n"
    read = {"/c/d/mailroster.toml": toml}
    found = load(
        Sources({"config": "/c/d"}, {}, lambda path: read.get(path, b""), lambda path: False)
    )
    assert (found.tls_certificate, found.tls_key) == ("/c/d/le/cert.pem", "/c/key.pem")


def test_a_chain_of_a_thousand_takes_no_thousand_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two certificates that have signed each other, again and again."""
    for name in ("x", "y"):
        openssl("genpkey", "-algorithm", "ED25519", "-out", f"{tmp_path}/{name}.key")
        made = ["req", "-x509", "-key", f"{tmp_path}/{name}.key", "-subj", f"/CN={name}"]
        openssl(*made, "-out", f"{tmp_path}/{name}.own")
    for name, issuer in (("x", "y"), ("y", "x")):
        made = ["req", "-x509", "-key", f"{tmp_path}/{name}.key", "-subj", f"/CN={name}"]
        by = ["-CA", f"{tmp_path}/{issuer}.own", "-CAkey", f"{tmp_path}/{issuer}.key"]
        openssl(*made, *by, "-out", f"{tmp_path}/{name}")
    runs = []

    def counted(*words: Any, **options: Any) -> tuple[int, str, str]:
        runs.append(words)
        return run(*words, **options)

    monkeypatch.setattr("mailroster.servers.certificate_faults.run", counted)
    chain = [(tmp_path / name).read_bytes() for name in ("x", "y")] * 500
    key = (tmp_path / "x.key").read_bytes()
    assert judge(Pair(key, (*chain,)), [], Location("tls_certificate"), "/x").faults == ()
    assert len(runs) < 50
