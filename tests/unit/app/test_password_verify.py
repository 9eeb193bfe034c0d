"""A password against a hash, of every scheme that Dovecot's own program makes."""

import subprocess

import pytest

from mailroster.app.passwords.hashing import Crypt, hash_password
from mailroster.app.passwords.verify import is_right
from mailroster.base.findings import Refused
from mailroster.roster.formats.hash_cost import SCHEMES
from tests.support.hashes import FOREIGN

PASSWORD = "pässwort: |'\"x"
UNCHECKED = {"HMAC-MD5", "CRAM-MD5", "DIGEST-MD5", "OTP", "PLAIN-MD4", "PLAIN-TRUNC"}
CHECKED = (
    "SHA", "SHA1", "SHA256", "SHA512", "SSHA", "SSHA256", "SSHA512", "SMD5", "LDAP-MD5",
    "PLAIN-MD5", "PBKDF2", "SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN", "CLEAR", "CLEARTEXT", "CRYPT",
    "DES-CRYPT", "MD5", "MD5-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT", "ARGON2I",
    "ARGON2ID",
)  # fmt: skip


def made(scheme: str) -> str:
    """Dovecot's hash of PASSWORD."""
    argv = ["doveadm", "pw", "-s", scheme, "-u", "u@x.com", "-p", PASSWORD]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("scheme", CHECKED)
@pytest.mark.parametrize("encoding", ["", ".HEX", ".B64"])
def test_a_hash_of_dovecots_fits_its_password_and_no_other(scheme: str, encoding: str) -> None:
    hash = made(scheme + encoding)
    assert is_right(PASSWORD, hash)
    for other in ("x" + PASSWORD, PASSWORD.upper(), "", "\0", f"{PASSWORD}\0", "x" * 600):
        assert not is_right(other, hash), other


@pytest.mark.parametrize("scheme", sorted(UNCHECKED))
def test_a_scheme_that_cannot_be_checked_says_so_and_shows_no_hash(scheme: str) -> None:
    hash = made(scheme)
    with pytest.raises(Refused) as refused:
        is_right(PASSWORD, hash)
    assert scheme in str(refused.value)
    assert hash.partition("}")[2] not in str(refused.value)


def test_every_scheme_of_dovecot_is_checked_or_refused() -> None:
    listed = subprocess.run(["doveadm", "pw", "-l"], capture_output=True, text=True).stdout.split()
    assert len(listed) > 20
    assert set(listed) <= {*CHECKED, *UNCHECKED}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_our_own_hash_fits_locked_or_not(scheme: str) -> None:
    name, _, rest = hash_password("secret", scheme).partition("}")
    for hash in (f"{name}}}{rest}", f"{name}}}!{rest}"):
        assert is_right("secret", hash)
        assert not is_right("secret ", hash)


def test_a_hash_without_a_scheme_is_known_by_its_mark() -> None:
    assert is_right("secret", hash_password("secret").partition("}")[2])
    assert is_right("secret", hash_password("secret", "BLF-CRYPT").partition("}")[2])


DAMAGED, FITS_NONE, UNKNOWN = (
    "the hash is damaged",
    "no password matches",
    "can't verify the scheme",
)


@pytest.mark.parametrize(
    ("hash", "words"),
    [
        ("{SSHA}%%%", DAMAGED), ("{SSHA}AAAA", DAMAGED), ("{SHA}" + "A" * 60, DAMAGED),
        ("{SHA.HEX}zz", DAMAGED), ("{PBKDF2}x", DAMAGED), ("{PBKDF2}$1$a$b$c", DAMAGED),
        ("{PBKDF2}$1$a$0$00", DAMAGED), ("{SCRAM-SHA-1}1,2,3", DAMAGED),
        ("{SCRAM-SHA-256}x,y,z,a", DAMAGED), ("{ARGON2ID}x", FITS_NONE),
        ("{ARGON2ID}$argon2id$v=19$m=8,t=x", DAMAGED), ("{PLAIN.HEX}x", DAMAGED),
        ("{NOBODY}x", UNKNOWN), ("x", FITS_NONE), ("{SHA512-CRYPT.XYZ}x", UNKNOWN),
        ("{SHA512-CRYPT.}x", UNKNOWN), ("{SHA512-CRYPT}x", FITS_NONE),
        ("{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", DAMAGED),
    ],
)  # fmt: skip
def test_a_damaged_hash_is_refused(hash: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        is_right("secret", hash)


@pytest.mark.parametrize("hash", ["{BLF-CRYPT}$2y$99$x", "{CRYPT}", "{CRYPT}*0"])
def test_what_crypt_makes_nothing_of_fits_nothing(hash: str) -> None:
    assert not is_right("secret", hash)
    assert not is_right("*0", hash)


@pytest.mark.parametrize("hash", FOREIGN)
def test_a_hash_that_dovecot_does_not_read_is_refused_with_what_to_do(hash: str) -> None:
    with pytest.raises(Refused) as refused:
        is_right("secret", hash)
    assert hash.partition("}")[2] not in str(refused.value) or "}" not in hash
    assert "$argon2" not in hash or "write {ARGON2" in str(refused.value)


@pytest.mark.parametrize(
    "setting",
    ["$6$abcdefgh$", "$5$abcdefgh$", "$5$rounds=1000$abcdefgh$", "$1$abcdefgh$", "$y$j9T$abcdefgh$",
     "$7$CU..../....abcdefgh$", "$gy$j9T$abcdefgh$", "$sha1$1000$abcdefgh$",
     "$md5,rounds=1000$abcdefgh$", "$3$", "$2a$05$abcdefghijklmnopqrstuu",
     "$2b$05$abcdefghijklmnopqrstuu", "$2y$05$abcdefghijklmnopqrstuu"],
)  # fmt: skip
def test_a_hash_without_a_scheme_is_crypts(setting: str) -> None:
    hash = Crypt()(b"secret", setting)
    assert is_right("secret", hash)
    assert is_right("secret", f"{{CRYPT}}{hash}")
    assert not is_right("Secret", hash)


def test_md5_is_hexadecimal_or_crypts() -> None:
    assert is_right("secret", "{MD5}5ebe2294ecd0e0f08eab7690d2a6ee69")
    assert not is_right("other", "{MD5}5ebe2294ecd0e0f08eab7690d2a6ee69")
