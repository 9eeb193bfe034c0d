"""`dovecot-app-passwords.cf`: further passwords of accounts, one for each device or program.

    app-password = address "|" label "|" "{SHA256.HEX}" digest [ "|" option *( blanks option ) ]
    option       = "services=" services / "until=" moment / "allow_nets=" networks

    jane.doe@example.com|phone|{SHA256.HEX}9f86d0…|services=imap,smtp until=2026-12-31

One physical line each, without blanks around the address and the label. The digest is the SHA-256
of a generated password, 64 hexadecimal digits: it needs no salt and no slow hash, since no list of
passwords contains 118 random bits. A label has letters, digits and `.-_`; its case does not count.
Without `services=` the password opens every protocol. The forms of `until=` are in
mailroster.base.end_date, those of `allow_nets=` in mailroster.roster.formats.extra_fields.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base import address
from mailroster.base.address import Address, is_idna, split
from mailroster.base.end_date import end_of
from mailroster.base.findings import COMMENT_BEHIND, ParseError
from mailroster.base.services import SERVICES, services_of, services_text
from mailroster.roster.documents.format import Format, Plain
from mailroster.roster.documents.text import check_text
from mailroster.roster.formats import credentials

LABEL_MAX = 40
SCHEME = "{SHA256.HEX}"
DIGEST_DIGITS = 64
_HEXADECIMAL = frozenset("0123456789abcdef")
_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_OF_LABELS = _ALPHANUMERIC | frozenset("._-")
_OPTIONS = ("services", "until", "allow_nets")
_OF_VALUES = _ALPHANUMERIC | frozenset("T:./,-")
_BLANKS = " \t\r\ufeff"


class AppPassword(NamedTuple):
    key: str  # address "|" label
    address: Address
    label: str  # in lower case
    digest: str  # in lower case
    services: tuple[str, ...] | None = None  # None is every protocol
    until: str = ""
    allow_nets: str = ""

    def options(self) -> str:
        """Its options as the file has them."""
        services = "" if self.services is None else services_text(self.services)
        values = {"services": services, "until": self.until, "allow_nets": self.allow_nets}
        return " ".join(f"{name}={value}" for name, value in values.items() if value)


class AppPasswords(Format[AppPassword]):
    file = "dovecot-app-passwords.cf"
    secret = True

    def hidden(self, line: str) -> str:
        """`…` replaces the digest, and each part that may be a hash in the wrong column."""
        name, *rest = line.split("|", 3)
        shown = [credentials.hidden(f"{name}|").partition("|")[0]] if rest else []
        for part, text in zip(("label", "digest", "options"), rest, strict=False):
            if part == "label":
                shown.append(text if _is_label(text.lower()) else "…")
            elif part == "digest":
                shown.append(f"{SCHEME if text.startswith(SCHEME) else ''}…")
            else:
                words = re.split(r"([ \t\r]+)", text)
                shown.append("".join(word if _may_be_shown(word) else "…" for word in words))
        return "|".join(shown) if rest else credentials.hidden(line)

    def key(self, line: str) -> str:
        name = address.fold(credentials.name(line))
        if not name:
            return ""
        parts = line.split("|", 2)
        label = parts[1].lower() if len(parts) > 1 else ""
        return key(name, label if _is_label(label) else "")

    def parse(self, line: str) -> AppPassword:
        check_text(line)
        name, *rest = line.rstrip("\r").split("|", 3)
        if len(rest) < 2:
            message, hint = "the line has fewer than three fields", _hint()
            raise ParseError("malformed-app-password", message, hint)
        login = address.account(credentials.fields(line)[0])
        if name.lstrip(_BLANKS) != name.strip(_BLANKS):
            raise ParseError(
                "malformed-app-password", "a blank is in front of the first '|'", "remove it"
            )
        label_text = label(rest[0], shown=False)
        services, until, nets = _options(rest[2] if len(rest) > 2 else "")
        return AppPassword(
            key(login, label_text), login, label_text, _digest(rest[1]), services, until, nets
        )

    def plain(self) -> Plain[AppPassword] | None:
        """A line in lower case without options, or with `services=` alone."""
        if address.delimiters().strip("+"):
            return None
        services, label = "|".join(SERVICES), rf"[a-z0-9][a-z0-9._-]{{0,{LABEL_MAX - 1}}}"
        tail = rf"(?:\|services=(?:{services})(?:,(?:{services}))*)?"
        pattern = rf"({address.PLAIN}\|{label})\|{re.escape(SCHEME)}[0-9a-f]{{64}}{tail}"
        return Plain(re.compile(pattern).fullmatch, _plain_entry)

    def mentions(self, entry: AppPassword) -> Iterable[tuple[str, str]]:
        return (split(entry.address),)

    def needles(self, user: str, domain: str) -> list[str]:
        return [f"{user}@" if is_idna(domain) else f"{user}@{domain}"]


def _plain_entry(line: str) -> AppPassword:
    """The entry of a line of the plainest form; `AppPasswords.parse` takes five times as long."""
    login, name, hash, *options = line.split("|")
    services = services_of(options[0].partition("=")[2]) if options else None
    return AppPassword(f"{login}|{name}", Address(login), name, hash[len(SCHEME) :], services)


APP_PASSWORDS = AppPasswords()


def key(login: str, label: str) -> str:
    """The key of an app password."""
    return f"{login}|{label}"


def line(entry: AppPassword) -> str:
    """An app password as a line of the file."""
    options = entry.options()
    return f"{entry.key}|{SCHEME}{entry.digest}" + (f"|{options}" if options else "")


def label(text: str, *, shown: bool = True) -> str:
    """A label in lower case. Raises ParseError; `shown`: the message may contain the text."""
    lower = text.lower()
    if not _is_label(lower):
        message = f"{text!r} is not a valid label" if shown else "the label is not valid"
        hint = f"use letters, digits and . - _, at most {LABEL_MAX}, without blanks"
        raise ParseError("malformed-app-password", message, hint)
    return lower


def digest_of(password: str) -> str:
    """The digest of an app password, as the file has it."""
    from hashlib import sha256

    return sha256(password.encode()).hexdigest()


def _hint() -> str:
    return f"write ADDRESS|LABEL|{SCHEME}DIGEST"


def _is_label(text: str) -> bool:
    fits = 0 < len(text) <= LABEL_MAX and _OF_LABELS.issuperset(text)
    return fits and text[0] in _ALPHANUMERIC


def _is_option(word: str) -> bool:
    """Whether an option may be shown: any other may be a hash in the wrong column."""
    name, equals, value = word.partition("=")
    return bool(equals) and name in _OPTIONS and _OF_VALUES.issuperset(value)


def _may_be_shown(word: str) -> bool:
    return not word.strip(_BLANKS) or _is_option(word)


def _digest(text: str) -> str:
    """The hexadecimal digits of a digest. Raises ParseError, which does not show them."""
    scheme, digits = text[: len(SCHEME)], text[len(SCHEME) :].rstrip(" \t").lower()
    if scheme != SCHEME:
        message = f"the digest does not begin with {SCHEME}"
        raise ParseError("malformed-hash", message, "add it by `setup email app-password add`")
    if len(digits) != DIGEST_DIGITS or not _HEXADECIMAL.issuperset(digits):
        hint = COMMENT_BEHIND if " #" in text else "write the 64 hexadecimal digits of the SHA-256"
        raise ParseError("malformed-hash", "the digest does not have 64 digits", hint)
    return digits


def _options(text: str) -> tuple[tuple[str, ...] | None, str, str]:
    """The protocols, the end date and the networks of the last field. Raises ParseError, which does
    not show what may be a hash."""
    values: dict[str, str] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        if not _is_option(word) or not value or name in values:
            message = "an option is unknown, has a bad character or occurs twice"
            hint = "write services=, until= or allow_nets= with a value, each once"
            raise ParseError(
                "malformed-app-password", message, COMMENT_BEHIND if word[0] == "#" else hint
            )
        values[name] = value
    services = services_of(values["services"]) if "services" in values else None
    if services == ():
        message = "an app password that opens no protocol has no use"
        raise ParseError("malformed-app-password", message, "remove the line, or name a protocol")
    until, nets = values.get("until", ""), values.get("allow_nets", "")
    if until:
        end_of(until)
    if nets:
        from mailroster.roster.formats import extra_fields

        extra_fields.check([("allow_nets", nets)])
    return services, until, nets
