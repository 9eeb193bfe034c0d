"""`name|{SCHEME}hash[|more]`: what the accounts and the masters have in common."""

from mailroster.finding import Fault

#: Dovecot's name of the scheme of a hash that does not name one (`default_pass_scheme`).
DEFAULT_SCHEME = "SHA512-CRYPT"


def name(line: str) -> str:
    """The text before the first `|`, or "" on an empty line and on a comment."""
    text = line.partition("|")[0].strip(" \t\r\ufeff")
    return "" if text[:1] == "#" else text


def fields(line: str) -> list[str]:
    """The two or three fields of a line, blanks around them left out. Raises Fault."""
    found = [field.strip(" \t\r\ufeff") for field in line.split("|", 2)]
    if len(found) == 1:
        raise Fault("missing-password", f"{found[0]!r} has no '|'", "write NAME|{SCHEME}hash")
    return found


def check_hash(text: str) -> str:
    """A `{SCHEME}hash` that can stand in a line. Raises Fault, which never shows the hash."""
    mend = "write {SCHEME}hash, as `doveadm pw` prints it"
    if not text:
        raise Fault("missing-password", "there is no password hash", mend)
    scheme, brace, rest = text.partition("}")
    if text[0] == "{" and (not brace or not rest or not _is_scheme(scheme[1:])):
        raise Fault("malformed-hash", "the password hash has no readable {SCHEME}", mend)
    if text[0] not in "{$":
        raise Fault("malformed-hash", "the password hash has no {SCHEME} in front", mend)
    if any(char in "|: \t" or not char.isprintable() for char in text):
        raise Fault(
            "malformed-hash", "the password hash has a blank or another bad character", mend
        )
    return text


def scheme(hash: str) -> str:
    """The scheme of a checked hash, in upper case."""
    return hash[1:].partition("}")[0].upper() if hash[0] == "{" else DEFAULT_SCHEME


def _is_scheme(text: str) -> bool:
    return bool(text) and all(char.isalnum() or char in "-." for char in text)
