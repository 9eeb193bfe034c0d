"""`dovecot-masters.cf`: who may log in as anybody, as `user@domain*name`.

    master = name "|" "{SCHEME}hash"

    admin|{SHA512-CRYPT}$6$Fp…

One physical line each. A name is what Dovecot takes in front of nothing else: letters, digits and
`.-_@`; it is compared without case, as logins are.
"""

from mailroster.document import Format
from mailroster.finding import Fault
from mailroster.formats import hashed
from mailroster.text import check_text
from mailroster.values import NamedTuple

NAME_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789.-_@"


class Master(NamedTuple):
    name: str
    password: str


def master_name(text: str) -> str:
    """The name of a master in lower case. Raises Fault."""
    name = text.lower()
    if not name or name[0] in "-." or any(char not in NAME_CHARS for char in name):
        raise Fault(
            "malformed-name",
            f"{text!r} can't be the name of a master",
            "use letters, digits and . - _ @",
        )
    return name


class Masters(Format[Master]):
    file = "dovecot-masters.cf"
    secret = True

    def hidden(self, line: str) -> str:
        return hashed.hidden(line)

    def key(self, line: str) -> str:
        return hashed.name(line).lower()

    def parse(self, line: str) -> Master:
        check_text(line)
        fields = hashed.fields(line)
        if len(fields) > 2:
            raise Fault("malformed-line", "a master has two fields", "write NAME|{SCHEME}hash")
        return Master(master_name(fields[0]), hashed.check_hash(fields[1]))


MASTERS = Masters()
