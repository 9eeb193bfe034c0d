"""Judges a certificate by openssl(1): its dates, its names, and the order of its chain."""

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from mailroster.base.findings import WARNING, Finding, Location, ServerError, printable
from mailroster.servers.pem import Pair
from mailroster.system.programs import in_memory, run

DAY_S = 86400
#: A certificate that ends sooner is reported. Clients of ACME renew 30 days before the end.
ENDS_SOON_DAYS = 14

ENDS_SOON = "certificate-ends"
#: The order of so many certificates is checked, each by a process of its own. A client of TLS
#: refuses a longer chain.
_CHAIN_MAX = 20


class Verdict(NamedTuple):
    """The end of a certificate, in seconds since 1970, and what is wrong with it."""

    ends_s: float
    faults: tuple[Finding, ...]


def judge(
    pair: Pair, names: Sequence[str], where: Location, path: str, now_s: float | None = None
) -> Verdict:
    """The end and the faults of a pair that the servers can use. `names`: the names of the server,
    of which the certificate must have one; none if they don't matter. `where`, `path`: its setting
    and its file, for the findings. Raises ServerError if openssl can't run."""
    now_s = time.time() if now_s is None else now_s
    argv = ["openssl", "x509", "-noout", "-startdate", "-enddate"]
    _, out, err = run(argv, _text(pair.chain[0]))
    dates = dict(re.findall(r"^(notBefore|notAfter)=(.*)$", out, re.M))
    start_s, end_s = _seconds(dates.get("notBefore", "")), _seconds(dates.get("notAfter", ""))
    if start_s is None or end_s is None:
        raise ServerError(f"openssl can't read {path}: {printable(err.strip())}")
    name, faults = f"the TLS certificate {path}", list[Finding]()
    if end_s <= now_s:
        message = f"{name} expired on {dates['notAfter']}"
        faults.append(Finding(where, WARNING, "certificate-expired", message, "renew it"))
    elif start_s > now_s:
        message, hint = f"{name} is not valid before {dates['notBefore']}", "is the clock right?"
        faults.append(Finding(where, WARNING, "certificate-not-valid-yet", message, hint))
    elif end_s < now_s + ENDS_SOON_DAYS * DAY_S:
        message = f"{name} ends on {dates['notAfter']}, in {_days(end_s - now_s)}"
        hint = "renew it; does its renewal still work?"
        faults.append(Finding(where, WARNING, "certificate-ends", message, hint))
    if names and not any(_is_for(pair, each) for each in names):
        message = f"{name} is not for {' or '.join(names)}"
        hint = "use one for this name, or set hostname to its name"
        faults.append(Finding(where, WARNING, "certificate-name", message, hint))
    if (place := _disorder(pair.chain)) is not None:
        message = f"{name} is not followed by its chain: number {place + 2} in the file has not "
        message += f"signed number {place + 1}"
        hint = "write the certificate of the server first, then that which signed it, and so on"
        faults.append(Finding(where, WARNING, "certificate-chain", message, hint))
    return Verdict(end_s, tuple(faults))


def _days(seconds: float) -> str:
    days = int(seconds / DAY_S)
    return "less than a day" if not days else f"{days} day{'s' if days > 1 else ''}"


def key_type(pair: Pair) -> str:
    """The algorithm of the key, as `rsaEncryption` or `id-ecPublicKey`; "" if unknown."""
    argv = ["openssl", "x509", "-noout", "-text", "-certopt", "no_subject,no_issuer,no_extensions"]
    match = re.search(r"^ +Public Key Algorithm: (\S+)$", run(argv, _text(pair.chain[0]))[1], re.M)
    return match[1] if match else ""


def date(seconds: float) -> str:
    """The day of a time, as 2026-11-30 (UTC)."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _is_for(pair: Pair, name: str) -> bool:
    out = run(["openssl", "x509", "-noout", "-checkhost", name], _text(pair.chain[0]))[1]
    return "does match" in out


def _disorder(chain: Sequence[bytes]) -> int | None:
    """The first position in a chain whose certificate is not signed by the next one."""
    import os

    for place, (certificate, issuer) in enumerate(pairwise(chain[:_CHAIN_MAX])):
        if certificate == issuer:  # openssl accepts a certificate that it has to trust
            return place
        fd = in_memory("issuer", _text(issuer))
        try:
            argv = ["openssl", "verify", "-no_check_time", "-partial_chain", "-no-CApath"]
            argv += ["-no-CAfile", "-no-CAstore", "-trusted", f"/dev/fd/{fd}"]
            if run(argv, _text(certificate), pass_fds=(fd,))[0]:
                return place
        finally:
            os.close(fd)
    return None


def _text(block: bytes) -> str:
    return block.decode("utf-8", "surrogateescape")


def _seconds(date: str) -> float | None:
    """A date of `openssl x509` (`Nov 30 09:58:15 2026 GMT`) in seconds since 1970; None for one
    that can't be read."""
    import ssl

    with suppress(ValueError):
        return ssl.cert_time_to_seconds(date)
    return None
