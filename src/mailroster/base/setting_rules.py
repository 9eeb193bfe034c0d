"""The values that each setting accepts, beyond its type.

A value goes into main.cf, master.cf, dovecot.conf, an SQL query of Dovecot or a script. A rule
accepts only what all of them read as one plain value, so that no value can inject another setting.
"""

import re
from collections.abc import Callable, Mapping

from mailroster.base import address, sizes
from mailroster.base.findings import ParseError
from mailroster.base.services import services_of

#: What a relay must offer, the weakest first (postconf(5), smtp_tls_security_level).
RELAY_TLS_LEVELS = ("may", "encrypt", "verify", "secure")
LOG_LEVELS = ("error", "warn", "info", "debug", "trace")
#: The names of formats.cost.SCHEMES.
PASSWORD_SCHEMES = ("SHA512-CRYPT", "BLF-CRYPT", "ARGON2ID")
#: The kinds of certificates, as docker-mailserver names them.
TLS_TYPES = ("letsencrypt", "custom", "self-signed", "manual")
#: The ports, by their names in `proxy_protocol`; those of Postfix first.
PORTS = ("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "sieve")
_EVERYWHERE = frozenset(("0.0.0.0", "*", "::"))

PORT_MAX = 65535
DNS_PORT = 53
#: The largest uid that every program accepts (a signed 32-bit number).
ID_MAX = (1 << 31) - 1
SIZE_MAX_BYTES = 1 << 60
#: A longer password has no hash by SHA512-CRYPT (password.CRYPT_MAX_BYTES).
PASSWORD_LENGTH_MAX = 500
SETTLE_MAX_S = 3600
HOST_MAX_OCTETS = 253
_SHOWN_MAX = 80
#: Settings whose values are never shown, nor stored.
SECRETS = frozenset(("srs_secret",))
#: Characters with a meaning in main.cf, dovecot.conf or a query of Dovecot.
_NOT_IN_PATHS = frozenset(" \t\"'$%{},:;#\\|<>*?[]")
#: The local part of a postmaster: the plain characters of an address, and an extension.
_POSTMASTER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._+-")

#: Returns how a message goes on after "VALUE is", or "" if the value is valid.
Rule = Callable[[str], str]


def fault(name: str, value: str | int) -> str:
    """What is wrong with the value of a setting, and what to write; "" if it is valid."""
    if isinstance(value, bool) or name not in RULES or value == "":
        return ""
    error = RULES[name](str(value))
    shown = "the value" if name in SECRETS else _short(repr(value))
    return f"{name}: {shown} is {error}" if error else ""


def _short(text: str) -> str:
    """A value, shortened for a message: it may have any length."""
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def host_fault(name: str) -> str:
    """What is wrong with the name of a host (RFC 952, RFC 1123); "" if it is valid."""
    error = "not a host name; write letters, digits, hyphens and dots, as mail.example.com"
    if len(name) > HOST_MAX_OCTETS or not name.isascii() or name.rpartition(".")[2].isdigit():
        return error
    try:
        address.fold_domain(name)
    except ParseError:
        return error
    return ""


def path_fault(path: str) -> str:
    """What is wrong with a path in the configuration of the servers; "" if it is valid."""
    if bad := sorted(char for char in path if char in _NOT_IN_PATHS or not char.isprintable()):
        return f"a path with {bad[0]!r}, which the servers would misread; use another path"
    return ""


def _absolute(path: str) -> str:
    return path_fault(path) or ("" if path[0] == "/" else "not an absolute path; begin it with /")


def _port(text: str) -> str:
    return "" if 1 <= int(text) <= PORT_MAX else f"not a port; write a number from 1 to {PORT_MAX}"


def _port_or_off(text: str) -> str:
    return "" if text == "0" else _port(text).replace(str(PORT_MAX), f"{PORT_MAX}, or 0 for off")


def _id(text: str) -> str:
    if 1 <= int(text) <= ID_MAX:
        return ""
    return f"not a valid uid or gid for the mail; write a number from 1 to {ID_MAX} (0 is root)"


def _at_most(most: int) -> Rule:
    return lambda text: "" if int(text) <= most else f"too large; write at most {most}"


def _one_of(*words: str) -> Rule:
    return lambda text: "" if text in words else f"not one of {', '.join(words)}"


def _scheme(text: str) -> str:
    return _one_of(*PASSWORD_SCHEMES)(text.upper())


def _services(text: str) -> str:
    try:
        services_of(text)
    except ParseError as fault:
        return f"not a list of protocols; {fault.hint}"
    return ""


def words(text: str) -> list[str]:
    """The words of a list, separated by commas or blanks; each once."""
    return list(dict.fromkeys(text.replace(",", " ").split()))


def is_everywhere(listen: str) -> bool:
    """Whether `listen` means every address of the machine."""
    return _EVERYWHERE.issuperset(words(listen))


def proxied(text: str) -> frozenset[str]:
    """The ports that `proxy_protocol` names."""
    names = words(text)
    return frozenset(PORTS if names == ["all"] else names)


def _listen(text: str) -> str:
    addresses = words(text)
    if addresses and is_everywhere(text):
        return ""
    if addresses and all(_is_ip(word) and word not in _EVERYWHERE for word in addresses):
        return ""
    return "not valid; write IP addresses with commas between, or * for all addresses"


def _proxied(text: str) -> str:
    if proxied(text) <= set(PORTS):
        return ""
    return f"not a list of ports; write all, or some of {', '.join(PORTS)} with commas between"


def _networks(text: str) -> str:
    import ipaddress  # 4 ms: only if there are networks

    for word in words(text):
        try:
            ipaddress.ip_network(word)
        except ValueError:
            return "not a list of addresses and networks; write them as 10.0.0.5, 10.1.0.0/16"
    return ""


def _networks_or_none(text: str) -> str:
    return "" if text == "none" else _networks(text)


def _domain(text: str) -> str:
    return host_fault(text.removeprefix("*."))


def _domains(text: str) -> str:
    return next(filter(None, map(host_fault, words(text))), "")


def _sender_classes(text: str) -> str:
    """Classes of canonical mapping (postconf(5), sender_canonical_classes)."""
    known = ("envelope_sender", "header_sender")
    if words(text) and set(words(text)) <= set(known):
        return ""
    return f"not a list of classes; write {' or '.join(known)}, or both with a comma between"


def _secrets(text: str) -> str:
    """Lines are as good as commas: a secret is often read from a file."""
    secrets = words(text)
    if secrets and all(secret.isascii() and secret.isprintable() for secret in secrets):
        return ""
    return "not a list of secrets; write ASCII characters without blanks, and commas between"


def _is_ip(text: str) -> bool:
    """Whether a text is an IP address, without a scope (`%eth0`)."""
    import ipaddress  # 4 ms: only if an address is set

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def name_server(text: str) -> tuple[str, int] | None:
    """The address and the port of `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or
    `[2001:db8::1]:5353`; None for another text."""
    port = r"(?::([0-9]{1,5}))?"
    match = re.fullmatch(rf"\[(.+)\]{port}|([^:\[\]]+){port}|([^\[\]]+)", text)
    if match is None:
        return None
    address, number = match[1] or match[3] or match[5], int(match[2] or match[4] or DNS_PORT)
    return (address, number) if _is_ip(address) and 0 < number <= PORT_MAX else None


def _dns_server(text: str) -> str:
    if name_server(text):
        return ""
    return "not a DNS server; write its IP address, as 192.0.2.53 or [2001:db8::53]:53"


def _redis(text: str) -> str:
    error = "not a Redis server; write host:port, as 127.0.0.1:6379, or the path of a socket"
    if text.startswith("/"):
        return error if any(char < "!" for char in text) else ""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        is_host = _is_ip(host[1:-1])
    else:
        is_host = ":" not in host and (_is_ip(host) or not host_fault(host.replace("_", "x")))
    is_port = port.isascii() and port.isdecimal() and len(port) < 6 and not _port(port)
    return "" if is_host and is_port else error


def _postmaster(text: str) -> str:
    error = "not an address; write it as postmaster@example.com"
    local, _, domain = text.partition("@")
    plain = local and domain and _POSTMASTER.issuperset(local.lower()) and local[0] not in "-+."
    if not plain or len(local) > address.LOCAL_MAX_OCTETS or ".." in f"{local}.":
        return error
    return error if not domain.isascii() or host_fault(domain) else ""


def _delimiter(text: str) -> str:
    if text == "none" or (len({*text}) == len(text) and {*text} <= {*address.DELIMITERS}):
        return ""
    return f"not a delimiter; write one or more of {address.DELIMITERS}, each once, or none"


def _size(text: str) -> str:
    try:
        sizes.normal_size(text)
    except ParseError:
        return "not a size; write a size like 50M or 1G, or 0 for none"
    return ""


def _relays(text: str) -> str:
    """One relay, or several with commas or blanks between them (docs/topics/relay.md)."""
    for word in text.replace(",", " ").split():
        if not _is_relay(word):
            return "not a relay; write [host]:port, or host for the MX of a domain"
    return ""


def _is_relay(text: str) -> bool:
    host, port = text, ""
    if text[:1] == "[":
        host, bracket, rest = text[1:].partition("]")
        if not bracket or rest[:1] not in ("", ":"):
            return False
        port = rest[1:] if rest else "25"
    elif ":" in text:
        host, _, port = text.partition(":")
    else:
        port = "25"
    literal = host.removeprefix("ipv6:") if text[:1] == "[" else host
    # Containers often have an underscore in their names, which Postfix accepts.
    if host_fault(host.replace("_", "x")) and not (
        _is_ip(literal) and (text[:1] == "[" or "." in literal)
    ):
        return False
    if port.isdecimal():
        return port.isascii() and len(port) <= 5 and not _port(port)
    return bool(port) and port.isascii() and port.replace("-", "").isalnum() and port[0].isalpha()


RULES: Mapping[str, Rule] = {
    **{f"{port}_port": _port_or_off for port in PORTS},
    "hostname": host_fault,
    "listen": _listen,
    "proxy_protocol": _proxied,
    "trusted_proxies": _networks,
    "never_blocked": _networks_or_none,
    "postmaster_address": _postmaster,
    "mailbox_size_limit": _at_most(SIZE_MAX_BYTES),
    "recipient_delimiter": _delimiter,
    "trash_room": _size,
    "message_size_limit": _at_most(SIZE_MAX_BYTES),
    "relayhost": _relays,
    "dns_server": _dns_server,
    "rspamd_redis": _redis,
    "srs_exclude_domains": _domains,
    "srs_domain": host_fault,
    "srs_sender_classes": _sender_classes,
    "srs_secret": _secrets,
    "srs_forward_port": _port,
    "srs_reverse_port": _port,
    "relay_tls_level": _one_of(*RELAY_TLS_LEVELS),
    "log_level": _one_of(*LOG_LEVELS),
    "vmail_uid": _id,
    "vmail_gid": _id,
    "password_scheme": _scheme,
    "login_reports_port": _port_or_off,
    "main_password_services": _services,
    "password_min_length": _at_most(PASSWORD_LENGTH_MAX),
    "tls_certificate": _absolute,
    "tls_key": _absolute,
    "tls_alt_certificate": _absolute,
    "tls_alt_key": _absolute,
    "tls_type": _one_of(*TLS_TYPES),
    "tls_domain": _domain,
    "index_from_bytes": _at_most(SIZE_MAX_BYTES),
    "settle_seconds": _at_most(SETTLE_MAX_S),
    "history_bytes": _at_most(SIZE_MAX_BYTES),
}
