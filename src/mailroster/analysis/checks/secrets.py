"""Rules about secrets: the schemes of hashes, and the users who may read the files."""

import re
from collections.abc import Iterator
from typing import Any

from mailroster.analysis.checks.subject import Subject, entries
from mailroster.base.findings import ERROR, WARNING, Finding
from mailroster.roster.documents.document import Document
from mailroster.roster.formats.credentials import DEFAULT_SCHEME

#: The schemes that `doveadm pw -l` of Dovecot 2.3 lists, each with its weakness, "" for none. For
#: {CRYPT} and the schemes of crypt(3) the hash counts as well.
SCHEMES = {
    **dict.fromkeys(
        ("ARGON2I", "ARGON2ID", "BLF-CRYPT", "CRYPT", "PBKDF2", "SCRAM-SHA-1", "SCRAM-SHA-256",
         "SHA256-CRYPT", "SHA512-CRYPT"), ""),
    **dict.fromkeys(
        ("CLEAR", "CLEARTEXT", "PLAIN", "PLAIN-TRUNC"), "stores the password itself"),
    **dict.fromkeys(
        ("CRAM-MD5", "HMAC-MD5", "LDAP-MD5", "PLAIN-MD4", "PLAIN-MD5", "SHA", "SHA1", "SHA256",
         "SHA512"), "has no salt, so one list of hashes breaks all accounts"),
    **dict.fromkeys(
        ("DES-CRYPT", "DIGEST-MD5", "MD5", "MD5-CRYPT", "OTP", "SMD5", "SSHA", "SSHA256",
         "SSHA512"), "allows billions of guesses a second"),
}  # fmt: skip
_ENCODINGS = ("", "B64", "BASE64", "HEX")
_CRYPT = frozenset(("BLF-CRYPT", "CRYPT", "DES-CRYPT", "MD5-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT"))
#: The hashes of crypt(3) that are quick to guess: DES, its longer form, MD5, and NT's.
_QUICK = re.compile(r"[./0-9A-Za-z]{13}|_[./0-9A-Za-z]{19}|\$1\$.*|\$3\$.*|\$md5.*")
#: The beginning of a hash that crypt(3) of Debian can read (crypt(5)).
_OF_CRYPT = re.compile(r"\$(?:1|3|5|6|7|y|gy|sha1|2[abxy])\$|\$md5[,$]")
#: The beginning of a hash without any fault; most are like this.
_SOUND = ("{SHA512-CRYPT}$6$", "{ARGON2ID}$argon2id$", "{BLF-CRYPT}$2y$", "$6$")


def schemes(subject: Subject) -> Iterator[Finding]:
    """A hash with a scheme that is unknown or weak, and a text that is no hash of its scheme."""
    documents: tuple[Document[Any], ...] = (subject.roster.accounts, subject.roster.masters)
    for document in documents:
        for key, position, entry in entries(document):
            if entry.password.startswith(_SOUND):
                continue
            where, scheme = document.location(position), scheme_of(entry.password)
            if not is_known(scheme):
                message = f"Dovecot does not know the scheme {scheme!r} of the hash of {key!r}"
                hint = "use one that `doveadm pw -l` lists; until then no login is possible"
                yield Finding(where, ERROR, "unknown-scheme", message, hint)
            elif weakness := weakness_of(entry.password):
                message = f"the scheme {scheme} of the hash of {key!r} {weakness}"
                hint = "set a new password with SHA512-CRYPT, BLF-CRYPT or ARGON2ID"
                yield Finding(where, WARNING, "weak-scheme", message, hint)
            elif is_impossible(entry.password):
                message = f"no password matches the hash of {key!r}: it is no {scheme} hash"
                hint = remedy(entry.password)
                yield Finding(where, WARNING, "impossible-hash", message, hint)


def scheme_of(password: str) -> str:
    """The scheme of a hash, with its encoding if there is one."""
    return password[1:].partition("}")[0].upper() if password[:1] == "{" else DEFAULT_SCHEME


def is_known(scheme: str) -> bool:
    name, _, encoding = scheme.partition(".")
    return name in SCHEMES and encoding in _ENCODINGS


def weakness_of(password: str) -> str:
    """The weakness of a hash with a known scheme, "" for none."""
    name, _, encoding = scheme_of(password).partition(".")
    if name in _CRYPT and not encoding and _QUICK.fullmatch(_hash(password)):
        return SCHEMES["DES-CRYPT"]
    return SCHEMES[name]


def is_impossible(password: str) -> bool:
    """Whether the text behind a scheme of crypt(3) or of Argon2 is no hash of that scheme: Dovecot
    refuses every password then. Not for `*` and an empty text, which people use as locks."""
    name, _, encoding = scheme_of(password).partition(".")
    hash = _hash(password)
    if encoding or not hash or hash[0] == "*":
        return False
    if name in ("ARGON2I", "ARGON2ID"):
        return not hash.startswith("$argon2")
    if name == "BLF-CRYPT":
        return not hash.startswith("$2")
    return name in _CRYPT and not (_OF_CRYPT.match(hash) or _QUICK.fullmatch(hash))


def remedy(password: str) -> str:
    """The hint for an impossible hash."""
    hash = _hash(password)
    for begin, scheme in (("$argon2id$", "ARGON2ID"), ("$argon2i$", "ARGON2I")):
        if hash.startswith(begin):
            return f"write {{{scheme}}} in front of it"
    return "set a new password with `setup email update`"


def _hash(password: str) -> str:
    """The text behind the scheme, without the mark of a locked account."""
    return (password.partition("}")[2] if password[:1] == "{" else password).lstrip("!")


def readable_by_all(subject: Subject) -> Iterator[Finding]:
    """A file of secrets that every user of the machine can read."""
    for _, document in subject.roster.documents():
        mode = subject.modes.get(document.format.file)
        if mode is not None and document.format.secret:
            message = f"every user of this machine can read its secrets (mode {mode:04o})"
            hint = f"chmod o-rwx {document.format.file}"
            where = document.location(None)
            yield Finding(where, WARNING, "world-readable-secret", message, hint)
