"""`ADDRESS.dovecot.sieve`, `before.dovecot.sieve`, `after.dovecot.sieve`: Sieve scripts (RFC 5228).

    john.doe@example.com.dovecot.sieve

The name of the file says whose mail a script sorts: an account's, in any case; or everybody's,
before or after the script of the account itself. What stands in it only Pigeonhole judges.
"""

from codecs import BOM_UTF8
from collections.abc import Iterable
from typing import NamedTuple

from mailroster.base import address
from mailroster.base.findings import WARNING, Finding, Location, ParseError, printable

SUFFIX = ".dovecot.sieve"
BEFORE, AFTER = "before", "after"


def script_of(raw: bytes) -> bytes:
    """The script in the bytes of a file: without a byte order mark, which Pigeonhole refuses."""
    return raw.removeprefix(BOM_UTF8)


class Scripts(NamedTuple):
    """The scripts of a folder: name (`before`, `after` or an address) -> file; and what is wrong
    with the names of the others."""

    files: dict[str, str]
    findings: list[Finding]


def scripts_among(files: Iterable[str]) -> Scripts:
    """Those of some files that are Sieve scripts. Of two spellings of one name the first counts."""
    found = Scripts({}, [])
    for file in sorted(file for file in files if file.endswith(SUFFIX)):
        where = Location(printable(file))
        try:
            name = _name(file.removesuffix(SUFFIX))
        except ParseError as fault:
            message, hint = (
                f"the file belongs to nobody: {fault.message}",
                f"name it ADDRESS{SUFFIX}",
            )
            found.findings.append(Finding(where, WARNING, "sieve-of-nobody", message, hint))
            continue
        if found.files.setdefault(name, file) != file:
            message = f"{name!r} has a script already, {found.files[name]}; this one does not count"
            hint = "remove one of them"
            found.findings.append(Finding(where, WARNING, "duplicate-sieve", message, hint))
    return found


def _name(text: str) -> str:
    return text if text in (BEFORE, AFTER) else address.account(text)
