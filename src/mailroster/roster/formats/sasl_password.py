"""`postfix-sasl-password.cf`: the logins of Postfix at relays.

    login = who user ":" password

    @example.com   john:secret

`who` is the sender of the mail, `@domain` or `user@domain`; or the relay, spelled as in the setting
or file that names it: `[host]:port` (postconf(5), smtp_sasl_password_maps). Passwords are in clear,
since Postfix has to send them: the file has mode 0600, and no output shows them. A password may
have any character, and blanks inside it. A line that starts with a blank continues the one before.
"""

import re
from typing import NamedTuple

from mailroster.base.findings import ParseError
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.text import only_comments
from mailroster.roster.formats.lookup_table import LookupTable
from mailroster.roster.formats.relaymap import destination, sender

_HINT = "write @example.com USER:PASSWORD"


class Login(NamedTuple):
    who: str
    user: str
    password: str


class SaslPasswords(LookupTable[Login]):
    file = "postfix-sasl-password.cf"
    secret = True

    def key(self, line: str) -> str:
        return _who(super().key(line))

    def parse(self, line: str) -> Login:
        written, text = self.words(line)
        try:
            if _who(written) != written:
                raise ParseError("malformed-login", "", _HINT)
            who = sender(written) if "@" in written else destination(written).lower()
        except ParseError:
            message = "the line does not begin with '@domain' or a relay"
            raise ParseError("malformed-login", message, _HINT) from None
        user, colon, password = text.partition(":")
        if not user or not colon or not password:
            raise ParseError("malformed-login", "the line has no USER:PASSWORD", _HINT)
        return Login(who, user, password)

    def hidden(self, line: str) -> str:
        """A physical line without what may be a password: everything behind the first word."""
        stripped = line.lstrip(" \t\ufeff")
        if only_comments(line):
            return line[: len(line) - len(stripped)] + (
                "# …" if stripped.lstrip("#").strip() else stripped
            )
        if line[:1] in (" ", "\t"):
            return " …"  # continues an entry
        who = _who(re.split(r"\s", line, maxsplit=1)[0])
        return f"{who} …" if who[:1] == "[" or "@" in who else "…"


def _who(word: str) -> str:
    """The first word of a line, without what may be a password in a line of another format."""
    relay = re.match(r"\[[^\]]*\](:[^:]*)?", word)
    return relay[0] if relay else word.partition(":")[0] or word[:1]


SASL_PASSWORDS = SaslPasswords()


def line(login: Login) -> str:
    """A login as a line of the file. Raises ParseError if the file can't contain it."""
    text = f"{login.who} {login.user}:{login.password}"
    if not login.user or login.user != login.user.strip(" \t") or ":" in login.user:
        message = "the user is empty, or has a ':' or a blank at an end"
        hint = "use another user; Postfix would not read this one"
        raise ParseError("malformed-user", message, hint)
    if not login.password or SASL_PASSWORDS.parse(text) != login:
        message = "the password is empty or has a blank at an end, which the file can't contain"
        raise ParseError("malformed-password", message, "use another password")
    return text


def put(document: Document[Login], login: Login) -> Document[Login]:
    """Sets the login of a sender or relay; its line is changed in place, or appended."""
    text, position = line(login), document.position(login.who)
    return document.append(text) if position is None else document.replace(position, text)
