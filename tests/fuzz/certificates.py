"""What must hold of files with certificates, which other programs write."""

from mailroster.servers import pem

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
