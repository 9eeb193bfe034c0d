"""`postfix-send-access.cf`, `postfix-receive-access.cf`: who may not send, who may not receive.

    restriction = address action

    john.doe@example.com   REJECT

access(5): a line that starts with a blank continues the one before. The key is an address, or
`user@` or a domain, as access(5) has them; the action is kept as it is.
"""

from typing import NamedTuple

from mailroster import address
from mailroster.document import Format, check_text, content, logical_lines
from mailroster.finding import Fault


class Restriction(NamedTuple):
    key: str
    action: str


class Access(Format[Restriction]):
    def __init__(self, file: str) -> None:
        self.file = file

    def split(self, text: str) -> list[str]:
        return logical_lines(text)

    def key(self, line: str) -> str:
        words = content(line).split(None, 1)
        return "" if not words or words[0][0] == "#" else address.fold(words[0])

    def parse(self, line: str) -> Restriction:
        check_text(content(line))
        words = content(line).split(None, 1)
        if line[:1] in (" ", "\t"):
            raise Fault("lost-continuation", "the first entry starts with a blank", "remove it")
        if len(words) < 2:
            raise Fault("missing-action", f"{words[0]!r} has no action", "write ADDRESS REJECT")
        return Restriction(self.key(line), words[1])


SEND_ACCESS = Access("postfix-send-access.cf")
RECEIVE_ACCESS = Access("postfix-receive-access.cf")
