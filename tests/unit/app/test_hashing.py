"""Hashes as Dovecot reads them, and passwords that no client could send."""

import ctypes
import threading

import pytest

from mailroster.app.passwords.hashing import hash_password, hash_passwords
from mailroster.base.findings import Refused
from mailroster.roster.formats.credentials import check_hash

ODD = [
    "secret", "it's", 'a"b', "back\\slash", "a|b", "a:b", " both ends ", "tab\t", "pässwörd €😀",
    "-dash", "--double", "$HOME", "%d", "{PLAIN}x", "*", "`id`", "#", "\udcff raw", "\x7f\x01",
]  # fmt: skip


def crypt(password: str, hash: str) -> str:
    """crypt(3) with the whole hash as its setting gives the hash again if the password is right."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    found = library.crypt(password.encode("utf-8", "surrogateescape"), hash.encode())
    return str(found.decode())


@pytest.mark.parametrize("password", [*ODD, "x" * 511], ids=repr)
def test_sha512_crypt_is_of_exactly_that_password(password: str) -> None:
    hash = hash_password(password)
    scheme, _, rest = hash.partition("}")
    assert scheme == "{SHA512-CRYPT"
    assert rest.startswith("$6$")
    assert crypt(password, rest) == rest
    assert check_hash(hash) == hash


@pytest.mark.parametrize("password", [*ODD, "x" * 72], ids=repr)
def test_blf_crypt_is_of_exactly_that_password(password: str) -> None:
    hash = hash_password(password, "BLF-CRYPT")
    rest = hash.removeprefix("{BLF-CRYPT}")
    assert rest.startswith("$2y$05$")
    assert crypt(password, rest) == rest
    assert check_hash(hash) == hash


@pytest.mark.parametrize(
    ("password", "scheme"),
    [("it's", "ARGON2ID"), ("x" * 1000, "SHA512-CRYPT"), ("ü" * 400, "SHA512-CRYPT")],
    ids=["asked for", "1,000 characters", "800 bytes"],
)
def test_argon2id_is_asked_for_or_takes_what_is_too_long(password: str, scheme: str) -> None:
    import argon2

    hash = hash_password(password, scheme)
    rest = hash.removeprefix("{ARGON2ID}")
    assert argon2.PasswordHasher().verify(rest, password)
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        argon2.PasswordHasher().verify(rest, password[:-1])
    assert check_hash(hash) == hash


def test_a_hash_is_salted_anew() -> None:
    assert hash_password("x") != hash_password("x")


@pytest.mark.parametrize("password", ["", "a\0b", "\0", "a\nb", "a\n", "\r", "a\rb"], ids=repr)
@pytest.mark.parametrize("scheme", ["SHA512-CRYPT", "BLF-CRYPT", "ARGON2ID"])
def test_what_no_client_can_send_is_refused(password: str, scheme: str) -> None:
    with pytest.raises(Refused) as refused:
        hash_password(password, scheme)
    assert repr(password)[1:-1] not in str(refused.value) or not password


def test_a_scheme_that_would_cut_a_password_refuses_it() -> None:
    with pytest.raises(Refused, match="72"):
        hash_password("ü" * 37, "BLF-CRYPT")
    with pytest.raises(Refused, match="MD5"):
        hash_password("x", "MD5")


@pytest.mark.parametrize("scheme", ["SHA512-CRYPT", "BLF-CRYPT", "ARGON2ID"])
def test_many_are_hashed_each_in_its_place_by_its_own_salt(scheme: str) -> None:
    import argon2

    passwords = [*(f"pässword {n}" for n in range(12)), "same", "same"]
    told: list[int] = []
    hashes = hash_passwords(passwords, scheme, 3, told.append)
    assert len(set(hashes)) == len(passwords)
    assert told[-1] == len(passwords)
    for password, hash in zip(passwords, hashes, strict=True):
        rest = hash.removeprefix("{" + scheme + "}")
        if scheme == "ARGON2ID":
            assert argon2.PasswordHasher().verify(rest, password)
        else:
            assert crypt(password, rest) == rest
    assert hash_passwords([], scheme, 3) == []


def test_a_password_among_many_that_is_refused_ends_it() -> None:
    with pytest.raises(Refused, match="empty"):
        hash_passwords(["", *["x"] * 100_000], "SHA512-CRYPT", 2)


def test_an_interrupt_ends_the_threads() -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        hash_passwords(["x"] * 100_000, "SHA512-CRYPT", 2, interrupt)
    assert threading.active_count() == before
