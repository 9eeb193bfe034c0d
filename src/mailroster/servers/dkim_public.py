"""Reads the public part of the DKIM keys of a domain, in the places of docker-mailserver:
`opendkim/keys/DOMAIN/SELECTOR.private`, `rspamd/dkim/rsa-BITS-SELECTOR-DOMAIN.private.txt` and
`rspamd/dkim/ed25519-SELECTOR-DOMAIN.private.txt`.

The private key goes to openssl through its standard input, never into an argument or a message.
"""

import base64
import binascii
import os
import re
from collections.abc import Callable, Iterator

from mailroster.analysis.dns.facts import DkimKey
from mailroster.base.findings import ServerError, printable
from mailroster.store.links import ConfigFolder
from mailroster.system.files import SMALL_MAX_BYTES, reason
from mailroster.system.programs import run

_OPENDKIM, _RSPAMD = "opendkim/keys", "rspamd/dkim"
_SELECTOR = r"[a-z0-9_](?:[a-z0-9_.-]{0,61}[a-z0-9_])?"
_KEYS_MAX = 20
#: The head of a private key of Ed25519 (RFC 8410, 7), before its 32 octets: Rspamd stores only
#: these, or these and the public key.
_ED25519_HEAD = bytes.fromhex("302e020100300506032b657004220420")
_ED25519_OCTETS = 32


def public_keys(
    config: ConfigFolder,
    domain: str,
    warn: Callable[[str], None],
    is_served: Callable[[str], bool] = lambda domain: False,
) -> list[DkimKey]:
    """The keys of a domain, by their selectors. Warns of a key that can't be read. `is_served`
    says whether another domain is served: then `rsa-2048-mail-a-b.com` is the key of `a-b.com`, not
    of `b.com`."""
    keys: dict[str, DkimKey] = {}
    for selector, file in sorted(_key_files(config, domain, warn, is_served))[:_KEYS_MAX]:
        try:
            keys.setdefault(selector, _read_key(config, selector, file))
        except (OSError, ServerError, ValueError) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            warn(f"warning: the DKIM key {file} is not used: {printable(why)}")
    return list(keys.values())


def _read_key(config: ConfigFolder, selector: str, file: str) -> DkimKey:
    """The public part of a key. A user who may not read the private key gets it from the file with
    its record. Raises OSError, ServerError and ValueError."""
    try:
        return _public_key(config, selector, file)
    except PermissionError:
        key = _published_key(config, selector, file)
        if key is None:
            raise
        return key


def _published_key(config: ConfigFolder, selector: str, file: str) -> DkimKey | None:
    """The key in the file with the record, `SELECTOR.txt`; None if it can't be read."""
    record = re.sub(r"\.private(\.txt)?$", lambda m: ".public.txt" if m[1] else ".txt", file)
    try:
        text = config.look(record, SMALL_MAX_BYTES)[0].decode("ascii", "replace")
    except OSError:
        return None
    text = "".join(re.findall(r'"([^"]*)"', text))
    public = re.search(r"(?:^|;)\s*p=([A-Za-z0-9+/=]+)", text)
    kind = "ed25519" if re.search(r"(?:^|;)\s*k=ed25519", text) else "rsa"
    return DkimKey(selector, kind, public[1], 0, file) if public else None


def _key_files(
    config: ConfigFolder,
    domain: str,
    warn: Callable[[str], None],
    is_served: Callable[[str], bool],
) -> Iterator[tuple[str, str]]:
    """The selector and the file of each key of a domain."""
    folder = f"{_OPENDKIM}/{domain}"
    for name in _names(config, folder, warn):
        if match := re.fullmatch(rf"({_SELECTOR})\.private", name):
            yield match[1], f"{folder}/{name}"
    rspamd = rf"(?:rsa-\d+|ed25519)-({_SELECTOR})-{re.escape(domain)}\.private\.txt"
    for name in _names(config, _RSPAMD, warn):
        match = re.fullmatch(rspamd, name)
        if match and not any(map(is_served, _longer_domains(match[1], domain))):
            yield match[1], f"{_RSPAMD}/{name}"


def _longer_domains(selector: str, domain: str) -> list[str]:
    """The domains that the name of a file of Rspamd may mean instead, if the selector is
    shorter."""
    parts = selector.split("-")
    return ["-".join([*parts[start:], domain]) for start in range(1, len(parts))]


def _names(config: ConfigFolder, folder: str, warn: Callable[[str], None]) -> list[str]:
    """The names in a folder below the config folder; none if it is missing. Warns if it can't be
    listed."""
    try:
        return os.listdir(config.path_of(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        warn(f"warning: {folder} can't be read, so its DKIM keys are missing: {reason(error)}")
        return []


def _public_key(config: ConfigFolder, selector: str, file: str) -> DkimKey:
    """The public part of the key in a file. Raises OSError, ServerError, and ValueError for a file
    that is no key."""
    raw, _ = config.look(file, SMALL_MAX_BYTES)
    text = _pem(raw)
    code, out, _ = run(["openssl", "pkey", "-passin", "pass:", "-pubout", "-text_pub"], stdin=text)
    match = re.search(r"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+)-----END", out)
    if code or not match:
        raise ValueError("it is no private key that openssl can read")
    public = "".join(match[1].split())
    if "ED25519" in out:
        octets = base64.b64decode(public)[-_ED25519_OCTETS:]
        return DkimKey(selector, "ed25519", base64.b64encode(octets).decode(), 256, file)
    bits = re.search(r"\((\d+) bit", out)
    return DkimKey(selector, "rsa", public, int(bits[1]) if bits else 0, file)


def _pem(raw: bytes) -> str:
    """A private key as PEM; Rspamd stores one of Ed25519 as Base64 alone."""
    text = raw.decode("ascii", "replace")
    if "-----BEGIN" in text:
        return text
    try:
        octets = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return ""
    if len(octets) not in (_ED25519_OCTETS, 2 * _ED25519_OCTETS):
        return ""
    body = base64.b64encode(_ED25519_HEAD + octets[:_ED25519_OCTETS]).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
