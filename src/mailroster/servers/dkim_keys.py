"""Private keys for DKIM in a config folder: finds, reads and creates them. OpenSSL does the
cryptography; a key reaches it by standard input, never by its command line.
"""

import os
import re
from collections.abc import Collection, Iterator
from hashlib import sha256

from mailroster.analysis.dns.dkim_record import DkimKey, key_type, public_key
from mailroster.base.findings import Refused, ServerError, printable
from mailroster.base.settings import Settings
from mailroster.roster.formats.accounts import ACCOUNTS
from mailroster.roster.formats.virtual import VIRTUAL
from mailroster.servers.config import dkim
from mailroster.servers.config.dkim import Key, KeyFile, Rotation
from mailroster.store.links import ConfigFolder
from mailroster.system.files import Identity, identity, reason
from mailroster.system.programs import program, run

#: A key of 16,384 bits has 12 kB.
_MAX_BYTES = 1 << 16
#: The beginning of a private and of a public key of Ed25519 in DER (RFC 8410); the key follows.
_ED25519_PRIVATE = bytes.fromhex("302e020100300506032b657004220420")
_ED25519_PUBLIC = bytes.fromhex("302a300506032b6570032100")
#: The algorithm in a public key of RSA (RFC 8017, A.1).
_RSA = bytes.fromhex("06092a864886f70d010101")


class KeyFault(Exception):
    """A file is not a usable private key. The text says why, without the key."""


class KeyDenied(KeyFault):
    """The user may not read the file."""


def folders(settings: Settings) -> list[ConfigFolder]:
    """The config folder, and the source of an overlay: keys of both are used."""
    linked = settings.linked()
    paths = filter(None, (settings.config, settings.source))
    return [ConfigFolder(path, linked) for path in paths]


def key_files(folder: ConfigFolder, domain: str = "") -> list[KeyFile]:
    """The files of keys in a folder, sorted. `domain` counts as served, also without accounts."""
    result = [
        key
        for domain in _names(folder.path_of(dkim.OPENDKIM_KEYS))
        for name in _names(folder.path_of(f"{dkim.OPENDKIM_KEYS}/{domain}"))
        if (key := dkim.opendkim_key(domain, name))
    ]
    names = _names(folder.path_of(dkim.RSPAMD_KEYS))
    if any(name.endswith(dkim.RSPAMD_PRIVATE) for name in names):
        served = {domain, *_domains(folder)}
        result += filter(None, (dkim.rspamd_key(name, served) for name in names))
    return result


def _domains(folder: ConfigFolder) -> set[str]:
    """The domains of the accounts and aliases: those in the first words of the lines."""
    result = set()
    for file in (ACCOUNTS.file, VIRTUAL.file):
        try:
            lines = folder.read(file).decode("utf-8", "replace").lower().split("\n")
        except OSError:
            continue
        keys = (line.replace("|", " ").split()[:1] for line in lines if line[:1] not in "#")
        result |= {key.rpartition("@")[2] for words in keys for key in words}
    return result


def has_keys(settings: Settings) -> bool:
    """Whether there is a file of a key."""
    return any(key_files(folder) for folder in folders(settings))


def identities(folder: ConfigFolder) -> list[tuple[str, Identity]]:
    """All files on which the choice of keys depends, as they are now, to notice a change."""
    top = folder.path_of(dkim.OPENDKIM_KEYS)
    paths = [folder.path_of(dkim.SIGNING_TABLE)]
    paths += (
        f"{top}/{domain}/{name}" for domain in _names(top) for name in _names(f"{top}/{domain}")
    )
    below = folder.path_of(dkim.RSPAMD_KEYS)
    paths += (f"{below}/{name}" for name in _names(below))
    return [(path, identity(path)) for path in paths]


def _names(path: str) -> list[str]:
    """The names in a folder, sorted; none if it can't be read."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def rotations(folder: ConfigFolder) -> dict[str, Rotation]:
    """The rotations of a folder, by domain."""
    return {domain: rotation for domain, _, rotation in rotation_files(folder)}


def rotation_files(folder: ConfigFolder) -> Iterator[tuple[str, str, Rotation]]:
    """The domain, the file and the content of each rotation."""
    for name in _names(folder.path_of(dkim.OPENDKIM_KEYS)):
        file = f"{dkim.OPENDKIM_KEYS}/{name}/{ROTATION}"
        try:
            text = folder.look(file, _MAX_BYTES)[0].decode("ascii", "replace")
        except OSError:
            continue
        key, rotation = dkim.opendkim_key(name, f"x{dkim.PRIVATE}"), dkim.parse_rotation(text)
        if key and rotation:
            yield key.domain, file, rotation


#: The name of the file of a rotation, beside the keys of its domain.
ROTATION = "rotation"


def preferred(folder: ConfigFolder) -> dict[str, set[str]]:
    """The selectors in docker-mailserver's SigningTable."""
    try:
        return dkim.preferred(folder.look(dkim.SIGNING_TABLE)[0].decode("utf-8", "replace"))
    except OSError:
        return {}


def load(folder: ConfigFolder, file: KeyFile, known: Collection[str] = ()) -> Key:
    """The key of a file. `known`: digests of keys that were checked before.

    Raises KeyFault for a file that is not a usable key, ServerError without OpenSSL.
    """
    try:
        pem = _pem(folder.look(file.file, _MAX_BYTES)[0])
    except OSError as error:
        fault = KeyDenied if isinstance(error, PermissionError) else KeyFault
        raise fault(reason(error)) from None
    checksum = sha256(pem).hexdigest()[:40]
    for kind in dkim.KINDS:
        if f"{kind}-{checksum}" in known:
            return Key(*file, kind, pem, f"{kind}-{checksum}")
    kind, _, _ = _public(pem)
    return Key(*file, kind, pem, f"{kind}-{checksum}")


def _pem(raw: bytes) -> bytes:
    """A key as PEM. Rspamd writes the seed of an Ed25519 key, and its public key, as base64."""
    import base64
    import binascii

    if b"-----BEGIN" in raw:
        return raw
    try:
        der = base64.b64decode(b"".join(raw.split()), validate=True)
    except binascii.Error:
        raise KeyFault("it is not a key in PEM format") from None
    if len(der) in (32, 64):
        der = _ED25519_PRIVATE + der[:32]
    label = b"RSA PRIVATE KEY" if _is_rsa_alone(der) else b"PRIVATE KEY"
    text = base64.encodebytes(der)
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, text, label)


def _is_rsa_alone(der: bytes) -> bool:
    """Whether a key in DER is an RSAPrivateKey (RFC 8017, A.1.2), without the algorithm that PKCS#8
    (RFC 5208) has behind the version. OpenSSL of Debian 13 wants to know by the label."""
    length_octets = 1 + (der[1] & 0x7F if der[1:2] >= b"\x80" else 0)
    return der[1 + length_octets :].startswith(b"\x02\x01\x00\x02")


def _public(pem: bytes) -> tuple[str, str, int]:
    """The type, the public key in base64 (as in the DNS) and the bits of a private key. Raises
    KeyFault, and ServerError without OpenSSL."""
    import base64

    text = pem.decode("ascii", "replace")
    options = ["-pubout", "-text_pub", "-passin", "pass:"]
    code, out, _ = run(["openssl", "pkey", *options], stdin=text)
    match = re.search(r"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END", out)
    if code or not match:
        raise KeyFault("OpenSSL can't read it as a private key without a passphrase")
    public = "".join(match[1].split())
    der = base64.b64decode(public)
    if der.startswith(_ED25519_PUBLIC):
        octets = der.removeprefix(_ED25519_PUBLIC)
        return dkim.ED25519, base64.b64encode(octets).decode(), 8 * len(octets)
    bits = re.search(r"\((\d+) bit", out)
    if _RSA not in der[:40] or not bits:
        raise KeyFault("DKIM knows only keys of RSA and Ed25519")
    return dkim.RSA, public, int(bits[1])


def public_part(key: Key) -> DkimKey:
    """The public part of a key. Raises KeyFault and ServerError."""
    return DkimKey(key.selector, *_public(key.pem), key.file)


def load_public_part(folder: ConfigFolder, file: KeyFile) -> DkimKey:
    """The public part of the key of a file. A user who may not read the key gets it from the file
    with its DNS record. Raises KeyFault and ServerError."""
    try:
        return public_part(load(folder, file))
    except KeyDenied:
        if key := _published(folder, file):
            return key
        raise


def _published(folder: ConfigFolder, file: KeyFile) -> DkimKey | None:
    """The public part of a key as the file with its DNS record has it; None without one."""
    name = file.file.removesuffix(dkim.PRIVATE) + dkim.RECORD
    if file.file.endswith(dkim.RSPAMD_PRIVATE):
        name = file.file.removesuffix(dkim.RSPAMD_PRIVATE) + dkim.RSPAMD_PUBLIC
    try:
        text = folder.look(name, _MAX_BYTES)[0].decode("ascii", "replace")
    except OSError:
        return None
    value = "".join(re.findall(r'"([^"]*)"', text))
    public = public_key(value)
    return DkimKey(file.selector, key_type(value), public, 0, file.file) if public else None


def generate(kind: str, bits: int) -> bytes:
    """A new private key as PEM. Raises Refused without OpenSSL, ServerError if it fails."""
    if program("openssl") is None:
        raise Refused("there is no openssl to create a key; install Debian's openssl")
    argv = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}"]
    if kind == dkim.ED25519:
        argv = ["openssl", "genpkey", "-algorithm", "ED25519"]
    code, out, err = run(argv)
    if code or "PRIVATE KEY" not in out:
        raise ServerError(
            f"openssl created no key: {printable(err.strip().rpartition(chr(10))[2])}"
        )
    return out.encode()
