"""`name|{SCHEME}hash[|more]`: what the accounts and the masters have in common.

A `!` between the scheme and the hash locks the entry: `{SHA512-CRYPT}!$6$…`.
"""

import re

from mailroster.base.findings import COMMENT_BEHIND, ParseError

#: Dovecot's name of the scheme of a hash that does not name one (`default_pass_scheme`).
DEFAULT_SCHEME = "SHA512-CRYPT"

#: Where a hash begins, and where a password may in a line that was written in another format.
_SCHEME, _CRYPT = r"\{[A-Z][A-Z0-9.-]*\}", r"\$[0-9a-z]+\$"
_HASH = rf"{_SCHEME}|{_CRYPT}"
_SECRET = rf"[ \t:]|{_HASH}"
#: Hashes of the plainest form, which need no further look.
PLAIN = r"\{[A-Z0-9-]*[A-Z0-9][A-Z0-9-]*\}[!-9;-z~]+"
#: The value of an extra field that is a password: `pass=`, for a proxy.
_FIELD = r"((?:^|[ \t])[^ \t=]*pass[^ \t=]*=)[^ \t\r]+"
#: Schemes under which the password itself stands: a `!` in front would be a part of it.
_CLEAR = ("PLAIN", "CLEAR", "CLEARTEXT")
#: Behind the scheme, it locks: as passwd(1) -l writes it, no password has such a hash.
_LOCK = "!"
_SUSPICIOUS = frozenset(" \t:{$")
_NO_HASH = frozenset("|: ")


def name(line: str) -> str:
    """The text before the first `|`, or "" on an empty line and on a comment."""
    text = line.partition("|")[0].strip(" \t\r\ufeff")
    return "" if text[:1] == "#" else text


def fields(line: str) -> list[str]:
    """The two or three fields of a line, blanks around them left out. Raises ParseError."""
    found = [field.strip(" \t\r\ufeff") for field in line.split("|", 2)]
    if len(found) > 1 and _SUSPICIOUS.isdisjoint(found[0]):
        return found
    shown = re.split(_SECRET, found[0], maxsplit=1)[0]
    if len(found) > 1 and not _holds_hash(found[0]):
        return found
    if len(found) == 1:
        raise ParseError("missing-password", f"no '|' behind {shown!r}", "write NAME|{SCHEME}hash")
    message = f"the name before '|' does not end behind {shown!r}"
    raise ParseError("malformed-login", message, "write NAME|{SCHEME}hash")


def _holds_hash(name: str) -> bool:
    """Whether the text before a `|` is more than a name; `a$b$c@x.com` is one: no hash of crypt(3)
    has an `@`."""
    behind = name[name.rfind("@") + 1 :]
    return bool(re.search(rf"[ \t:]|{_SCHEME}", name) or re.search(_CRYPT, behind))


def hidden(line: str) -> str:
    """A line as it may be shown: `…` for the hash, for a password among the extra fields, and for
    all that may be a hash in a bad line. Of a hash its scheme is left, and whether it is locked."""
    name, bar, rest = line.partition("|")
    if not bar:
        found = re.search(_HASH if name.lstrip()[:1] == "#" else _SECRET, name.lstrip())
        end = len(name) - len(name.lstrip()) + found.start() if found else len(name)
        return name[:end] + ("…" if found else "")
    hash, bar, extra = rest.partition("|")
    scheme = re.match(r"\s*(\{[^}]*\})?", hash)
    assert scheme is not None
    extra = re.sub(_FIELD, r"\1…", extra) if "pass" in extra else extra
    mark = _LOCK if is_locked(hash.strip()) else ""
    return f"{hidden(name)}|{scheme[0]}{mark}…{bar}{extra}"


def check_hash(text: str) -> str:
    """A `{SCHEME}hash` that can stand in a line. Raises ParseError, which never shows the hash."""
    hint = "write {SCHEME}hash, as `doveadm pw` prints it"
    if not text:
        raise ParseError("missing-password", "there is no password hash", hint)
    scheme, brace, rest = text.partition("}")
    if text[0] == "{" and (not brace or not rest or not _is_scheme(scheme[1:])):
        raise ParseError("malformed-hash", "the password hash has no readable {SCHEME}", hint)
    if text[0] not in "{$" and text.lstrip(_LOCK)[:1] != "$":
        raise ParseError("malformed-hash", "the password hash has no {SCHEME} in front", hint)
    if " #" in text:
        hint = COMMENT_BEHIND
    if not text.isprintable() or not _NO_HASH.isdisjoint(text):
        raise ParseError(
            "malformed-hash", "the password hash has a blank or another bad character", hint
        )
    return text


def _is_scheme(text: str) -> bool:
    return text.replace("-", "").replace(".", "").isalnum()


def is_clear(hash: str) -> bool:
    """Whether a hash is none: the password itself, under its scheme."""
    return hash[1 : _behind_scheme(hash) - 1].upper() in _CLEAR


def is_locked(hash: str) -> bool:
    """Whether a hash is locked: `{SCHEME}!…`, or `!$…` without a scheme."""
    return _LOCK in hash and hash[_behind_scheme(hash) :][:1] == _LOCK and not is_clear(hash)


def locked(hash: str) -> str:
    """A hash with the mark that locks it. Raises ParseError for a password that stands in clear."""
    if is_locked(hash):
        return hash
    if is_clear(hash):
        message = "a password that stands in clear can't be locked by a mark"
        raise ParseError("clear-password", message, "give it as a hash")
    place = _behind_scheme(hash)
    return f"{hash[:place]}{_LOCK}{hash[place:]}"


def unlocked(hash: str) -> str:
    """A hash without that mark. Raises ParseError where there is nothing behind it."""
    if not is_locked(hash):
        return hash
    place = _behind_scheme(hash)
    rest = hash[place:].lstrip(_LOCK)
    if not rest:
        raise ParseError("no-password", "there is no password behind the lock", "set one first")
    return hash[:place] + rest


def _behind_scheme(hash: str) -> int:
    return hash.find("}") + 1 if hash[:1] == "{" else 0
