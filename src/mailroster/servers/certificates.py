"""Checks the TLS certificate and key of an instance, and creates a self-signed pair.

The files are PEM (RFC 7468). The first certificate of a file is that of the server, intermediate
certificates follow.
"""

import os
import re

from mailroster.base.findings import Refused, printable
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.system.files import read
from mailroster.system.programs import program, run

_LABEL = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----\s*$", re.M)
_CERTIFICATES = frozenset((b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"))
_HINT = "correct tls_certificate and tls_key"


def check(settings: Settings, layout: Layout) -> None:
    """Raises Refused for a certificate or a key that the servers can't use."""
    if not settings.tls_certificate and (settings.tls_key or settings.tls_type):
        name = "tls_key is set" if settings.tls_key else f"tls_type is {settings.tls_type}"
        raise Refused(f"{name} without tls_certificate; set both files")
    certificate, key = layout.certificate(settings)
    labels = {path: _labels(path) for path in (certificate, key)}
    has_certificate = {path: bool(_CERTIFICATES & labels[path]) for path in labels}
    has_key = {
        path: any(label.endswith(b"PRIVATE KEY") for label in labels[path]) for path in labels
    }
    if not has_certificate[certificate]:
        if has_key[certificate] and has_certificate[key]:
            raise Refused(
                f"the TLS certificate {certificate} is a key, and the TLS key {key} is a "
                "certificate; swap tls_certificate and tls_key"
            )
        raise Refused(_missing("certificate", certificate))
    if not has_key[key]:
        if certificate == key:
            raise Refused(f"{certificate} has no private key; set tls_key to the file with the key")
        raise Refused(_missing("key", key))
    _load(certificate, key)


def _labels(path: str) -> set[bytes]:
    """The labels of the PEM blocks in a file. Raises Refused for a file that can't be read."""
    try:
        if not os.path.isfile(path):
            raise Refused(f"there is no TLS file {path}; {_HINT}")
        return set(_LABEL.findall(read(path)))
    except OSError as error:
        raise Refused(f"the TLS file {path} can't be read: {error.strerror}") from None


def _missing(kind: str, path: str) -> str:
    """The message for a file without a certificate or a key."""
    is_empty = os.path.getsize(path) == 0
    fault = "is empty" if is_empty else f"has no {kind} in PEM format"
    return f"the TLS {kind} {path} {fault}; {_HINT}"


def _load(certificate: str, key: str) -> None:
    """Raises Refused for a pair that OpenSSL does not load."""
    import ssl

    encrypted_keys = []

    def no_password() -> str:  # otherwise OpenSSL asks for a passphrase on the terminal
        encrypted_keys.append(key)
        return ""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        if encrypted_keys:
            hint = f"remove it: openssl pkey -in {key} -out NEW"
            raise Refused(f"the TLS key {key} has a passphrase; {hint}") from None
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            message = f"the TLS key {key} does not belong to the certificate {certificate}"
            raise Refused(f"{message}; {_HINT}") from None
        pair = f"the TLS certificate {certificate} can't be used with the key {key}"
        raise Refused(f"{pair}: {printable(str(error))}; {_HINT}") from None


def is_named(settings: Settings) -> bool:
    """Whether the settings name a certificate, or a part of one."""
    return bool(settings.tls_certificate or settings.tls_key or settings.tls_type)


def is_usable(certificate: str, key: str) -> bool:
    """Whether OpenSSL loads a pair."""
    try:
        _load(certificate, key)
    except Refused:
        return False
    return True


def ensure(settings: Settings, layout: Layout) -> None:
    """Checks a certificate that the settings name; else creates a self-signed one, unless there is
    one that its key fits (a start may have ended between the two files). Raises Refused."""
    if is_named(settings):
        check(settings, layout)
        return
    path, key = layout.certificate(settings)
    if os.path.exists(path) and os.path.exists(key) and is_usable(path, key):
        return
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


def warnings(settings: Settings, layout: Layout) -> list[str]:
    """Warnings about a usable certificate that clients will reject, for its dates or names."""
    if not settings.tls_certificate:
        return []  # clients don't trust the self-signed one anyway
    path, name = settings.tls_certificate, settings.hostname
    argv = ["openssl", "x509", "-in", path, "-noout", "-startdate", "-enddate"]
    code, out, err = run([*argv, "-checkhost", name])
    faults = []
    dates = dict(re.findall(r"^(notBefore|notAfter)=(.*)$", out, re.M))
    if _is_in_future(dates.get("notAfter", "")) is False:
        faults.append(f"expired on {dates['notAfter']}; renew it")
    elif _is_in_future(dates.get("notBefore", "")):
        faults.append(f"is not valid before {dates['notBefore']}; is the clock right?")
    if "does NOT match" in out:
        faults.append(f"is not for {name}; use one for this name, or set hostname to its name")
    if code and not faults:
        faults.append(f"can't be read by openssl: {printable(err.strip())}")
    return [f"warning: the TLS certificate {path} {text}" for text in faults]


def _is_in_future(date: str) -> bool | None:
    """Whether a date of `openssl x509` (`Nov 30 09:58:15 2026 GMT`) is in the future; None for one
    that can't be read."""
    import ssl
    import time

    try:
        return ssl.cert_time_to_seconds(date) > time.time()
    except ValueError:
        return None
