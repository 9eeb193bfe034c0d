"""What DNS records say about the TLS certificate: its authority, and the checksum of its key."""

import base64
import hashlib
import os
import re
from typing import NamedTuple

from mailroster.base.findings import ServerError
from mailroster.system.programs import program, run


class CertificateFacts(NamedTuple):
    """`issuer` is the organisation in the issuer. `key_sha256` is the checksum of the
    SubjectPublicKeyInfo in hexadecimal (TLSA 3 1 1, RFC 6698). Both are "" if not known."""

    issuer: str = ""
    key_sha256: str = ""


def certificate_facts(path: str) -> CertificateFacts:
    """The facts about the first certificate of a PEM file; none if it can't be read."""
    if not os.path.isfile(path) or program("openssl") is None:
        return CertificateFacts()
    options = ["-noout", "-issuer", "-nameopt", "sep_multiline,utf8,lname", "-pubkey"]
    try:
        code, out, _ = run(["openssl", "x509", "-in", path, *options])
    except ServerError:
        return CertificateFacts()
    key = re.search(r"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END", out)
    if code or key is None:
        return CertificateFacts()
    organisation = re.search(r"^\s*organizationName=(.*)$", out, re.MULTILINE)
    checksum = hashlib.sha256(base64.b64decode("".join(key[1].split()))).hexdigest()
    return CertificateFacts(organisation[1].strip() if organisation else "", checksum)
