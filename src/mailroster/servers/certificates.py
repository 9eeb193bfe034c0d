"""The TLS certificates of an instance: reads and checks the files that the settings name, and puts
a copy of them in force; creates a self-signed certificate if there are none.

The servers read only the copies below the state folder (Layout.active_certificates). A copy is one
file with the key and the certificates, and is replaced atomically, after a check: so no server
reads a file that is half written, or a certificate without its key.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mailroster.base.findings import ERROR, WARNING, Finding, Location, Refused, printable
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.servers.certificate_faults import ENDS_SOON, Verdict, judge, key_type
from mailroster.servers.pem import Pair, blocks, in_acme_json
from mailroster.system.files import Disk, Identity, identity, read
from mailroster.system.folder_lock import FolderLock
from mailroster.system.programs import in_memory, program, run

#: The largest file that is read: an acme.json may have hundreds of certificates.
_MAX_BYTES = 1 << 24
#: Copies begin with this and the paths of the originals.
_ORIGIN = "# A copy by mailroster of"
#: How long to wait for another process that replaces a copy.
_LOCK_S = 10.0


class Source(NamedTuple):
    """The files of a pair, the names of their settings, and the copy that the servers read.
    `names`: those to look for in an acme.json, in the order of docker-mailserver."""

    certificate: str
    key: str
    settings: tuple[str, str]
    active: str
    names: tuple[str, ...]

    @property
    def hint(self) -> str:
        return f"correct {self.settings[0]} and {self.settings[1]}"

    @property
    def where(self) -> Location:
        return Location(self.settings[0])

    def is_acme_json(self) -> bool:
        return self.certificate.endswith(".json")

    def origin(self) -> bytes:
        """The first line of the copy."""
        files = dict.fromkeys((self.certificate, self.key))
        return os.fsencode(f"{_ORIGIN} {' '.join(files)}\n")


class Assessment(NamedTuple):
    """A source, compared with its copy. `current`: the pair of the copy. `new`: that of the files
    if it is another one and may replace it. `refusal`: why the files are not used. `verdict`: about
    the pair that is in force, or will be."""

    source: Source
    current: Pair | None
    new: Pair | None
    refusal: Finding | None
    verdict: Verdict


def sources(settings: Settings, layout: Layout) -> list[Source]:
    """The pairs of the settings: one, or two of different types (RSA and ECDSA)."""
    names = (("tls_certificate", "tls_key"), ("tls_alt_certificate", "tls_alt_key"))
    active = layout.active_certificates(settings)
    pairs = layout.certificates(settings)
    host = settings.hostname
    wanted = tuple(filter(None, (settings.tls_domain, host, host.partition(".")[2])))
    return [
        Source(certificate, key, name, copy, wanted)
        for (certificate, key), name, copy in zip(pairs, names, active, strict=False)
    ]


def server_names(settings: Settings, layout: Layout) -> list[str]:
    """The names of which a certificate must have one; none for the self-signed one, which no client
    trusts anyway. On a host the setting `hostname` is Postfix's $myorigin, so the first name is its
    $myhostname."""
    if not settings.names_certificate():
        return []
    names = [settings.hostname, settings.tls_domain.removeprefix("*.")]
    if layout.kind == "host":
        names.insert(0, run(["postconf", "-c", layout.postfix, "-xh", "myhostname"])[1].strip())
    return [*dict.fromkeys(filter(None, names))]


# -- reading


def read_pair(source: Source) -> Pair:
    """The pair of a source, if the servers can use it. Raises Refused."""
    if source.is_acme_json():
        pair = _of_acme_json(source)
    else:
        certificate = _read(source.certificate, source)
        key = certificate if source.key == source.certificate else _read(source.key, source)
        pair = _of_files(source, certificate, key)
    _load(source, pair)
    return pair


def _read(path: str, source: Source) -> bytes:
    try:
        if not os.path.isfile(path):
            raise Refused(f"there is no TLS file {path}; {source.hint}")
        if identity(path).size > _MAX_BYTES:
            raise Refused(f"the TLS file {path} is larger than {_MAX_BYTES >> 20} MiB")
        return read(path)
    except OSError as error:
        raise Refused(f"the TLS file {path} can't be read: {error.strerror}") from None


def _of_files(source: Source, certificate: bytes, key: bytes) -> Pair:
    first, second = blocks(certificate), blocks(key)
    if not first.certificates:
        if first.keys and second.certificates:
            raise Refused(
                f"the TLS certificate {source.certificate} is a key, and the TLS key {source.key} "
                f"is a certificate; swap {source.settings[0]} and {source.settings[1]}"
            )
        raise Refused(_missing("certificate", source.certificate, certificate, source))
    if first.is_cut:
        raise Refused(_cut(source.certificate))
    if not second.keys:
        if source.certificate == source.key:
            hint = f"set {source.settings[1]} to the file with the key"
            raise Refused(f"{source.certificate} has no private key; {hint}")
        raise Refused(_missing("key", source.key, key, source))
    if second.is_cut:
        raise Refused(_cut(source.key))
    return Pair(second.keys[0], first.certificates)


def _missing(kind: str, path: str, raw: bytes, source: Source) -> str:
    """The message for a file without a certificate or a key."""
    fault = f"has no {kind} in PEM format" if raw else "is empty"
    return f"the TLS {kind} {path} {fault}; {source.hint}"


def _cut(path: str) -> str:
    return f"the TLS file {path} is cut off in the middle; copy it again"


def _of_acme_json(source: Source) -> Pair:
    path = source.certificate
    raw = _read(path, source)
    try:
        pair = in_acme_json(raw, source.names)
    except ValueError as error:
        raise Refused(f"the TLS file {path} is not an acme.json of Traefik: {error}") from None
    if pair is None:
        hint = "let Traefik request one, or set tls_domain (SSL_DOMAIN) to a name that it has"
        raise Refused(
            f"the TLS file {path} has no certificate for {' or '.join(source.names)}; {hint}"
        )
    return _of_files(source, *pair)


def _load(source: Source, pair: Pair) -> None:
    """Raises Refused for a pair that OpenSSL does not load. The key is not written to disk."""
    import ssl

    certificate, key = source.certificate, source.key
    encrypted_keys = []

    def no_password() -> str:  # otherwise OpenSSL asks for a passphrase on the terminal
        encrypted_keys.append(key)
        return ""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    fd = in_memory("certificate", pair.raw().decode("utf-8", "surrogateescape"))
    try:
        context.load_cert_chain(f"/proc/self/fd/{fd}", password=no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        if encrypted_keys:
            hint = f"remove it: openssl pkey -in {key} -out NEW"
            raise Refused(f"the TLS key {key} has a passphrase; {hint}") from None
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            message = f"the TLS key {key} does not belong to the certificate {certificate}"
            hint = "the certificate of the server must be the first in its file"
            hint = source.hint if len(pair.chain) == 1 else f"{source.hint}; {hint}"
            raise Refused(f"{message}; {hint}") from None
        message = f"the TLS certificate {certificate} can't be used with the key {key}"
        raise Refused(f"{message}: {printable(str(error))}; {source.hint}") from None
    finally:
        os.close(fd)


def _active(source: Source) -> Pair | None:
    """The pair of a copy; None if there is none of these files, or if it can't be used."""
    try:
        raw = read(source.active)
    except OSError:
        return None
    if not raw.startswith(source.origin()):
        return None
    parts = blocks(raw)
    if not parts.keys or not parts.certificates:
        return None
    pair = Pair(parts.keys[0], parts.certificates)
    try:
        _load(source, pair)
    except Refused:
        return None
    return pair


def digest(sources: Iterable[Source]) -> str:
    """A checksum of the copies."""
    from hashlib import sha256

    return sha256(b"".join(read(source.active) for source in sources)).hexdigest()


def identities(sources: Iterable[Source]) -> list[Identity]:
    """The identities of all files, links followed: certbot's links get other targets."""
    return [identity(path) for source in sources for path in (source.certificate, source.key)]


# -- checking


def check(settings: Settings, layout: Layout) -> None:
    """Raises Refused for a certificate or a key that the servers can't use, unless a copy of an
    earlier one is there."""
    _check_settings(settings)
    for source in sources(settings, layout):
        try:
            read_pair(source)
        except Refused:
            if _active(source) is None:
                raise


def check_new(settings: Settings, layout: Layout) -> None:
    """As `check`; an earlier copy makes no difference."""
    for source in sources(settings, layout):
        read_pair(source)


def _check_settings(settings: Settings) -> None:
    s = settings
    if not s.tls_certificate and s.names_certificate():
        name = "tls_key is set" if s.tls_key else "tls_alt_certificate is set"
        name = f"tls_type is {s.tls_type}" if s.tls_type and not s.tls_key else name
        raise Refused(f"{name} without tls_certificate; set both files")
    if s.tls_alt_key and not s.tls_alt_certificate:
        raise Refused("tls_alt_key is set without tls_alt_certificate; set both files")


def assess(source: Source, names: Sequence[str]) -> Assessment:
    """Compares a source with its copy; changes nothing. A new pair may replace one that is in force
    unless it has a fault that the present one does not have.

    Raises Refused if there is no pair that can be used, and ServerError if openssl can't run."""
    current = _active(source)
    try:
        new = read_pair(source)
    except Refused as error:
        if current is None:
            raise
        refusal = unusable(source, error)
        return Assessment(source, current, None, refusal, _judge(source, current, names))
    verdict = _judge(source, new, names)
    if current is None:
        return Assessment(source, None, new, None, verdict)
    if current == new:
        return Assessment(source, current, None, None, verdict)
    before = _judge(source, current, names)
    known = {ENDS_SOON, *(fault.code for fault in before.faults)}
    if worse := [fault for fault in verdict.faults if fault.code not in known]:
        return Assessment(source, current, None, worse[0], before)
    return Assessment(source, current, new, None, verdict)


def _judge(source: Source, pair: Pair, names: Sequence[str]) -> Verdict:
    return judge(pair, names, source.where, source.certificate)


def unusable(source: Source, error: Refused) -> Finding:
    """The finding for files that the servers can't use."""
    message, _, hint = str(error).partition("; ")
    return Finding(source.where, ERROR, "unusable-certificate", message, hint or source.hint)


def same_type(assessments: Sequence[Assessment]) -> list[Finding]:
    """A warning if both pairs have keys of the same type: clients see only one of them."""
    if len(assessments) < 2:
        return []
    pairs = [each.new or each.current for each in assessments]
    if len({key_type(pair) for pair in pairs if pair is not None}) == len(pairs):
        return []
    files = " and ".join(each.source.certificate for each in assessments)
    message = f"the TLS certificates {files} have keys of the same type, so one is never used"
    hint = "use an RSA key and an ECDSA key, or only one certificate"
    where = assessments[-1].source.where
    return [Finding(where, WARNING, "certificate-type", message, hint)]


def words(finding: Finding) -> str:
    """A finding as a log shows it."""
    return f"{finding.message}; {finding.hint}"


# -- putting in force


def put_in_force(assessment: Assessment, layout: Layout) -> bool:
    """Replaces the copy with the new pair; whether there is one. Raises OSError and TryAgain."""
    source, pair = assessment.source, assessment.new
    if pair is None:
        return False
    with FolderLock(layout.tls, _LOCK_S):
        Disk().replace(source.active, source.origin() + pair.raw(), 0o600, group=0)
    return True


def ensure(settings: Settings, layout: Layout, report: Callable[[str], object]) -> None:
    """Puts the certificates in force at a start. Creates a self-signed one if the settings name
    none. `report` receives warnings. Raises Refused, ServerError, TryAgain and OSError."""
    if settings.names_certificate():
        _check_settings(settings)
    else:
        _ensure_self_signed(settings, layout)
    names = server_names(settings, layout)
    assessments = [assess(source, names) for source in sources(settings, layout)]
    for each in assessments:
        put_in_force(each, layout)
        if each.refusal:
            report(f"warning: {words(each.refusal)}; the previous certificate stays in use")
        for fault in each.verdict.faults:
            report(f"warning: {words(fault)}")
    for fault in same_type(assessments):
        report(f"warning: {words(fault)}")


def _ensure_self_signed(settings: Settings, layout: Layout) -> None:
    """Creates a self-signed pair, unless there is one that can be used: a start may have ended
    between the two files."""
    source = sources(settings, layout)[0]
    path, key = source.certificate, source.key
    try:
        read_pair(source)
        return
    except Refused:
        pass
    if program("openssl") is None:
        raise Refused("there is no openssl to create a TLS certificate; install Debian's openssl")
    names = f"subjectAltName=DNS:{settings.hostname},DNS:localhost,IP:127.0.0.1"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"]
    argv += ["-subj", f"/CN={settings.hostname}"[:67], "-addext", names]
    old_umask = os.umask(0o077)
    try:
        code, _, err = run([*argv, "-keyout", key, "-out", path])
    finally:
        os.umask(old_umask)
    if code:
        reason = printable(err.strip().rpartition("\n")[2])
        raise Refused(f"openssl did not create a TLS certificate: {reason}")
    os.chmod(path, 0o644)


def is_loaded(sources: Iterable[Source], layout: Layout) -> bool:
    """Whether the servers were told to load these copies."""
    return read(layout.loaded_certificates) == digest(sources).encode()


def record_loaded(digest: str, layout: Layout) -> None:
    """Records that the servers were told to load the copies with this checksum."""
    Disk().replace(layout.loaded_certificates, digest.encode(), 0o600)
