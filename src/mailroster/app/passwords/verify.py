"""Verifies a password against a `{SCHEME}hash`, as Dovecot does.

(doc.dovecot.org/2.3, authentication/password_schemes.) crypt(3) and argon2 verify their own hashes;
digests are computed by this module. It does not use `doveadm pw -t`, which needs the hash as an
argument: all users of the machine could read it.

A suffix of a scheme names the encoding of the digest: `SSHA512.HEX`.
"""

import hashlib
import hmac
from base64 import b64decode
from binascii import unhexlify
from typing import NamedTuple

from mailroster.analysis.checks.secrets import is_impossible, remedy, scheme_of
from mailroster.app.passwords.hashing import Crypt
from mailroster.base.findings import Refused
from mailroster.roster.formats.hash_cost import hash_behind

_CRYPT = frozenset(("CRYPT", "DES-CRYPT", "MD5-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT"))
_ARGON2 = frozenset(("ARGON2I", "ARGON2ID"))
_PLAIN = frozenset(("PLAIN", "CLEAR", "CLEARTEXT"))
#: Scheme -> digest, and whether a salt follows it.
_DIGESTS = {
    "SHA": ("sha1", False), "SHA1": ("sha1", False), "SHA256": ("sha256", False),
    "SHA512": ("sha512", False), "LDAP-MD5": ("md5", False), "PLAIN-MD5": ("md5", False),
    "MD5": ("md5", False),
    "SSHA": ("sha1", True), "SSHA256": ("sha256", True), "SSHA512": ("sha512", True),
    "SMD5": ("md5", True),
}  # fmt: skip
_SCRAM = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}
_ENCODINGS = frozenset(("HEX", "B64", "BASE64"))


def is_right(password: str, hash: str) -> bool:
    """Whether a password matches a hash, locked or not; compares in constant time.

    A hash without a scheme is one of crypt(3), as mailroster configures Dovecot. Raises Refused for
    a scheme that this module can't verify, and for a hash that Dovecot can't read.
    """
    raw = password.encode("utf-8", "surrogateescape")
    if b"\0" in raw or not raw:
        return False
    scheme, dot, encoding = scheme_of(hash).partition(".")
    check = _CHECKS.get(scheme)
    if check is None or (dot and encoding not in _ENCODINGS):
        raise Refused(
            f"mailroster can't verify the scheme {scheme}{dot}{encoding}; log in with the password "
            "to try it"
        )
    if is_impossible(hash):
        raise Refused(
            f"no password matches the hash: it is not a valid {scheme} hash; {remedy(hash)}"
        )
    try:
        return check(raw, StoredHash(scheme, encoding, hash_behind(hash)))
    except ValueError:
        raise Refused(f"the hash is damaged: it is not a valid {scheme} hash") from None


class StoredHash(NamedTuple):
    """The parts of a hash."""

    scheme: str
    encoding: str  # "" for none
    rest: str

    def text(self) -> str:
        """The text after the scheme, decoded."""
        return _decoded(self.rest, self.encoding).decode() if self.encoding else self.rest


def _decoded(text: str, encoding: str) -> bytes:
    """Raises ValueError."""
    return unhexlify(text) if encoding == "HEX" else b64decode(text, validate=True)


def _fits_plain(raw: bytes, stored: StoredHash) -> bool:
    return hmac.compare_digest(raw, stored.text().encode("utf-8", "surrogateescape"))


def _fits_crypt(raw: bytes, stored: StoredHash) -> bool:
    """A password that crypt(3) can't hash, such as a long one, matches no hash."""
    rest = stored.text()
    try:
        made = Crypt()(raw, rest)
    except Refused:
        return False
    return hmac.compare_digest(made.encode(), rest.encode("utf-8", "surrogateescape"))


def _fits_argon2(raw: bytes, stored: StoredHash) -> bool:
    import argon2

    try:
        return argon2.PasswordHasher().verify(stored.text(), raw)
    except argon2.exceptions.VerifyMismatchError:
        return False
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHash):
        raise ValueError from None


def _fits_digest(raw: bytes, stored: StoredHash) -> bool:
    """Compares the digest, which the salt follows. Without an encoding, the length shows whether it
    is hexadecimal."""
    name, salted = _DIGESTS[stored.scheme]
    if stored.scheme == "MD5" and _is_crypt(stored):
        return _fits_crypt(raw, stored)
    size = hashlib.new(name).digest_size
    encoding = stored.encoding or ("HEX" if len(stored.rest) == 2 * size else "B64")
    raw_digest = _decoded(stored.rest, encoding)
    digest, salt = raw_digest[:size], raw_digest[size:]
    if len(digest) < size or bool(salt) != salted:
        raise ValueError
    return hmac.compare_digest(hashlib.new(name, raw + salt).digest(), digest)


def _is_crypt(stored: StoredHash) -> bool:
    """Whether a hash of the scheme MD5 is one of crypt(3), not a digest."""
    try:
        return stored.text().startswith("$")
    except ValueError:
        return False


def _fits_pbkdf2(raw: bytes, stored: StoredHash) -> bool:
    """`$1$salt$rounds$digest`, by SHA-1 and in hexadecimal."""
    empty, version, salt, rounds, digest = stored.text().split("$")
    if empty or version != "1":
        raise ValueError
    made = hashlib.pbkdf2_hmac("sha1", raw, salt.encode(), int(rounds), 20)
    return hmac.compare_digest(made, unhexlify(digest))


def _fits_scram(raw: bytes, stored: StoredHash) -> bool:
    """`rounds,salt,stored-key,server-key` (RFC 5802)."""
    name = _SCRAM[stored.scheme]
    rounds, salt, kept, _ = stored.text().split(",")
    salted = hashlib.pbkdf2_hmac(name, raw, b64decode(salt, validate=True), int(rounds))
    client_key = hmac.digest(salted, b"Client Key", name)
    made = hashlib.new(name, client_key).digest()
    return hmac.compare_digest(made, b64decode(kept, validate=True))


_CHECKS = {
    **dict.fromkeys(_CRYPT, _fits_crypt),
    **dict.fromkeys(_ARGON2, _fits_argon2),
    **dict.fromkeys(_PLAIN, _fits_plain),
    **dict.fromkeys(_DIGESTS, _fits_digest),
    **dict.fromkeys(_SCRAM, _fits_scram),
    "PBKDF2": _fits_pbkdf2,
}
