"""`postfix-aliases.cf`: aliases of local names, like `root` and `abuse`.

    alias = name ":" recipient *( separator recipient )

    abuse: john.doe@example.com, jane.doe@example.com

aliases(5), without recipients that run a program or write a file: `|command`, `/file` and
`:include:/file` are refused. `/dev/null` discards mail. A name has no domain; its case does not
count. Recipients are separated by commas and blanks; a line that starts with a blank continues the
one before.
"""

from mailroster.base import address
from mailroster.base.findings import ParseError
from mailroster.roster.documents.text import check_text, content
from mailroster.roster.formats.virtual import Alias, Virtual

#: The recipient that discards mail.
DISCARD = "/dev/null"


class LocalAliases(Virtual):
    file = "postfix-aliases.cf"
    key_end = ":"

    def key(self, line: str) -> str:
        text = content(line)
        return "" if text[:1] == "#" else address.fold(text.partition(":")[0])

    def parse(self, line: str) -> Alias:
        text = content(line)
        check_text(text)
        if line[:1] in (" ", "\t"):
            raise ParseError(
                "lost-continuation", "the first entry starts with a blank", "remove it"
            )
        name, colon, value = text.partition(":")
        if not colon:
            raise ParseError("malformed-alias", f"{name!r} has no ':'", "write NAME: ADDRESS")
        key = address.alias(name.strip(" \t"))
        if "@" in key:
            hint = "write aliases with a domain into postfix-virtual.cf"
            raise ParseError("malformed-alias", f"{key!r} has a domain", hint)
        recipients: dict[str, str] = {}
        for word in value.replace(",", " ").split():
            if word.strip('"') == DISCARD:
                recipients[DISCARD] = DISCARD
                continue
            if word.lstrip('"')[:1] in ("|", "/") or word.lower().startswith(":include:"):
                raise ParseError(
                    "unsafe-recipient",
                    f"alias {key!r} leads to a program or a file ({word[:1]!r}…)",
                    "write addresses; a Sieve script can file mail, but no alias runs a program",
                )
            recipient = address.recipient(word)
            if recipient[0] == "@":
                raise ParseError(
                    "malformed-address", f"{word!r} is a whole domain", "write an address"
                )
            recipients.setdefault(recipient.lower(), recipient)
        if not recipients:
            raise ParseError(
                "no-recipient", f"alias {key!r} has no recipient", "add a recipient behind it"
            )
        return Alias(key, tuple(recipients.values()))

    def plain(self) -> None:
        return None


LOCAL_ALIASES = LocalAliases()
