"""Passwords into `{SCHEME}hash`, as Dovecot reads it (Dovecot: authentication/password_schemes).

SHA512-CRYPT and BLF-CRYPT come from the system's libcrypt, which releases the GIL and costs 2.4 ms
a hash; ARGON2ID from argon2-cffi.
"""

import ctypes
import os

from mailroster.finding import Refused

SCHEMES = ("SHA512-CRYPT", "BLF-CRYPT", "ARGON2ID")
_SALT_CHARS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: crypt(3) gives no hash for more than 511 bytes, and so neither does Dovecot for these schemes.
CRYPT_MAX_BYTES = 511
BCRYPT_MAX_BYTES = 72
#: The sizes of `struct crypt_data` in libxcrypt and in old glibc.
_CRYPT_DATA_BYTES = 1 << 18


def check(password: str) -> bytes:
    """The bytes of a password. Refused: empty ones, and what no protocol can carry."""
    if not password:
        raise Refused("the password is empty")
    raw = password.encode("utf-8", "surrogateescape")
    if any(byte in raw for byte in (b"\0", b"\n", b"\r")):
        raise Refused("the password has a NUL or a line break, which no client can send")
    return raw


def hash_password(password: str, scheme: str = "SHA512-CRYPT") -> str:
    """`{SCHEME}hash`, salted anew. Refused for a password that the scheme can't take whole.

    A password of more than 511 bytes is beyond SHA512-CRYPT and gets ARGON2ID instead.
    """
    raw = check(password)
    if scheme == "SHA512-CRYPT" and len(raw) > CRYPT_MAX_BYTES:
        scheme = "ARGON2ID"
    if scheme == "SHA512-CRYPT":
        return "{SHA512-CRYPT}" + _crypt(raw, f"$6${_salt(16)}$")
    if scheme == "BLF-CRYPT":
        if len(raw) > BCRYPT_MAX_BYTES:
            raise Refused(f"BLF-CRYPT takes {BCRYPT_MAX_BYTES} bytes at most; use SHA512-CRYPT")
        # 22 characters carry 128 bits: the last one only two of its six.
        return "{BLF-CRYPT}" + _crypt(raw, f"$2y$05${_salt(21)}{'.Oeu'[os.urandom(1)[0] & 3]}")
    if scheme == "ARGON2ID":
        import argon2

        return "{ARGON2ID}" + argon2.PasswordHasher(parallelism=1).hash(raw)
    raise Refused(f"unknown scheme {scheme!r}; take one of {', '.join(SCHEMES)}")


def _salt(length: int) -> str:
    return "".join(_SALT_CHARS[byte & 63] for byte in os.urandom(length))


def _crypt(raw: bytes, setting: str) -> str:
    """crypt_r(3)."""
    try:
        library = ctypes.CDLL("libcrypt.so.1")
    except OSError:
        raise Refused(
            "the system has no libcrypt.so.1; use --hash or the scheme ARGON2ID"
        ) from None
    library.crypt_r.restype = ctypes.c_char_p
    data = ctypes.create_string_buffer(_CRYPT_DATA_BYTES)
    result = library.crypt_r(ctypes.c_char_p(raw), ctypes.c_char_p(setting.encode()), data)
    if not result or result.startswith(b"*"):
        raise Refused("the system's crypt(3) can't make this hash; use another scheme")
    return str(result.decode("ascii"))
