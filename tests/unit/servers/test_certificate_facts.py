"""What DNS records say about the TLS certificate, against openssl."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from mailroster.servers.certificate_facts import CertificateFacts, certificate_facts


def make(folder: Path, subject: str, *options: str) -> tuple[Path, str]:
    """A self-signed certificate, and the SHA-256 of its public key as openssl computes it."""
    path, key = folder / "cert.pem", folder / "key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9"]
    argv += ["-subj", subject, "-keyout", str(key), "-out", str(path), *options]
    subprocess.run(argv, check=True, capture_output=True)
    der = subprocess.run(
        ["openssl", "pkey", "-in", str(key), "-pubout", "-outform", "DER"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    return path, hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize(
    ("subject", "issuer"),
    [
        ("/O=Let's Encrypt/CN=R1", "Let's Encrypt"),
        ("/CN=mail.example.com", ""),
        ("/O=A, B = C\\/commonName=x/CN=y", "A, B = C/commonName=x"),
    ],
)
def test_the_issuer_and_the_key(tmp_path: Path, subject: str, issuer: str) -> None:
    path, checksum = make(tmp_path, subject)
    assert certificate_facts(str(path)) == CertificateFacts(issuer, checksum)


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\0\xff"])
def test_without_a_certificate_nothing_is_known(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "cert.pem"
    if content is not None:
        path.write_bytes(content)
    assert certificate_facts(str(path)) == CertificateFacts()
