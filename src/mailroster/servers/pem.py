"""PEM files (RFC 7468) and Traefik's acme.json: a certificate with its chain, and its key."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

#: Labels of certificates that both servers read.
CERTIFICATES = frozenset((b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"))
_BEGIN, _END, _RULE = b"-----BEGIN ", b"-----END ", b"-----"


class Pair(NamedTuple):
    """A private key, and its certificate with the intermediate ones, as blocks of PEM."""

    key: bytes
    chain: tuple[bytes, ...]

    def raw(self) -> bytes:
        """One file with all of them. The key is first, as smtpd_tls_chain_files requires
        (postconf(5))."""
        return b"".join((self.key, *self.chain))


class Blocks(NamedTuple):
    """The blocks of a file: its certificates, its private keys, and whether a block has no end, as
    in a file that is being written."""

    certificates: tuple[bytes, ...]
    keys: tuple[bytes, ...]
    is_cut: bool


def blocks(raw: bytes) -> Blocks:
    """The blocks of a file. Text between them is ignored, and so are other kinds of blocks."""
    certificates, keys = list[bytes](), list[bytes]()
    label, lines, is_cut = b"", list[bytes](), False
    for line in raw.splitlines():
        line = line.rstrip()
        if line.startswith(_BEGIN) and line.endswith(_RULE):
            is_cut = is_cut or bool(label)
            label, lines = line[len(_BEGIN) : -len(_RULE)], []
        if not label:
            continue
        lines.append(line)
        if line == _END + label + _RULE:
            block = b"\n".join(lines) + b"\n"
            if label in CERTIFICATES:
                certificates.append(block)
            elif label.endswith(b"PRIVATE KEY"):
                keys.append(block)
            label = b""
    return Blocks(tuple(certificates), tuple(keys), is_cut or bool(label))


def in_acme_json(raw: bytes, names: Sequence[str]) -> tuple[bytes, bytes] | None:
    """The certificate and the key in an acme.json of Traefik, for the first of the names that one
    has: that very name, or a wildcard for it. None if there is none.

    Traefik 2 and later have an object for each resolver, Traefik 1 has one in all:

        {"le": {"Certificates": [{"domain": {"main": "a.b", "sans": ["c.b"]},
                                  "certificate": BASE64 OF PEM, "key": BASE64 OF PEM}]}}

    Raises ValueError for another format.
    """
    import base64
    import json

    try:
        content = _lower(json.loads(raw))
        entries = list(_entries(content))
    except RecursionError:
        raise ValueError("too many levels") from None
    for wanted in [each for name in names for each in (name, f"*.{name.partition('.')[2]}")]:
        for entry in entries:
            if wanted.lower() in _names(entry.get("domain")):
                pair = entry.get("certificate"), entry.get("key")
                if isinstance(pair[0], str) and isinstance(pair[1], str):
                    return base64.b64decode(pair[0]), base64.b64decode(pair[1])
    return None


def _lower(value: Any) -> Any:
    """A value of JSON with the keys of all objects in lower case: Traefik 1 writes `Domain`."""
    if isinstance(value, dict):
        return {key.lower(): _lower(each) for key, each in value.items()}
    return [_lower(each) for each in value] if isinstance(value, list) else value


def _entries(content: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(content, dict):
        raise ValueError("no object")
    for resolver in (content, *content.values()):
        certificates = resolver.get("certificates") if isinstance(resolver, dict) else None
        if isinstance(certificates, list):
            yield from (entry for entry in certificates if isinstance(entry, dict))


def _names(domain: Any) -> set[str]:
    if not isinstance(domain, dict):
        return set()
    others = domain.get("sans")
    names = [domain.get("main"), *(others if isinstance(others, list) else ())]
    return {name.lower() for name in names if isinstance(name, str)}
