"""Hashes that were written by hand: Dovecot accepts a password exactly where `password-check` and
`check` say that it does."""

import base64
import hashlib

from mailroster.analysis.checks.secrets import is_impossible, is_known, scheme_of
from mailroster.app.passwords.hashing import Crypt, hash_password
from mailroster.app.passwords.verify import is_right
from mailroster.base.findings import Refused
from tests.support.hashes import FOREIGN
from tests.support.instance import Instance, save, until

PASSWORD = "secret"
_SALTED = base64.b64encode(hashlib.sha1(b"secretsalt").digest() + b"salt").decode()
_ARGON2 = hash_password(PASSWORD, "ARGON2ID").partition("}")[2]
_SETTINGS = (
    "$6$abcdefgh$", "$5$abcdefgh$", "$1$abcdefgh$", "$y$j9T$abcdefgh$", "$7$CU..../....abcdefgh$",
    "$gy$j9T$abcdefgh$", "$sha1$1000$abcdefgh$", "$md5,rounds=1000$abcdefgh$", "$3$",
    "$2a$05$abcdefghijklmnopqrstuu", "$2b$05$abcdefghijklmnopqrstuu",
    "$2x$05$abcdefghijklmnopqrstuu", "$2y$05$abcdefghijklmnopqrstuu",
)  # fmt: skip


def hashes() -> list[str]:
    of_crypt = [Crypt()(PASSWORD.encode(), setting) for setting in _SETTINGS]
    des = Crypt()(PASSWORD.encode(), "ab")
    md5 = hashlib.md5(PASSWORD.encode()).hexdigest()
    return [
        *of_crypt, *(f"{{SHA512-CRYPT}}{hash}" for hash in of_crypt), f"{{CRYPT}}{des}",
        f"{{DES-CRYPT}}{des}", f"{{BLF-CRYPT}}{of_crypt[0]}", f"{{BLF-CRYPT}}{of_crypt[-1]}",
        f"{{MD5}}{md5}", f"{{PLAIN-MD5}}{md5}", f"{{SSHA}}{_SALTED}", f"{{ssha}}{_SALTED}",
        f"{{SHA256.hex}}{hashlib.sha256(PASSWORD.encode()).hexdigest().upper()}",
        f"{{SHA512}}{hashlib.sha512(PASSWORD.encode()).hexdigest()}", f"{{ARGON2ID}}{_ARGON2}",
        f"{{argon2i}}{_ARGON2}", _ARGON2, f"{{CRYPT}}{_ARGON2}",
        f"{{BCRYPT}}{of_crypt[-1]}", "{PBKDF2-SHA256}$1$a$b",
        "{NTLM}878d8014606cda29677a44efa1353fc7",
        "{CRYPT}*", "{PLAIN}secret", "{PLAIN.B64}c2VjcmV0", *FOREIGN,
    ]  # fmt: skip


def fits(hash: str) -> bool:
    try:
        return is_right(PASSWORD, hash)
    except Refused:
        return False


def test_dovecot_and_we_agree_about_each_hash() -> None:
    server = Instance(enable_quotas=False)
    try:
        server.file("dovecot.cf").write_text("auth_failure_delay = 0\n")
        accounts = {f"u{n}@x.com": hash for n, hash in enumerate(hashes())}
        lines = "".join(f"{address}|{hash}\n" for address, hash in accounts.items())
        save(server.file("postfix-accounts.cf"), lines)
        server.start()
        until(lambda: server.can_log_in("u0@x.com", PASSWORD))
        differing = []
        for address, hash in accounts.items():
            logs_in = "auth succeeded" in server.doveadm("auth", "test", address, PASSWORD)
            can = is_known(scheme_of(hash)) and not is_impossible(hash) and not hash.endswith("*")
            if not logs_in == fits(hash) == can:
                differing.append((hash, logs_in, fits(hash), can))
        assert differing == []
    finally:
        server.close()
