"""`dovecot-masters.cf`: masters, who may log in as any account, as `user@domain*name`.

    master = name "|" "{SCHEME}hash"

    admin|{SHA512-CRYPT}$6$Fp…

One physical line each. A name has letters, digits and `.-_@`; its case does not count, as in
logins.
"""

from typing import NamedTuple

from mailroster.base.findings import ParseError
from mailroster.roster.documents.format import Format
from mailroster.roster.documents.text import check_text
from mailroster.roster.formats import credentials

NAME_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789.-_@"


class Master(NamedTuple):
    name: str
    password: str


def master_name(text: str) -> str:
    """The name of a master in lower case. Raises ParseError."""
    name = text.lower()
    if not name or name[0] in "-." or any(char not in NAME_CHARS for char in name):
        raise ParseError(
            "malformed-name",
            f"{text!r} is not a valid name of a master",
            "use letters, digits and . - _ @",
        )
    return name


class Masters(Format[Master]):
    file = "dovecot-masters.cf"
    key_end = "|"
    secret = True

    def hidden(self, line: str) -> str:
        return credentials.hidden(line)

    def key(self, line: str) -> str:
        return credentials.name(line).lower()

    def parse(self, line: str) -> Master:
        check_text(line)
        fields = credentials.fields(line)
        if len(fields) > 2:
            raise ParseError("malformed-line", "a master has two fields", "write NAME|{SCHEME}hash")
        return Master(master_name(fields[0]), credentials.check_hash(fields[1]))


MASTERS = Masters()
