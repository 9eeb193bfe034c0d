"""Addresses: `local@domain` in lower case, the domain in its IDNA A-label form.

The address of an account becomes a login name, a table key, a field of several file formats and a
folder name. So it may contain only characters without a meaning in any of these (a subset of the
dot-string of RFC 5321). An alias never names a folder: it may use what virtual(5) allows.
"""

from typing import NewType

from mailroster.base.findings import COMMENT_BEHIND, ParseError

Address = NewType("Address", str)

LOCAL_MAX_OCTETS = 64
ADDRESS_MAX_OCTETS = 254
LABEL_MAX_OCTETS = 63

#: The characters that the setting `recipient_delimiter` may have.
DELIMITERS = "+-_="

_ALNUM = "abcdefghijklmnopqrstuvwxyz0123456789"
#: The characters of an account before the `@`. Dovecot's auth_username_chars has the same.
LOCAL_CHARS = _ALNUM + "#$&'-=?^_`{}~."
#: Sets, since `issuperset` checks a whole word at once and a roster has millions of letters.
_LOCAL = frozenset(LOCAL_CHARS)
_LABEL = frozenset(_ALNUM + "-")
#: Postfix also delivers to domains with a `_`.
_MAIL_LABEL = _LABEL | {"_"}
_NOT_IN_WORDS = frozenset(' ,"<>()\\')
_NOT_IN_LOCALS = frozenset(";[]")

#: A pattern of addresses of the plainest form, which every function of this module leaves as they
#: are.
PLAIN = (
    r"(?=[^@]{1,64}@[^ ]{1,180}(?![a-z0-9.-]))[a-z0-9_]+(?:[.=&'-][a-z0-9_]+)*"
    r"@(?=[0-9.-]*[a-z])[a-z0-9]{1,63}(?:[.-][a-z0-9]{1,31})*"
)


def split(address: str) -> tuple[str, str]:
    """The parts around the last `@`; without an `@` the domain is empty."""
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (domain, "")


class _Extensions:
    """The setting `recipient_delimiter` of this process.

    A process serves one instance. There the setting decides, like the rules above, what an address
    is: for parsers, indexes, routing and messages. So it is set once at the start, and is not a
    parameter of all these.
    """

    delimiters = "+"


def use_delimiters(chars: str) -> None:
    """Sets the characters that begin an extension, for the whole process; "" for none. Commands,
    `up` and the policy service call it first."""
    _Extensions.delimiters = chars


def delimiters() -> str:
    """The characters that begin the extension of an address; "" if there are no extensions."""
    return _Extensions.delimiters


#: Addresses that Postfix never splits, whatever the delimiter is.
_WHOLE = frozenset(("mailer-daemon", "double-bounce"))


def split_extension(local: str) -> tuple[str, str]:
    """Splits a local part into the user and the extension with its delimiter (split_addr(3)). The
    first delimiter counts; Dovecot splits in the same way."""
    chars = _Extensions.delimiters
    if len(chars) == 1:
        offset = local.find(chars)
    else:
        offset = min((at for char in chars if (at := local.find(char)) >= 0), default=-1)
    if offset <= 0 or (chars != "+" and local.lower() in _WHOLE):
        return local, ""
    return local[:offset], local[offset:]


def qualified(address: str, origin: str) -> str:
    """An address as trivial-rewrite(8) completes it: a bare name gets the origin as its domain, and
    a domain loses the dot at its end."""
    if "@" not in address:
        address = f"{address}@{origin}"
    return address[:-1] if address[-1:] == "." and address[-2:-1] not in ".@" else address


def is_idna(domain: str) -> bool:
    """Whether a folded domain has other spellings, which a search of a text would miss."""
    return "xn--" in domain


def example(key: str) -> str:
    """An address whose mail an alias gets; for a catch-all, one that no account can have."""
    return f'"any"{key}' if key.startswith("@") else key


def fold(text: str) -> str:
    """The spelling under which an address is stored and looked up. Checks nothing and never
    fails."""
    text = text.strip(" \t\r").lower()
    if text.isascii():
        return text
    local, domain = split(text)
    try:
        return f"{local}@{fold_domain(domain)}" if domain else text
    except ParseError:
        return text


def fold_domain(text: str) -> str:
    """A domain in lower case and A-labels. Raises ParseError if it is not valid (RFC 1035, RFC
    5890)."""
    domain = text.lower()
    if not domain.isascii():
        import idna  # 15 ms: only if it is needed

        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise _malformed(f"domain {text!r} has no IDNA form ({error})") from None
    for label in domain.split("."):
        if not label:
            raise _malformed(f"domain {text!r} has an empty part")
        if label[0] == "-" or label[-1] == "-" or not _LABEL.issuperset(label):
            raise _malformed(
                f"domain part {label!r} may have only letters, digits and hyphens inside"
            )
        if len(label) > LABEL_MAX_OCTETS:
            raise _malformed(f"domain part {label!r} is longer than {LABEL_MAX_OCTETS} octets")
    return domain


def account(text: str) -> Address:
    """The address of an account. Raises ParseError with the reason if it is not valid."""
    if not text.partition("@")[0].isascii():
        raise _malformed(f"{text!r} has a non-ASCII character before the '@'")
    local, at, domain = text.lower().partition("@")
    if not at:
        raise _malformed(f"{text!r} is not local@domain")
    if not local or not domain:
        raise _malformed(f"{text!r} lacks the part before or behind the '@'")
    if "@" in domain:
        raise _malformed(f"{text!r} has more than one '@'")
    for char in _Extensions.delimiters:
        if char in local:
            setting = "" if char == "+" else ", by the setting recipient_delimiter"
            message = f"{text!r} has {char!r}, which begins the extension of an address{setting}"
            raise _malformed(message)
    if not _LOCAL.issuperset(local):
        char = next(char for char in local if char not in _LOCAL)
        raise _malformed(f"{text!r} has {char!r}, which an account can't have before the '@'")
    if local[0] in "#-":
        raise _malformed(f"{text!r} begins with {local[0]!r}")
    if _has_empty_part(local):
        raise _malformed(f"{text!r} has an empty part between dots")
    return _measured(f"{local}@{_deliverable(fold_domain(domain))}", local)


def alias(text: str) -> Address:
    """The key of an alias: `user@domain`, `user` or `@domain`, as virtual(5) reads it."""
    _printable(text)
    local, domain = split(text.lower())
    if "*" in local:
        message = f"{text!r} has '*', which is not a wildcard here"
        hint = "write @example.com for a whole domain, or a pattern in postfix-regexp.cf"
        raise ParseError("malformed-address", message, hint)
    if local and _has_empty_part(local):
        raise _malformed(
            f"{text!r} has an empty part between dots, which Postfix would need in quotes"
        )
    if not domain:
        if text.endswith("@"):
            raise _malformed(f"{text!r} has no domain behind the '@'")
        return _measured(recipient(local), local)  # a key must be a valid recipient
    return _measured(f"{local}@{_deliverable(fold_domain(domain))}", local)


def access(text: str) -> Address:
    """The key of a restriction: `user@domain`, `user@`, `domain`, or `.domain`, as access(5) reads
    it."""
    if "@" in text or text.isascii():
        return alias(text)
    dot = text[:1] if text[:1] == "." else ""
    return _measured(dot + fold_domain(text[len(dot) :]), "")


def recipient(text: str) -> str:
    """A recipient of an alias: `user@domain`, `user`, `@domain`. The case before the `@` stays.

    An ASCII domain may have all that Postfix delivers to, also a `_` or a dot at its end. Raises
    ParseError for what Postfix can't deliver to, and for what it doesn't read as one address
    (`john@example.com;`).
    """
    if text[:1] == "#":
        message = f"{text!r}: a comment can't follow an entry on its line"
        raise ParseError("malformed-address", message, COMMENT_BEHIND)
    bare = text.strip('"').lower()
    if "@" not in text and (bare[:1] in ("|", "/") or bare.startswith(":include:")):
        raise _unsafe(bare)
    _printable(text)
    local, domain = split(text)
    if not domain:
        if "@" in text:
            raise _malformed(f"{text!r} has no domain behind the '@'")
        if "!" in text or "%" in text:
            raise _malformed(f"{text!r} is a name without a domain")
        return _measured(text, text)
    domain = _deliverable(domain.lower()) if domain.isascii() else fold_domain(domain)
    return _measured(f"{local}@{domain}", local)


def _deliverable(domain: str) -> str:
    """An ASCII domain. Raises ParseError if Postfix bounces mail for it (valid_hostname(3)), and
    for an IP address: it may be that of this server, which bounces too."""
    labels = domain.removesuffix(".").split(".")
    for label in labels:
        if label and label[0] != "-" != label[-1] and _MAIL_LABEL.issuperset(label):
            if len(label) > LABEL_MAX_OCTETS:
                raise _malformed(f"{domain!r} has a part longer than {LABEL_MAX_OCTETS} octets")
            continue
        message = f"{domain!r} is not a valid domain"
        if "#" in label:
            hint = COMMENT_BEHIND
        elif domain[-1] in ";:" and _MAIL_LABEL.issuperset(label[:-1]):
            hint = f"remove the {domain[-1]!r}; recipients are separated by commas and blanks"
        elif domain[0] == "[":
            hint = "write the name of the server instead of its IP address"
        else:
            hint = "write it as user@example.com"
        raise ParseError("malformed-address", message, hint)
    if domain.replace(".", "").isdigit():
        hint = "write the name of the server instead of its IP address"
        raise ParseError("malformed-address", f"{domain!r} is not a valid domain", hint)
    return domain


def _unsafe(text: str) -> ParseError:
    message = f"'{text[:1]}…' is a program or a file, to which no mail is delivered"
    hint = "write addresses; to discard mail, use an alias in postfix-aliases.cf that leads to "
    return ParseError("unsafe-recipient", message, f"{hint}/dev/null")


def _printable(text: str) -> None:
    """Raises ParseError for characters that an address in a Postfix table can't have as one
    word."""
    if not text:
        raise _malformed("an empty address")
    if not text.isprintable() or not _NOT_IN_WORDS.isdisjoint(text):
        char = next(char for char in text if char in _NOT_IN_WORDS or not char.isprintable())
        raise _malformed(f"{text!r} has {char!r}")
    if text[0] in "#-":
        raise _malformed(f"{text!r} begins with {text[0]!r}")
    local = split(text)[0]
    if not _NOT_IN_LOCALS.isdisjoint(local):
        raise _malformed(f"{text!r} has ';', '[' or ']' before the '@', where Postfix would cut it")
    if not local.isascii():
        raise _malformed(f"{text!r} has a non-ASCII character before the '@'")
    if text.count("@") > 1:
        raise _malformed(f"{text!r} has more than one '@'")


def _has_empty_part(local: str) -> bool:
    return ".." in f".{local}."


def _measured(address: str, local: str) -> Address:
    if len(local) > LOCAL_MAX_OCTETS:
        raise _malformed(f"{address!r} has more than {LOCAL_MAX_OCTETS} octets before the '@'")
    if len(address) > ADDRESS_MAX_OCTETS:
        raise _malformed(f"{address!r} is longer than {ADDRESS_MAX_OCTETS} octets")
    return Address(address)


def _malformed(message: str) -> ParseError:
    return ParseError("malformed-address", message, "write it as user@example.com")
