"""Passwords into `{SCHEME}hash`, as Dovecot reads it (Dovecot: authentication/password_schemes).

SHA512-CRYPT and BLF-CRYPT come from the system's libcrypt, which releases the GIL and costs 2.4 ms
a hash by default; ARGON2ID from argon2-cffi.
"""

import ctypes
import os
from collections import deque
from collections.abc import Callable, Sequence

from mailroster.base.findings import Refused
from mailroster.roster.formats.hash_cost import SCHEMES, Cost, default_cost

_SALT_CHARS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: crypt(3) gives no hash for more than 511 bytes, and so neither does Dovecot for these schemes.
CRYPT_MAX_BYTES = 511
BCRYPT_MAX_BYTES = 72
#: The sizes of `struct crypt_data` in libxcrypt and in old glibc.
_CRYPT_DATA_BYTES = 1 << 18
#: How often it is told how many passwords of many are hashed.
_PROGRESS_S = 0.1


#: Letters and digits that nobody takes for one another, in print or on the telephone.
_READABLE = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP = 4, 6


def generate(min_length: int = 0) -> str:
    """A new password like `k3wz9p-…`: 24 of 31 signs, any as likely as another, make 118 bits; more
    of them if it has to be longer."""
    groups = [_group() for _ in range(_GROUPS)]
    while len(password := "-".join(groups)) < min_length:
        groups.append(_group())
    return password


def _group() -> str:
    signs = len(_READABLE)
    even = 256 - 256 % signs  # above it some signs would come more often
    found = ""
    while len(found) < _GROUP:
        found += "".join(_READABLE[byte % signs] for byte in os.urandom(_GROUP) if byte < even)
    return found[:_GROUP]


def check(password: str) -> bytes:
    """The bytes of a password. Refused: empty ones, and what no protocol can carry."""
    if not password:
        raise Refused("the password is empty")
    raw = password.encode("utf-8", "surrogateescape")
    if any(byte in raw for byte in (b"\0", b"\n", b"\r")):
        raise Refused("the password has a NUL or a line break, which no client can send")
    return raw


def effective_scheme(password: str, scheme: str) -> str:
    """The scheme that a password gets. Refused for a password that the scheme can't take whole.

    A password of more than 511 bytes is beyond SHA512-CRYPT and gets ARGON2ID instead.
    """
    raw = check(password)
    if scheme not in SCHEMES:
        raise Refused(f"unknown scheme {scheme!r}; take one of {', '.join(SCHEMES)}")
    if scheme == "SHA512-CRYPT" and len(raw) > CRYPT_MAX_BYTES:
        return "ARGON2ID"
    if scheme == "BLF-CRYPT" and len(raw) > BCRYPT_MAX_BYTES:
        raise Refused(f"BLF-CRYPT takes {BCRYPT_MAX_BYTES} bytes at most; use SHA512-CRYPT")
    return scheme


def hash_password(password: str, scheme: str = "SHA512-CRYPT", cost: Cost | None = None) -> str:
    """`{SCHEME}hash`, salted anew, of the effective scheme. Raises Refused as that does.

    `cost` is of `scheme`, its default if there is none; what gets another scheme gets its default.
    """
    return _hashed(password, scheme, cost, Crypt())


def hash_clear(password: str) -> str:
    """The hash of a password that stands in clear behind its scheme, as `{PLAIN}password`."""
    return hash_password(password.partition("}")[2])


def hash_passwords(
    passwords: Sequence[str],
    scheme: str,
    threads: int,
    progress: Callable[[int], object] = lambda done: None,
    cost: Cost | None = None,
) -> list[str]:
    """The hash of each password, made by some threads at once: a hash lets go of the GIL.

    `progress` is told from time to time how many are done. Whatever ends this early, Ctrl-C or a
    password that is Refused, ends the threads too, each after the hash that it is at.
    """
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    waiting = deque(range(len(passwords)))
    hashes = [""] * len(passwords)

    def work() -> None:
        crypt = Crypt()
        while True:
            try:
                place = waiting.popleft()
            except IndexError:
                return
            hashes[place] = _hashed(passwords[place], scheme, cost, crypt)

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


def _hashed(password: str, asked: str, cost: Cost | None, crypt: "Crypt") -> str:
    scheme = effective_scheme(password, asked)
    if cost is None or scheme != asked:
        cost = default_cost(scheme)
    raw = check(password)
    if scheme == "SHA512-CRYPT":
        rounds = "" if cost == default_cost(scheme) else f"rounds={cost.rounds}$"
        return "{SHA512-CRYPT}" + crypt(raw, f"$6${rounds}{_salt(16)}$")
    if scheme == "BLF-CRYPT":
        # 22 characters carry 128 bits: the last one only two of its six.
        salt = _salt(21) + ".Oeu"[os.urandom(1)[0] & 3]
        return "{BLF-CRYPT}" + crypt(raw, f"$2y${cost.rounds:02d}${salt}")
    import argon2

    hasher = argon2.PasswordHasher(cost.rounds, cost.memory_kib, parallelism=1)
    return "{ARGON2ID}" + hasher.hash(raw)


def _salt(length: int) -> str:
    return "".join(_SALT_CHARS[byte & 63] for byte in os.urandom(length))


class Crypt:
    """crypt_r(3), for one thread. Its room for work is made once, when it is needed.

    Called with a password and a setting, of which a hash is one: then it gives that hash again if
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
