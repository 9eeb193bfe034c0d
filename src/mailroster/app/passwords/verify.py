"""Whether a password is the one of a `{SCHEME}hash`, as Dovecot judges it.

(doc.dovecot.org/2.3, authentication/password_schemes.) crypt(3) and argon2 check their own; digests
are worked out here. No process is asked: `doveadm pw -t` wants the hash among its arguments, where
everybody on the machine could read it.

What comes after a dot in the name of a scheme is the encoding of the digest: `SSHA512.HEX`.
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
    """Whether a password fits a hash, the mark of a lock aside; compared in constant time.

    A hash without a scheme is one of crypt(3), as Dovecot is configured here. Raises Refused for a
    scheme that can't be checked here, and for a hash that Dovecot can't read.
    """
    raw = password.encode("utf-8", "surrogateescape")
    if b"\0" in raw or not raw:
        return False
    scheme, dot, encoding = scheme_of(hash).partition(".")
    check = _CHECKS.get(scheme)
    if check is None or (dot and encoding not in _ENCODINGS):
        named = f"the scheme {scheme}{dot}{encoding}"
        raise Refused(f"{named} can't be checked here; log in with the password to try it")
    if is_impossible(hash):
        raise Refused(f"no password fits the hash, which is none of {scheme}; {remedy(hash)}")
    try:
        return check(raw, Stored(scheme, encoding, hash_behind(hash)))
    except ValueError:
        raise Refused(f"the hash is damaged: it is none of {scheme}") from None


class Stored(NamedTuple):
    """A hash, taken apart."""

    scheme: str
    encoding: str  # "" where none is named
    rest: str

    def text(self) -> str:
        """What is behind the scheme, in plain text."""
        return _decoded(self.rest, self.encoding).decode() if self.encoding else self.rest


def _decoded(text: str, encoding: str) -> bytes:
    """Raises ValueError."""
    return unhexlify(text) if encoding == "HEX" else b64decode(text, validate=True)


def _fits_plain(raw: bytes, stored: Stored) -> bool:
    return hmac.compare_digest(raw, stored.text().encode("utf-8", "surrogateescape"))


def _fits_crypt(raw: bytes, stored: Stored) -> bool:
    """A password that crypt(3) gives no hash for, as one that is too long, fits none."""
    rest = stored.text()
    try:
        made = Crypt()(raw, rest)
    except Refused:
        return False
    return hmac.compare_digest(made.encode(), rest.encode("utf-8", "surrogateescape"))


def _fits_argon2(raw: bytes, stored: Stored) -> bool:
    import argon2

    try:
        return argon2.PasswordHasher().verify(stored.text(), raw)
    except argon2.exceptions.VerifyMismatchError:
        return False
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHash):
        raise ValueError from None


def _fits_digest(raw: bytes, stored: Stored) -> bool:
    """The digest, and behind it the salt if there is one. Hexadecimal is known by its length where
    nothing names the encoding."""
    name, salted = _DIGESTS[stored.scheme]
    if stored.scheme == "MD5" and _is_crypt(stored):
        return _fits_crypt(raw, stored)
    size = hashlib.new(name).digest_size
    encoding = stored.encoding or ("HEX" if len(stored.rest) == 2 * size else "B64")
    found = _decoded(stored.rest, encoding)
    digest, salt = found[:size], found[size:]
    if len(digest) < size or bool(salt) != salted:
        raise ValueError
    return hmac.compare_digest(hashlib.new(name, raw + salt).digest(), digest)


def _is_crypt(stored: Stored) -> bool:
    """Whether a hash of the scheme MD5 is one of crypt(3), and not a digest."""
    try:
        return stored.text().startswith("$")
    except ValueError:
        return False


def _fits_pbkdf2(raw: bytes, stored: Stored) -> bool:
    """`$1$salt$rounds$digest`, by SHA-1 and in hexadecimal."""
    empty, version, salt, rounds, digest = stored.text().split("$")
    if empty or version != "1":
        raise ValueError
    made = hashlib.pbkdf2_hmac("sha1", raw, salt.encode(), int(rounds), 20)
    return hmac.compare_digest(made, unhexlify(digest))


def _fits_scram(raw: bytes, stored: Stored) -> bool:
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
