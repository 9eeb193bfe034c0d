"""DKIM (RFC 6376): the files of keys in a config folder, which keys sign, and the files of
OpenDKIM (opendkim.conf(5)). Pure text.

    opendkim/keys/example.com/mail.private               a key in PEM format
    rspamd/dkim/rsa-2048-mail-example.com.private.txt    PEM; for Ed25519 also base64 of the seed

The places and names are those of docker-mailserver. Its tables (`opendkim/SigningTable`) are read
only to choose between several keys of a domain, and never written.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from mailroster.analysis.dns.dkim_record import record_name
from mailroster.base import address
from mailroster.base.findings import ParseError
from mailroster.base.layout import Layout

OPENDKIM_KEYS, RSPAMD_KEYS = "opendkim/keys", "rspamd/dkim"
SIGNING_TABLE = "opendkim/SigningTable"
PRIVATE, RECORD = ".private", ".txt"
RSPAMD_PRIVATE, RSPAMD_PUBLIC = ".private.txt", ".public.txt"
RSA, ED25519 = "rsa", "ed25519"
KINDS = (RSA, ED25519)
SIZES = (1024, 2048, 4096)
#: The selector that docker-mailserver uses.
SELECTOR = "mail"
#: The parameters of main.cf with the milter, in a private Postfix and in that of a host.
MILTER, SUBMISSION_MILTERS = "dkim_milter", "submission_milters"
NON_SMTPD, MILTER_MAPS = "non_smtpd_milters", "smtpd_milter_maps"
#: Mail that Postfix itself creates, and that passes non_smtpd_milters then.
FILTER_CLASSES = "internal_mail_filter_classes"
OWN_MAIL = "bounce, notify"

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_RSPAMD = re.compile(r"(?:rsa-[0-9]+|ed25519)-(.+)")
#: A time in seconds; more digits are no date.
_TIME_DIGITS = 10


class KeyFile(NamedTuple):
    """A file with a private key. `file` is relative to the config folder."""

    domain: str  # A-labels, lower case
    selector: str
    file: str


class Key(NamedTuple):
    """A usable private key. `pem` is its text, `digest` the name of its copy for OpenDKIM."""

    domain: str
    selector: str
    file: str
    kind: str  # RSA or ED25519
    pem: bytes
    digest: str

    def name(self) -> str:
        return record_name(self.domain, self.selector)


class Rotation(NamedTuple):
    """A change of the selector of a domain: `old` signs until DNS has the record of `new`. `since`:
    the time from which `new` signs, in seconds; 0 before. One that is over has `new` as `old`; it
    stays only if another key would sign without it."""

    new: str
    old: str
    since: int = 0

    def signing(self) -> str:
        return self.new if self.since else self.old

    def is_over(self) -> bool:
        return self.new == self.old


def selector_fault(selector: str) -> str:
    """What is wrong with a selector (RFC 6376, 3.1); "" if it is valid."""
    if len(selector) <= 63 and all(map(_LABEL.fullmatch, selector.split("."))):
        return ""
    return "write letters, digits and hyphens, as mail or 2026a"


def opendkim_key(domain: str, name: str) -> KeyFile | None:
    """The key of a file `name` in the folder of a domain; None for another file."""
    selector = name.removesuffix(PRIVATE)
    if selector == name or selector_fault(selector) or not (folded := _domain(domain)):
        return None
    return KeyFile(folded, selector, f"{OPENDKIM_KEYS}/{domain}/{name}")


def rspamd_key(name: str, served: Collection[str]) -> KeyFile | None:
    """The key of a file of Rspamd; None for another file.

    Selectors and domains may contain hyphens: so the longest served domain at its end counts, else
    the part behind the first hyphen."""
    match = _RSPAMD.fullmatch(name.removesuffix(RSPAMD_PRIVATE))
    if match is None or not name.endswith(RSPAMD_PRIVATE):
        return None
    splits = [i for i, char in enumerate(match[1]) if char == "-"]
    splits = [i for i in splits if match[1][i + 1 :] in served] or splits
    for split in splits:
        selector, domain = match[1][:split], _domain(match[1][split + 1 :])
        if domain and not selector_fault(selector):
            return KeyFile(domain, selector, f"{RSPAMD_KEYS}/{name}")
    return None


def _domain(text: str) -> str:
    """A domain as its A-labels; "" if it is none."""
    try:
        return address.fold_domain(text)
    except ParseError:
        return ""


def preferred(signing_table: str) -> dict[str, set[str]]:
    """The selectors that a SigningTable of docker-mailserver names, by domain:
    `*@example.com mail._domainkey.example.com`."""
    result: dict[str, set[str]] = {}
    for line in signing_table.split("\n"):
        words = line.partition("#")[0].split()
        if len(words) == 2:
            selector, middle, _ = words[1].partition("._domainkey.")
            if middle:
                result.setdefault(_domain(words[0].rpartition("@")[2]), set()).add(selector)
    return result


def chosen(
    keys: Iterable[Key], selectors: Mapping[str, Collection[str]], rotations: Mapping[str, Rotation]
) -> list[Key]:
    """The keys that sign: of each domain one of each kind. A rotation decides, then the selectors
    of a SigningTable, then SELECTOR, then the order of the alphabet."""
    groups: dict[tuple[str, str], list[Key]] = {}
    for key in keys:
        groups.setdefault((key.domain, key.kind), []).append(key)
    result = []
    for (domain, _), group in groups.items():
        rotation = rotations.get(domain)
        signing = rotation.signing() if rotation else ""
        named = selectors.get(domain, ())

        def rank(key: Key, signing: str = signing, named: Collection[str] = named) -> tuple:  # type: ignore[type-arg]
            selector = key.selector
            return (
                selector != signing,
                selector not in named,
                selector != SELECTOR,
                key.file.startswith(RSPAMD_KEYS),
                selector,
            )

        result.append(min(group, key=rank))
    return sorted(result, key=lambda key: (key.domain, key.kind))


# -- the file of a rotation


def rotation_text(rotation: Rotation) -> str:
    return (
        "# Written by mailroster: a rotation of the key of this domain.\n"
        f"new {rotation.new}\nold {rotation.old}\nsince {rotation.since}\n"
    )


def parse_rotation(text: str) -> Rotation | None:
    """The rotation of a file; None if there is none, or if it is damaged or cut off."""
    if not text.endswith("\n"):
        return None
    words = dict(line.split(" ", 1) for line in text.split("\n") if " " in line)
    new, old, since = words.get("new", ""), words.get("old", ""), words.get("since", "")
    is_time = since.isascii() and since.isdecimal() and len(since) <= _TIME_DIGITS
    if selector_fault(new) or selector_fault(old) or not is_time:
        return None
    return Rotation(new, old, int(since))


# -- the files of OpenDKIM


def key_table(keys: Sequence[Key], layout: Layout) -> str:
    """KeyTable: the name of a key, and where it is."""
    return "".join(
        f"{key.name()} {key.domain}:{key.selector}:{layout.signer_keys}/{key.digest}\n"
        for key in keys
    )


def signing_table(keys: Sequence[Key], hostname: str) -> str:
    """SigningTable: the authors whose mail a key signs. What the server itself sends comes from an
    address of its own name, which the key of a domain above it signs, if it has none itself (the
    identifiers are aligned: RFC 7489, 3.1.1)."""
    domains = {key.domain for key in keys}
    own, labels = "", hostname.lower().split(".")
    for i in range(len(labels) - 1):
        if (parent := ".".join(labels[i:])) in domains:
            own = "" if i == 0 else parent
            break
    lines = [f"*@{key.domain} {key.name()}\n" for key in keys]
    lines += [f"*@{hostname.lower()} {key.name()}\n" for key in keys if key.domain == own]
    return "".join(lines)


def opendkim_conf(layout: Layout, kind: str, user: str, group: str, networks: Sequence[str]) -> str:
    """opendkim.conf for one kind of keys. It signs only mail of users who logged in, of this
    machine, and of `networks`: a stranger must never get a signature, whatever a postfix-main.cf
    sends to this milter."""
    internal = ",".join(("127.0.0.1", "::1", "localhost", *networks))
    paths = layout.signer(kind)
    return f"""\
# Written by mailroster: changes made here are lost.
UserID {user}:{group}
UMask 007
Socket local:{paths.socket}
PidFile {paths.pid}
Mode s
SignatureAlgorithm {kind}-sha256
Syslog yes
Canonicalization relaxed/relaxed
OversignHeaders From
KeyTable file:{paths.key_table}
SigningTable refile:{paths.signing_table}
# The copies are 0400 of its own user; it would also refuse a folder below a sticky one, as /tmp.
RequireSafeKeys no
InternalHosts {internal}
On-Default tempfail
On-BadSignature accept
On-NoSignature accept
"""


# -- Postfix


def milter(layout: Layout, kinds: Iterable[str]) -> str:
    """The milters for main.cf, one for each kind of keys. While one does not answer, mail is
    refused for now or waits: it never leaves without a signature (postconf(5),
    milter_default_action)."""
    limits = "connect_timeout=5s, command_timeout=15s, content_timeout=60s"
    sockets = (layout.from_postfix(layout.signer(kind).socket) for kind in kinds)
    return ", ".join(
        f"{{ unix:{socket}, default_action=tempfail, {limits} }}" for socket in sockets
    )


def with_milter(milters: str, name: str) -> str:
    """A list of milters with ours as the last: it signs what the others have made of a message."""
    if re.search(rf"\$\{{?{name}\b", milters):
        return milters
    return ", ".join(filter(None, (milters.strip().rstrip(","), f"${name}")))


def networks(mynetworks: str) -> list[str]:
    """The plain networks in a value of mynetworks. Tables, files and exceptions are left out."""
    import ipaddress  # 4 ms: only if there are networks

    result = []
    for word in mynetworks.replace(",", " ").split():
        try:
            result.append(str(ipaddress.ip_network(word.replace("[", "").replace("]", ""), False)))
        except ValueError:
            continue
    return result


def milter_maps(trusted: Sequence[str], milters: str) -> str:
    """The value of smtpd_milter_maps with which clients of networks that may send without a login
    pass the milters of submissions; "" for no network."""
    rules = " ".join(f"{{ {network} {milters} }}" for network in trusted)
    return f"cidr:{{ {rules} }}" if rules else ""
