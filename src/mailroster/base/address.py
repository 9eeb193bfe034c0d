"""Addresses: `local@domain`, lower-cased, the domain in its IDNA A-label form.

An account's address becomes a login name, a table key, a field of several file formats and a
folder name, so it may hold only what none of them reads as its own (RFC 5321 dot-string, less
those). An alias never names a folder: it may use what virtual(5) allows.
"""

from typing import NewType

from mailroster.base.findings import COMMENT_BEHIND, ParseError

Address = NewType("Address", str)

LOCAL_MAX_OCTETS = 64
ADDRESS_MAX_OCTETS = 254
LABEL_MAX_OCTETS = 63

#: What the setting `recipient_delimiter` may be made of.
DELIMITERS = "+-_="

_ALNUM = "abcdefghijklmnopqrstuvwxyz0123456789"
#: What an account may have before the `@`. Dovecot's auth_username_chars is made of the same.
LOCAL_CHARS = _ALNUM + "#$&'-=?^_`{}~."
#: As sets: whole words are compared at once, since a roster has millions of letters.
_LOCAL = frozenset(LOCAL_CHARS)
_LABEL = frozenset(_ALNUM + "-")
#: Postfix delivers to a domain with a `_` as well.
_MAIL_LABEL = _LABEL | {"_"}
_NO_WORD = frozenset(' ,"<>()\\')
_NO_LOCAL = frozenset(";[]")

#: Addresses of the plainest form: what they are to any function here is what is written.
PLAIN = (
    r"(?=[^@]{1,64}@[^ ]{1,180}(?![a-z0-9.-]))[a-z0-9_]+(?:[.=&'-][a-z0-9_]+)*"
    r"@(?=[0-9.-]*[a-z])[a-z0-9]{1,63}(?:[.-][a-z0-9]{1,31})*"
)


def split(address: str) -> tuple[str, str]:
    """The parts around the last `@`; the domain is empty where there is none."""
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (domain, "")


class _Extensions:
    """The setting `recipient_delimiter` of this process.

    A process serves one instance, and that setting decides what is an address there, as the rules
    above do: for parsers, indexes, routing and messages. So it is set once at the start, and no
    parameter of each of them.
    """

    delimiters = "+"


def use_delimiters(chars: str) -> None:
    """Sets the characters that begin an extension, for all that this process does from now on; ""
    for none. Commands, `up` and the policy service call it first of all."""
    _Extensions.delimiters = chars


def delimiters() -> str:
    """The characters that begin the extension of an address; "" where there are no extensions."""
    return _Extensions.delimiters


#: Addresses that Postfix never splits, whatever the delimiter is.
_WHOLE = frozenset(("mailer-daemon", "double-bounce"))


def split_extension(local: str) -> tuple[str, str]:
    """User and extension (with its delimiter) of what stands before the `@` (split_addr(3)). The
    first delimiter counts; Dovecot splits in the same way."""
    chars = _Extensions.delimiters
    if len(chars) == 1:
        place = local.find(chars)
    else:
        place = min((at for char in chars if (at := local.find(char)) >= 0), default=-1)
    if place <= 0 or (chars != "+" and local.lower() in _WHOLE):
        return local, ""
    return local[:place], local[place:]


def qualified(address: str, origin: str) -> str:
    """An address as trivial-rewrite(8) completes it: a bare name is one of the server's own domain,
    and a domain loses the dot at its end."""
    if "@" not in address:
        address = f"{address}@{origin}"
    return address[:-1] if address[-1:] == "." and address[-2:-1] not in ".@" else address


def is_idna(domain: str) -> bool:
    """Whether a folded domain has other spellings, so that no search of a text finds it."""
    return "xn--" in domain


def example(key: str) -> str:
    """An address whose mail an alias gets; for a catch-all one that nobody else can have."""
    return f'"any"{key}' if key.startswith("@") else key


def fold(text: str) -> str:
    """The spelling under which an address is kept and looked up; judges nothing, never fails."""
    text = text.strip(" \t\r").lower()
    if text.isascii():
        return text
    local, domain = split(text)
    try:
        return f"{local}@{fold_domain(domain)}" if domain else text
    except ParseError:
        return text


def fold_domain(text: str) -> str:
    """A domain in lower case and A-labels. Raises ParseError if it can't be one (RFC 1035, RFC
    5890)."""
    domain = text.lower()
    if not domain.isascii():
        import idna  # 15 ms: only for those who need it

        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise _malformed(f"domain {text!r} has no IDNA form ({error})") from None
    for label in domain.split("."):
        if not label:
            raise _malformed(f"domain {text!r} has an empty part")
        if label[0] == "-" or label[-1] == "-" or not _LABEL.issuperset(label):
            raise _malformed(f"domain part {label!r} is not letters, digits and inner hyphens")
        if len(label) > LABEL_MAX_OCTETS:
            raise _malformed(f"domain part {label!r} is longer than {LABEL_MAX_OCTETS} octets")
    return domain


def account(text: str) -> Address:
    """The address of an account. Raises ParseError with the reason for what can't be one."""
    if not text.partition("@")[0].isascii():
        raise _malformed(f"{text!r} has a non-ASCII character before the '@'")
    local, at, domain = text.lower().partition("@")
    if not at:
        raise _malformed(f"{text!r} is not local@domain")
    if not local or not domain:
        raise _malformed(f"{text!r} has nothing on one side of the '@'")
    if "@" in domain:
        raise _malformed(f"{text!r} has more than one '@'")
    for char in _Extensions.delimiters:
        if char in local:
            setting = "" if char == "+" else ", by the setting recipient_delimiter"
            message = f"{text!r} has {char!r}, which sets off the extension of an address{setting}"
            raise _malformed(message)
    if not _LOCAL.issuperset(local):
        char = next(char for char in local if char not in _LOCAL)
        raise _malformed(f"{text!r} has {char!r}, which an account can't have before the '@'")
    if local[0] in "#-":
        raise _malformed(f"{text!r} begins with {local[0]!r}")
    if _has_empty_part(local):
        raise _malformed(f"{text!r} has an empty part between dots")
    return _measured(f"{local}@{fold_domain(domain)}", local)


def alias(text: str) -> Address:
    """The key of an alias: `user@domain`, `user` or `@domain`, as virtual(5) reads it."""
    _printable(text)
    local, domain = split(text.lower())
    if "*" in local:
        message = f"{text!r} has '*', which stands for nothing but itself"
        hint = "write @example.com for a whole domain, or a pattern in postfix-regexp.cf"
        raise ParseError("malformed-address", message, hint)
    if local and _has_empty_part(local):
        raise _malformed(f"{text!r} has an empty part between dots, where Postfix looks for quotes")
    if not domain:
        if text.endswith("@"):
            raise _malformed(f"{text!r} has nothing behind the '@'")
        return _measured(recipient(local), local)  # what no recipient can be is of no use as a key
    return _measured(f"{local}@{_deliverable(fold_domain(domain))}", local)


def access(text: str) -> Address:
    """The key of a restriction: `user@domain`, `user@`, `domain`, or `.domain`, as access(5) reads
    it."""
    if "@" in text or text.isascii():
        return alias(text)
    dot = text[:1] if text[:1] == "." else ""
    return _measured(dot + fold_domain(text[len(dot) :]), "")


def recipient(text: str) -> str:
    """A recipient of an alias, its case kept before the `@`: `user@domain`, `user`, `@domain`.

    An ASCII domain may be any that Postfix delivers to: one with a `_`, or a dot at its end, too.
    Raises ParseError for what Postfix can't deliver to, and for what it doesn't read as one
    address (`john@example.com;`).
    """
    if text[:1] == "#":
        message = f"{text!r} is no comment behind an entry"
        raise ParseError("malformed-address", message, COMMENT_BEHIND)
    bare = text.strip('"').lower()
    if "@" not in text and (bare[:1] in ("|", "/") or bare.startswith(":include:")):
        raise _unsafe(bare)
    _printable(text)
    local, domain = split(text)
    if not domain:
        if "@" in text:
            raise _malformed(f"{text!r} has nothing behind the '@'")
        if "!" in text or "%" in text:
            raise _malformed(f"{text!r} is a name without a domain")
        return _measured(text, text)
    domain = _deliverable(domain.lower()) if domain.isascii() else fold_domain(domain)
    return _measured(f"{local}@{domain}", local)


def _deliverable(domain: str) -> str:
    """An ASCII domain in lower case. Raises ParseError for one that Postfix bounces mail for
    (valid_hostname(3)), and for an IP address: it may be this server's own, which bounces too."""
    labels = domain.removesuffix(".").split(".")
    for label in labels:
        if label and label[0] != "-" != label[-1] and _MAIL_LABEL.issuperset(label):
            if len(label) > LABEL_MAX_OCTETS:
                raise _malformed(f"{domain!r} has a part longer than {LABEL_MAX_OCTETS} octets")
            continue
        message = f"{domain!r} can't be a domain"
        if "#" in label:
            hint = COMMENT_BEHIND
        elif domain[-1] in ";:" and _MAIL_LABEL.issuperset(label[:-1]):
            hint = f"remove the {domain[-1]!r}; recipients are separated by commas and blanks"
        elif domain[0] == "[":
            hint = "write the name of the server in place of its IP address"
        else:
            hint = "write it as user@example.com"
        raise ParseError("malformed-address", message, hint)
    if domain.replace(".", "").isdigit():
        hint = "write the name of the server in place of its IP address"
        raise ParseError("malformed-address", f"{domain!r} can't be a domain", hint)
    return domain


def _unsafe(text: str) -> ParseError:
    message = f"'{text[:1]}…' is a program or a file, where mail can't go"
    hint = "give it addresses; to discard mail, name an alias of postfix-aliases.cf that leads to "
    return ParseError("unsafe-recipient", message, f"{hint}/dev/null")


def _printable(text: str) -> None:
    """Raises ParseError for what no address in a Postfix table can hold as one word."""
    if not text:
        raise _malformed("an empty address")
    if not text.isprintable() or not _NO_WORD.isdisjoint(text):
        char = next(char for char in text if char in _NO_WORD or not char.isprintable())
        raise _malformed(f"{text!r} has {char!r}")
    if text[0] in "#-":
        raise _malformed(f"{text!r} begins with {text[0]!r}")
    local = split(text)[0]
    if not _NO_LOCAL.isdisjoint(local):
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
