"""`postfix-accounts.cf`: who has a mailbox and a login.

    account = address "|" "{SCHEME}hash" [ "|" extra-fields ]

    john.doe@example.com|{SHA512-CRYPT}$6$Fp…|userdb_mail=mbox:~/mail:INBOX=~/inbox

One physical line each. The extra fields are Dovecot's (passwd-file extra fields), separated by
blanks, and are carried over as they are. Limits: see mailroster.address.
"""

from collections.abc import Callable
from typing import NamedTuple

from mailroster import address
from mailroster.address import Address
from mailroster.document import Document, Format, check_text
from mailroster.formats import hashed


class Account(NamedTuple):
    address: Address
    password: str
    extra: str = ""

    def fields(self) -> list[tuple[str, str]]:
        """The extra fields as (name, value); a bare name is a field that is set: "yes"."""
        pairs = [field.partition("=") for field in self.extra.split()]
        return [(name, value if equals else "yes") for name, equals, value in pairs]


class Accounts(Format[Account]):
    file = "postfix-accounts.cf"
    secret = True

    def key(self, line: str) -> str:
        return address.fold(hashed.name(line))

    def parse(self, line: str) -> Account:
        check_text(line)
        fields = hashed.fields(line)
        login = address.account(fields[0])
        return Account(login, hashed.check_hash(fields[1]), fields[2] if len(fields) > 2 else "")

    def quick(self) -> Callable[[str], Account]:
        import re

        plain = re.compile(rf"({address.PLAIN})\|({hashed.PLAIN})").fullmatch

        def parse(line: str) -> Account:
            found = plain(line)
            return Account(Address(found[1]), found[2]) if found else self.parse(line)

        return parse


ACCOUNTS = Accounts()


def add(document: Document[Account], account: Account) -> Document[Account]:
    """With one more account, at the end."""
    extra = f"|{account.extra}" if account.extra else ""
    return document.append(f"{account.address}|{account.password}{extra}")


def set_password(document: Document[Account], login: Address, hash: str) -> Document[Account]:
    """With another hash for an account that is there; its spelling and extra fields stay."""
    position = document.position(login)
    assert position is not None, login
    line = document.line(position)
    before, bar, rest = line.partition("|")
    old, extra_bar, extra = rest.rstrip("\r").partition("|")
    padded = old.replace(old.strip(" \t"), hash, 1)
    return document.replace(position, before + bar + padded + extra_bar + extra)
