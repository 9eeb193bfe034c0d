"""`ADDRESS.dovecot.sieve`, `before.dovecot.sieve`, `after.dovecot.sieve`: Sieve scripts (RFC 5228).

    john.doe@example.com.dovecot.sieve

The name of the file says whose mail the script sorts: that of an account, in any case, or that of
all accounts, before or after the script of the account. Only Pigeonhole checks its content.
"""

from codecs import BOM_UTF8
from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base import address
from mailroster.base.findings import WARNING, Finding, Location, ParseError, printable

SUFFIX = ".dovecot.sieve"
BEFORE, AFTER = "before", "after"


def script_of(raw: bytes) -> bytes:
    """The script in the bytes of a file, without a byte order mark, which Pigeonhole refuses."""
    return raw.removeprefix(BOM_UTF8)


class Scripts(NamedTuple):
    """The scripts of a folder: name (`before`, `after` or an address) -> file; and findings about
    files with other names."""

    files: dict[str, str]
    findings: list[Finding]


def scripts_among(files: Iterable[str]) -> Scripts:
    """The Sieve scripts among some files. Of two spellings of one name the first counts."""
    scripts = Scripts({}, [])
    for file in sorted(file for file in files if file.endswith(SUFFIX)):
        where = Location(printable(file))
        try:
            name = _name(file.removesuffix(SUFFIX))
        except ParseError as error:
            message = f"the file belongs to no account: {error.message}"
            hint = f"name it ADDRESS{SUFFIX}"
            scripts.findings.append(Finding(where, WARNING, "sieve-of-nobody", message, hint))
            continue
        if (first := scripts.files.setdefault(name, file)) != file:
            message = f"{name!r} already has a script, {first}; this file is ignored"
            hint = "remove one of them"
            scripts.findings.append(Finding(where, WARNING, "duplicate-sieve", message, hint))
    return scripts


def _name(text: str) -> str:
    return text if text in (BEFORE, AFTER) else address.account(text)
