"""`dovecot-quotas.cf`: how much a mailbox may hold.

    quota = address ":" size

    john.doe@example.com:5G

One physical line each; the size as in mailroster.base.sizes. No entry: the server's default.
"""

from typing import NamedTuple

from mailroster.base import address
from mailroster.base.address import Address
from mailroster.base.findings import ParseError
from mailroster.base.sizes import normal_size
from mailroster.roster.documents.document import Document, Format, Plain
from mailroster.roster.documents.text import check_text


class Quota(NamedTuple):
    address: Address
    size: str  # in normal form


class Quotas(Format[Quota]):
    file = "dovecot-quotas.cf"

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
        import re

        if address.delimiters().strip("+"):  # plain addresses may have another delimiter in them
            return None
        made = Quota._make

        def entry(line: str) -> Quota:
            login, _, size = line.partition(":")
            return made((login, size))

        return Plain(re.compile(rf"({address.PLAIN}):[1-9][0-9]{{0,5}}[kMGT]").fullmatch, entry)


QUOTAS = Quotas()


def line(quota: Quota) -> str:
    """A quota as a line of the file."""
    return f"{quota.address}:{quota.size}"


def changed_line(line: str, size: str) -> str:
    """The line of a quota with another size; its spelling and its blanks stay."""
    login, colon, old = line.removesuffix("\r").partition(":")
    return login + colon + old.replace(old.strip(" \t"), size, 1)


def put(document: Document[Quota], quota: Quota) -> Document[Quota]:
    """With the size of one mailbox set; a line that has one already is rewritten in its place."""
    position = document.position(quota.address)
    if position is None:
        return document.append(line(quota))
    return document.replace(position, changed_line(document.line(position), quota.size))
