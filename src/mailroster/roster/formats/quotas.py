"""`dovecot-quotas.cf`: the quotas of mailboxes.

    quota = address ":" size

    john.doe@example.com:5G

One physical line each; the size as in mailroster.base.sizes. Without an entry the default of the
server counts.
"""

from typing import NamedTuple

from mailroster.base import address
from mailroster.base.address import Address
from mailroster.base.findings import ParseError
from mailroster.base.sizes import normal_size
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format, Plain
from mailroster.roster.documents.text import check_text


class Quota(NamedTuple):
    address: Address
    size: str  # in normal form


class Quotas(Format[Quota]):
    file = "dovecot-quotas.cf"
    key_end = ":"

    def key(self, line: str) -> str:
        text = line.partition(":")[0].strip(" \t\r\ufeff")
        return "" if text[:1] == "#" else address.fold(text)

    def parse(self, line: str) -> Quota:
        check_text(line)
        login, colon, size = line.strip(" \t\r\ufeff").partition(":")
        if not colon:
            raise ParseError("malformed-quota", f"{login!r} has no ':'", "write ADDRESS:SIZE")
        return Quota(address.account(login.strip(" \t")), normal_size(size))

    def plain(self) -> Plain[Quota] | None:
        return Plain.of_account(":", "[1-9][0-9]{0,5}[kMGT]", Quota._make)


QUOTAS = Quotas()


def line(quota: Quota) -> str:
    """A quota as a line of the file."""
    return f"{quota.address}:{quota.size}"


def changed_line(line: str, size: str) -> str:
    """The line of a quota with another size; the spelling and the blanks stay."""
    login, colon, old = line.removesuffix("\r").partition(":")
    return login + colon + old.replace(old.strip(" \t"), size, 1)


def put(document: Document[Quota], quota: Quota) -> Document[Quota]:
    """Sets the quota of a mailbox; its line is changed in place, or appended."""
    position = document.position(quota.address)
    if position is None:
        return document.append(line(quota))
    return document.replace(position, changed_line(document.line(position), quota.size))
