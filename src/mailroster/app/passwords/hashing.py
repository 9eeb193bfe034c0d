"""Hashes passwords as `{SCHEME}hash` for Dovecot (Dovecot: authentication/password_schemes).

SHA512-CRYPT and BLF-CRYPT come from the system's libcrypt; a hash takes 2.4 ms by default, without
the GIL. ARGON2ID comes from argon2-cffi.
"""

import ctypes
import os
from collections import deque
from collections.abc import Callable, Sequence

from mailroster.base.findings import Refused
from mailroster.roster.formats.hash_cost import SCHEMES, Cost, default_cost

_SALT_CHARS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: crypt(3), and so Dovecot, can't hash more bytes with these schemes.
CRYPT_MAX_BYTES = 511
BCRYPT_MAX_BYTES = 72
#: The sizes of `struct crypt_data` in libxcrypt and in old glibc.
_CRYPT_DATA_BYTES = 1 << 18
#: The interval of progress reports.
_PROGRESS_S = 0.1


#: Letters and digits that are not confused with each other, in print or on the telephone.
_READABLE = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP = 4, 6


def generate(min_length: int = 0) -> str:
    """A random password like `k3wz9p-…`: 24 characters out of 31 have 118 bits; more if it must be
    longer."""
    groups = [_group() for _ in range(_GROUPS)]
    while len(password := "-".join(groups)) < min_length:
        groups.append(_group())
    return password


def _group() -> str:
    count = len(_READABLE)
    limit = 256 - 256 % count  # bytes from here on would make some characters more frequent
    group = ""
    while len(group) < _GROUP:
        group += "".join(_READABLE[byte % count] for byte in os.urandom(_GROUP) if byte < limit)
    return group[:_GROUP]


def check(password: str) -> bytes:
    """The bytes of a password. Raises Refused if it is empty, or no protocol can transmit it."""
    if not password:
        raise Refused("the password is empty")
    raw = password.encode("utf-8", "surrogateescape")
    if any(byte in raw for byte in (b"\0", b"\n", b"\r")):
        raise Refused("the password has a NUL or a line break, which no client can send")
    return raw


def effective_scheme(password: str, scheme: str) -> str:
    """The scheme for a password. Raises Refused if the scheme can't hash all of it.

    A password of more than 511 bytes gets ARGON2ID instead of SHA512-CRYPT.
    """
    raw = check(password)
    if scheme not in SCHEMES:
        raise Refused(f"unknown scheme {scheme!r}; use one of {', '.join(SCHEMES)}")
    if scheme == "SHA512-CRYPT" and len(raw) > CRYPT_MAX_BYTES:
        return "ARGON2ID"
    if scheme == "BLF-CRYPT" and len(raw) > BCRYPT_MAX_BYTES:
        raise Refused(f"BLF-CRYPT hashes at most {BCRYPT_MAX_BYTES} bytes; use SHA512-CRYPT")
    return scheme


def hash_password(password: str, scheme: str = "SHA512-CRYPT", cost: Cost | None = None) -> str:
    """`{SCHEME}hash` with a new salt, of the effective scheme. Raises Refused as that does.

    `cost` is for `scheme`, None for its default; another effective scheme has its default.
    """
    return _hash(password, scheme, cost, Crypt())


def hash_clear(password: str) -> str:
    """The hash of a password in plain text with its scheme, `{PLAIN}password`."""
    return hash_password(password.partition("}")[2])


def hash_passwords(
    passwords: Sequence[str],
    scheme: str,
    threads: int,
    progress: Callable[[int], object] = lambda done: None,
    cost: Cost | None = None,
) -> list[str]:
    """Hashes each password, in several threads: a hash releases the GIL.

    `progress` regularly gets the number of hashes so far. An error or Ctrl-C also ends the threads,
    each after its present hash.
    """
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    waiting = deque(range(len(passwords)))
    hashes = [""] * len(passwords)

    def work() -> None:
        crypt = Crypt()
        while True:
            try:
                index = waiting.popleft()
            except IndexError:
                return
            hashes[index] = _hash(passwords[index], scheme, cost, crypt)

    with ThreadPoolExecutor(threads) as pool:
        try:
            working = [pool.submit(work) for _ in range(threads)]
            pending = set(working)
            while pending and not any(future.exception() for future in set(working) - pending):
                pending = wait(pending, _PROGRESS_S, FIRST_EXCEPTION).not_done
                progress(len(passwords) - len(waiting))
        finally:
            waiting.clear()
    for future in working:
        future.result()
    return hashes


def _hash(password: str, wanted: str, cost: Cost | None, crypt: "Crypt") -> str:
    scheme = effective_scheme(password, wanted)
    if cost is None or scheme != wanted:
        cost = default_cost(scheme)
    raw = check(password)
    if scheme == "SHA512-CRYPT":
        rounds = "" if cost == default_cost(scheme) else f"rounds={cost.rounds}$"
        return "{SHA512-CRYPT}" + crypt(raw, f"$6${rounds}{_salt(16)}$")
    if scheme == "BLF-CRYPT":
        # 22 characters have 128 bits: the last one uses only two of its six.
        salt = _salt(21) + ".Oeu"[os.urandom(1)[0] & 3]
        return "{BLF-CRYPT}" + crypt(raw, f"$2y${cost.rounds:02d}${salt}")
    import argon2

    hasher = argon2.PasswordHasher(cost.rounds, cost.memory_kib, parallelism=1)
    return "{ARGON2ID}" + hasher.hash(raw)


def _salt(length: int) -> str:
    return "".join(_SALT_CHARS[byte & 63] for byte in os.urandom(length))


class Crypt:
    """crypt_r(3) for one thread, with a work buffer that is created at the first call.

    A call has a password and a setting. A hash is a setting, too: the result is the same hash if
    the password is right.
    """

    def __init__(self) -> None:
        self._library: ctypes.CDLL | None = None
        self._data: ctypes.Array[ctypes.c_char] | None = None

    def __call__(self, raw: bytes, setting: str) -> str:
        if self._library is None:
            try:
                self._library = ctypes.CDLL("libcrypt.so.1")
            except OSError:
                raise Refused(
                    "the system has no libcrypt.so.1; use --hash or the scheme ARGON2ID"
                ) from None
            self._library.crypt_r.restype = ctypes.c_char_p
            self._data = ctypes.create_string_buffer(_CRYPT_DATA_BYTES)
        result = self._library.crypt_r(
            ctypes.c_char_p(raw), ctypes.c_char_p(setting.encode()), self._data
        )
        if not result or result.startswith(b"*"):
            raise Refused("the system's crypt(3) can't make this hash; use another scheme")
        return str(result.decode("ascii"))
