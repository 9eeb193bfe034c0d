"""The DNS record of a DKIM key (RFC 6376, 3.6; RFC 8463, 4)."""

from typing import NamedTuple

from mailroster.analysis.dns.record import quoted
from mailroster.analysis.dns.tags import tags_of

#: The SubjectPublicKeyInfo of an RSA key has at most so many octets before its RSAPublicKey.
_HEAD_MAX_OCTETS = 30


class DkimKey(NamedTuple):
    """The public part of a DKIM key. `public` is base64: of RSA the SubjectPublicKeyInfo, of
    Ed25519 the 32 octets. `bits` is 0 if it is not known."""

    selector: str
    kind: str  # rsa or ed25519
    public: str
    bits: int
    file: str  # relative to the config folder

    def text(self) -> str:
        """The value of its record."""
        return record(self.kind, self.public)


def record_name(domain: str, selector: str) -> str:
    """The name of the record of a key, without the final dot."""
    return f"{selector}._domainkey.{domain}"


def record(kind: str, public: str) -> str:
    """The value of the record, as one string. `kind`: rsa or ed25519; `public`: base64 of the
    public key."""
    return f"v=DKIM1; h=sha256; k={kind}; p={public}"


def zone_line(name: str, value: str) -> str:
    """The record as a line of a zone file (RFC 1035, 5.1)."""
    return f"{name}. IN TXT ( {quoted(value)} )"


def public_key(value: str) -> str:
    """The public key in the value of a record: its `p=`, without blanks; "" if it has none, or if
    the key is revoked."""
    return "".join((tags_of(value) or {}).get("p", "").split())


def key_type(value: str) -> str:
    """The type of the key in the value of a record, as rsa or ed25519."""
    return (tags_of(value) or {}).get("k", "rsa").lower()


def is_same_key(public: str, own: str) -> bool:
    """Whether a published key is an own one; both in base64. Of RSA the form of RFC 6376
    (RSAPublicKey), which is the end of the usual one, is the same key."""
    import base64
    import binascii

    if public == own:
        return True
    try:
        published, key = base64.b64decode(public, validate=True), base64.b64decode(own)
    except (binascii.Error, ValueError):
        return False
    return published == key or (
        len(published) > len(key) - _HEAD_MAX_OCTETS > 0 and key.endswith(published)
    )
