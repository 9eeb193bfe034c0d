"""The TLS certificate of an instance and its key: whether the servers can use them.

The files are PEM (RFC 7468). The first certificate of a file is the server's own, intermediate ones
follow.
"""

import os
import re

from mailroster.base.findings import Refused, printable
from mailroster.base.layout import Layout
from mailroster.base.settings import Settings
from mailroster.system.files import read
from mailroster.system.programs import run

_LABEL = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----\s*$", re.M)
_CERTIFICATES = frozenset((b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"))


def check(settings: Settings, layout: Layout) -> None:
    """Raises Refused for a certificate or a key that the servers can't use: it names the file, what
    is wrong, and the command or the setting that helps."""
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
        raise Refused(_no("certificate", certificate))
    if not has_key[key]:
        if certificate == key:
            raise Refused(
                f"{certificate} has no private key in it; name the file of the key: tls_key"
            )
        raise Refused(_no("key", key))
    _load(certificate, key)


def _labels(path: str) -> set[bytes]:
    """What the PEM blocks of a file are. Raises Refused for a file that can't be read."""
    try:
        if not os.path.isfile(path):
            raise Refused(f"there is no TLS file {path}; {_HINT}")
        return set(_LABEL.findall(read(path)))
    except OSError as error:
        raise Refused(f"the TLS file {path} can't be read: {error.strerror}") from None


_HINT = "correct tls_certificate and tls_key"


def _no(what: str, path: str) -> str:
    is_empty = os.path.getsize(path) == 0
    fault = "is empty" if is_empty else f"has no {what} in PEM format in it"
    return f"the TLS {what} {path} {fault}; {_HINT}"


def _load(certificate: str, key: str) -> None:
    """Raises Refused for a pair that OpenSSL does not load."""
    import ssl

    asked = []

    def no_password() -> str:  # without it OpenSSL would ask on the terminal
        asked.append(key)
        return ""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        if asked:
            hint = f"remove it: openssl pkey -in {key} -out NEW"
            raise Refused(f"the TLS key {key} has a passphrase; {hint}") from None
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            what = f"the TLS key {key} does not belong to the certificate {certificate}"
            raise Refused(f"{what}; {_HINT}") from None
        pair = f"the TLS certificate {certificate} can't be used with the key {key}"
        raise Refused(f"{pair}: {printable(str(error))}; {_HINT}") from None


def is_named(settings: Settings) -> bool:
    """Whether the settings say where a certificate is, or should."""
    return bool(settings.tls_certificate or settings.tls_key or settings.tls_type)


def is_usable(certificate: str, key: str) -> bool:
    """Whether OpenSSL loads a pair."""
    try:
        _load(certificate, key)
    except Refused:
        return False
    return True


def warnings(settings: Settings, layout: Layout) -> list[str]:
    """What clients will reject in a certificate that the servers can use: its dates, its names."""
    if not settings.tls_certificate:
        return []  # our own, which no client trusts by itself
    path, name = settings.tls_certificate, settings.hostname
    argv = ["openssl", "x509", "-in", path, "-noout", "-startdate", "-enddate"]
    code, out, err = run([*argv, "-checkhost", name])
    found = []
    dates = dict(re.findall(r"^(notBefore|notAfter)=(.*)$", out, re.M))
    if _is_in_future(dates.get("notAfter", "")) is False:
        found.append(f"expired on {dates['notAfter']}; renew it")
    elif _is_in_future(dates.get("notBefore", "")):
        found.append(f"is valid from {dates['notBefore']} on only; is the clock right?")
    if "does NOT match" in out:
        found.append(f"is not for {name}; use one for this name, or set hostname to its name")
    if code and not found:
        found.append(f"can't be read by openssl: {printable(err.strip())}")
    return [f"warning: the TLS certificate {path} {text}" for text in found]


def _is_in_future(date: str) -> bool | None:
    """Whether a date as `openssl x509` writes it (`Nov 30 09:58:15 2026 GMT`) lies ahead; None for
    one that can't be read."""
    import ssl
    import time

    try:
        return ssl.cert_time_to_seconds(date) > time.time()
    except ValueError:
        return None
