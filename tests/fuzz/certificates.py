"""What must hold of files with certificates, which other programs write."""

import base64
import functools
import os
import tempfile

from mailroster.base.findings import Refused
from mailroster.servers import certificates, pem

_NAMES = ("mail.x.test", "x.test")


def blocks(raw: bytes) -> None:
    """The blocks of a file, written again, are the same, and contain nothing else."""
    found = pem.blocks(raw)
    kept = b"".join((*found.keys, *found.certificates))
    assert pem.blocks(kept) == (found.certificates, found.keys, False)
    lines = {line.rstrip() for line in raw.splitlines()}
    if b"-----BEGIN CERTIFICATE-----" in lines:
        assert found.certificates or found.is_cut
    assert set(kept.splitlines()) <= lines


def acme_json(raw: bytes) -> None:
    try:
        found = pem.in_acme_json(raw, _NAMES)
    except ValueError:
        return
    assert found is None or all(isinstance(part, bytes) for part in found)


@functools.cache
def _folder() -> str:
    return tempfile.mkdtemp(prefix="mailroster-fuzz-")


def pair(raw: bytes) -> None:
    """The file of a certificate and that of a key, with a NUL between: used or refused in words
    that show nothing of the key."""
    paths = [os.path.join(_folder(), name) for name in ("cert.pem", "key.pem")]
    certificate, _, key = raw.partition(b"\0")
    for path, content in zip(paths, (certificate, key), strict=True):
        with open(path, "wb") as file:
            file.write(content)
    settings = ("tls_certificate", "tls_key")
    source = certificates.Source(paths[0], paths[1], settings, f"{paths[0]}.copy", _NAMES)
    try:
        found = certificates.read_pair(source)
    except Refused as refusal:
        text = str(refusal)
        assert text.isprintable()
        assert len(text) < 700
        lines = (line.strip().decode("ascii", "replace") for line in key.split(b"\n"))
        assert not any(line in text for line in lines if len(line) > 20 and line[0] != "-")
        return
    assert pem.blocks(found.raw()) == (found.chain, (found.key,), False)
    for block in (found.key, *found.chain):
        middle = b"".join(block.split(b"\n")[1:-2])
        assert b":" in middle or base64.b64decode(middle)
