"""`postfix-send-access.cf`, `postfix-receive-access.cf`: who may not send, who may not receive.

    restriction = address action

    john.doe@example.com   REJECT

access(5): a line that starts with a blank continues the one before. The key is an address, or
`user@` or a domain, as access(5) has them; the action is kept as it is.
"""

from mailroster import address
from mailroster.finding import Fault
from mailroster.formats.lookup_table import LookupTable
from mailroster.values import NamedTuple


class Restriction(NamedTuple):
    key: str
    action: str


class Access(LookupTable[Restriction]):
    def __init__(self, file: str) -> None:
        self.file = file

    def key(self, line: str) -> str:
        word = super().key(line)
        if "@" in word or word.isascii():
            return word
        try:
            return address.access(word)
        except Fault:
            return word

    def parse(self, line: str) -> Restriction:
        key, action = self.words(line)
        if not action:
            raise Fault("missing-action", f"{key!r} has no action", "write ADDRESS REJECT")
        return Restriction(self.key(line), action)


SEND_ACCESS = Access("postfix-send-access.cf")
RECEIVE_ACCESS = Access("postfix-receive-access.cf")
