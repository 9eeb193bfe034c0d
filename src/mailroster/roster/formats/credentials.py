"""`name|{SCHEME}hash[|more]`: the form of the lines of accounts and masters.

A `!` between the scheme and the hash locks the entry: `{SHA512-CRYPT}!$6$…`.
"""

import re

from mailroster.base.findings import COMMENT_BEHIND, ParseError

#: Dovecot's name of the scheme of a hash that does not name one (`default_pass_scheme`).
DEFAULT_SCHEME = "SHA512-CRYPT"

#: The beginning of a hash, and of what may be a password in a line of another format.
_SCHEME, _CRYPT = r"\{[A-Z][A-Z0-9.-]*\}", r"\$[0-9a-z]+\$"
_HASH = rf"{_SCHEME}|{_CRYPT}"
_SECRET = rf"[ \t:]|{_HASH}"
#: A pattern of hashes of the plainest form, which need no further check.
PLAIN = r"\{[A-Z0-9-]*[A-Z0-9][A-Z0-9-]*\}[!-9;-z~]+"
#: The value of an extra field that is a password: `pass=`, for a proxy.
_FIELD = r"((?:^|[ \t])[^ \t=]*pass[^ \t=]*=)[^ \t\r]+"
#: Schemes without a hash, with the password in clear: a `!` in front would be part of it.
_CLEAR = ("PLAIN", "CLEAR", "CLEARTEXT")
#: The mark of a lock, behind the scheme, as passwd(1) -l writes it: no password has such a hash.
_LOCK = "!"
_SUSPICIOUS = frozenset(" \t:{$")
_NOT_IN_HASHES = frozenset("|: ")


def name(line: str) -> str:
    """The text before the first `|`, or "" for an empty line or a comment."""
    text = line.partition("|")[0].strip(" \t\r\ufeff")
    return "" if text[:1] == "#" else text


def fields(line: str) -> list[str]:
    """The two or three fields of a line, without blanks around them. Raises ParseError."""
    fields = [field.strip(" \t\r\ufeff") for field in line.split("|", 2)]
    if len(fields) > 1 and _SUSPICIOUS.isdisjoint(fields[0]):
        return fields
    shown = re.split(_SECRET, fields[0], maxsplit=1)[0]
    if len(fields) > 1 and not _has_hash(fields[0]):
        return fields
    if len(fields) == 1:
        raise ParseError("missing-password", f"no '|' behind {shown!r}", "write NAME|{SCHEME}hash")
    message = f"the name before '|' does not end behind {shown!r}"
    raise ParseError("malformed-login", message, "write NAME|{SCHEME}hash")


def _has_hash(name: str) -> bool:
    """Whether the text before a `|` may contain a hash. `a$b$c@x.com` does not: no hash of crypt(3)
    has an `@`."""
    behind = name[name.rfind("@") + 1 :]
    return bool(re.search(rf"[ \t:]|{_SCHEME}", name) or re.search(_CRYPT, behind))


def hidden(line: str) -> str:
    """A line as it may be shown: `…` replaces the hash, a password in the extra fields, and what
    may be a hash in a bad line. The scheme of a hash stays, and the mark of a lock."""
    name, bar, rest = line.partition("|")
    if not bar:
        text = name.lstrip()
        secret = re.search(_HASH if text[:1] == "#" else _SECRET, text)
        if secret is None:
            return name
        return name[: len(name) - len(text) + secret.start()] + "…"
    hash, bar, extra = rest.partition("|")
    scheme = re.match(r"\s*(\{[^}]*\})?", hash)
    assert scheme is not None
    extra = re.sub(_FIELD, r"\1…", extra) if "pass" in extra else extra
    mark = _LOCK if is_locked(hash.strip()) else ""
    return f"{hidden(name)}|{scheme[0]}{mark}…{bar}{extra}"


def check_hash(text: str) -> str:
    """Checks a `{SCHEME}hash` and returns it. Raises ParseError, which never shows the hash."""
    hint = "write {SCHEME}hash, as `doveadm pw` prints it"
    if not text:
        raise ParseError("missing-password", "the password hash is missing", hint)
    scheme, brace, rest = text.partition("}")
    if text[0] == "{" and (not brace or not rest or not _is_scheme(scheme[1:])):
        raise ParseError("malformed-hash", "the password hash has no readable {SCHEME}", hint)
    if text[0] not in "{$" and text.lstrip(_LOCK)[:1] != "$":
        raise ParseError("malformed-hash", "the password hash has no {SCHEME} in front", hint)
    if " #" in text:
        hint = COMMENT_BEHIND
    if not text.isprintable() or not _NOT_IN_HASHES.isdisjoint(text):
        raise ParseError(
            "malformed-hash", "the password hash has a blank or another bad character", hint
        )
    return text


def _is_scheme(text: str) -> bool:
    return text.replace("-", "").replace(".", "").isalnum()


def is_clear(hash: str) -> bool:
    """Whether a hash is the password itself, in clear."""
    return hash[1 : _behind_scheme(hash) - 1].upper() in _CLEAR


def is_locked(hash: str) -> bool:
    """Whether a hash is locked: `{SCHEME}!…`, or `!$…` without a scheme."""
    return _LOCK in hash and hash[_behind_scheme(hash) :][:1] == _LOCK and not is_clear(hash)


def locked(hash: str) -> str:
    """A hash with the mark of a lock. Raises ParseError for a password in clear."""
    if is_locked(hash):
        return hash
    if is_clear(hash):
        message = "a password in clear can't be locked by a mark"
        raise ParseError("clear-password", message, "write it as a hash")
    end = _behind_scheme(hash)
    return f"{hash[:end]}{_LOCK}{hash[end:]}"


def unlocked(hash: str) -> str:
    """A hash without the mark of a lock. Raises ParseError if nothing is behind the mark."""
    if not is_locked(hash):
        return hash
    end = _behind_scheme(hash)
    rest = hash[end:].lstrip(_LOCK)
    if not rest:
        raise ParseError("no-password", "no password is behind the lock", "set one first")
    return hash[:end] + rest


def _behind_scheme(hash: str) -> int:
    return hash.find("}") + 1 if hash[:1] == "{" else 0
