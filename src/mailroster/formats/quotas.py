"""`dovecot-quotas.cf`: how much a mailbox may hold.

    quota = address ":" size

    john.doe@example.com:5G

One physical line each; the size as in mailroster.quota. No entry: the server's default.
"""

from collections.abc import Callable

from mailroster import address
from mailroster.address import Address
from mailroster.document import Document, Format
from mailroster.finding import Fault
from mailroster.quota import normal_size
from mailroster.text import check_text
from mailroster.values import NamedTuple


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
            raise Fault("malformed-quota", f"{login!r} has no ':'", "write ADDRESS:SIZE")
        return Quota(address.account(login.strip(" \t")), normal_size(size))

    def quick(self) -> Callable[[str], Quota]:
        import re

        if address.delimiters().strip("+"):  # plain addresses may have another delimiter in them
            return self.parse
        plain = re.compile(rf"({address.PLAIN}):([1-9][0-9]{{0,5}}[kMGT])").fullmatch

        def parse(line: str) -> Quota:
            found = plain(line)
            return Quota(Address(found[1]), found[2]) if found else self.parse(line)

        return parse


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
