"""The places of docker-mailserver, on real servers: Traefik's acme.json, a custom file, two
pairs."""

import json
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.instance import Instance, until
from tests.support.pki import Authority, Issued

HOST = "mail.example.test"
#: STARTTLS of openssl s_client by port.
PORTS = {"smtp": "smtp", "submission": "smtp", "submissions": "", "imap": "imap", "imaps": ""}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def instance() -> Iterator[Instance]:
    made = Instance()
    try:
        yield made
    finally:
        made.close()


def shown(instance: Instance, port: str, *options: str) -> str:
    starttls = ["-starttls", PORTS[port]] if PORTS[port] else []
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{instance.ports[port]}", *starttls]
    return subprocess.run([*argv, *options], input="", capture_output=True, text=True).stdout


def in_force(instance: Instance, issued: Issued, *options: str) -> bool:
    return all(issued.certificate.strip() in shown(instance, port, *options) for port in PORTS)


def acme_json(folder: Path, issued: Issued) -> Path:
    """A file as Traefik writes it: another one, renamed over."""
    pair = {
        "certificate": b64encode(issued.chain.encode()).decode(),
        "key": b64encode(issued.key.encode()).decode(),
    }
    entry = {"domain": {"main": "*.example.test"}, **pair, "Store": "default"}
    new = folder / "acme.json.new"
    new.write_text(json.dumps({"le": {"Account": {"Email": ""}, "Certificates": [entry]}}))
    new.chmod(0o600)
    return new.rename(folder / "acme.json")


def test_a_certificate_of_traefik_is_used_and_followed(
    instance: Instance, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (authority.issue("*.example.test") for _ in range(2))
    monkeypatch.setenv("SSL_TYPE", "manual")
    monkeypatch.setenv("SSL_CERT_PATH", str(acme_json(instance.home, first)))
    instance.start()
    assert in_force(instance, first)
    acme_json(instance.home, second)
    until(lambda: in_force(instance, second), 60, instance.log.read_text)


def test_a_custom_file_is_followed(
    instance: Instance, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (authority.issue(HOST) for _ in range(2))
    file = instance.config / f"ssl/{HOST}-full.pem"
    file.parent.mkdir()
    file.write_text(first.chain + first.key)
    monkeypatch.setenv("SSL_TYPE", "custom")
    instance.start()
    assert in_force(instance, first)
    file.write_text(second.key + second.chain)
    until(lambda: in_force(instance, second), 60, instance.log.read_text)


def test_two_pairs_are_shown_to_the_clients_that_need_them_and_both_are_followed(
    instance: Instance, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(name: str, issued: Issued) -> None:
        for end, text in (("crt", issued.chain), ("key", issued.key)):
            (instance.home / f"{name}.{end}").write_text(text)

    def are_in_force(rsa: Issued, ecdsa: Issued) -> bool:
        of_rsa = ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384")
        of_ecdsa = ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384")
        return in_force(instance, rsa, *of_rsa) and in_force(instance, ecdsa, *of_ecdsa)

    rsa, ecdsa = authority.issue(HOST, kind="rsa"), authority.issue(HOST)
    write("rsa", rsa)
    write("ecdsa", ecdsa)
    for variable, file in (
        ("SSL_CERT_PATH", "rsa.crt"), ("SSL_KEY_PATH", "rsa.key"),
        ("SSL_ALT_CERT_PATH", "ecdsa.crt"), ("SSL_ALT_KEY_PATH", "ecdsa.key"),
    ):  # fmt: skip
        monkeypatch.setenv(variable, str(instance.home / file))
    monkeypatch.setenv("SSL_TYPE", "manual")
    instance.start()
    assert are_in_force(rsa, ecdsa)
    ecdsa = authority.issue(HOST)
    write("ecdsa", ecdsa)
    until(lambda: are_in_force(rsa, ecdsa), 60, instance.log.read_text)
    rsa = authority.issue(HOST, kind="rsa")
    write("rsa", rsa)
    until(lambda: are_in_force(rsa, ecdsa), 60, instance.log.read_text)


def test_a_certificate_of_the_overrides_is_used_by_postfix(
    instance: Instance, authority: Authority
) -> None:
    """As before there were settings for a second one."""
    own = authority.issue(HOST)
    (instance.home / "own.pem").write_text(own.key + own.chain)
    instance.file("postfix-main.cf").write_text(
        f"smtpd_tls_cert_file = {instance.home}/own.pem\n"
        f"smtpd_tls_key_file = {instance.home}/own.pem\n"
    )
    instance.start()
    for port in ("smtp", "submission", "submissions"):
        assert own.certificate.strip() in shown(instance, port)


def test_check_and_status_warn_before_the_end(
    instance: Instance, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = authority.issue(HOST, days=10)
    file = instance.home / "both.pem"
    file.write_text(issued.key + issued.chain)
    monkeypatch.setenv("SSL_CERT_PATH", str(file))
    instance.start()
    status = instance.run("status")
    assert status.returncode == 0
    assert f"certificate: {file}, valid until 20" in status.stdout
    assert "in 10 days; renew it; does its renewal still work? [certificate-ends]" in status.stdout
    (certificate,) = json.loads(instance.run("status", "--json").stdout)["certificates"]
    assert certificate["file"] == str(file)
    assert [finding["code"] for finding in certificate["findings"]] == ["certificate-ends"]
    assert certificate["refused"] is None
    assert "[certificate-ends]" in instance.run("check").stdout
    assert "in 10 days" in instance.log.read_text()
    file.write_text("")
    check = instance.run("check")
    assert (check.returncode, "[unusable-certificate]" in check.stdout) == (1, True)
