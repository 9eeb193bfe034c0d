"""`postfix-accounts.cf`: accounts, each with a mailbox and a login.

    account = address "|" "{SCHEME}hash" [ "|" extra-fields ]

    john.doe@example.com|{SHA512-CRYPT}$6$Fp…|userdb_mail=mbox:~/mail:INBOX=~/inbox

One physical line each. The extra fields are Dovecot's (passwd-file extra fields), separated by
blanks; mailroster.roster.formats.extra_fields has the list of allowed fields.
Limits: see mailroster.base.address.
"""

from typing import NamedTuple

from mailroster.base import address
from mailroster.base.address import Address
from mailroster.roster.documents.document import Document
from mailroster.roster.documents.format import Format, Plain
from mailroster.roster.documents.text import check_text
from mailroster.roster.formats import credentials


class Account(NamedTuple):
    address: Address
    password: str
    extra: str = ""

    def is_locked(self) -> bool:
        """Whether its password is locked: it gets mail, but no one can log in."""
        return credentials.is_locked(self.password)

    def fields(self) -> list[tuple[str, str]]:
        """The extra fields as (name, value); a bare name has an empty value."""
        pairs = [field.partition("=") for field in self.extra.split()]
        return [(name, value) for name, _, value in pairs]


class Accounts(Format[Account]):
    file = "postfix-accounts.cf"
    key_end = "|"
    secret = True

    def hidden(self, line: str) -> str:
        return credentials.hidden(line)

    def key(self, line: str) -> str:
        return address.fold(credentials.name(line))

    def parse(self, line: str) -> Account:
        check_text(line)
        fields = credentials.fields(line)
        login = address.account(fields[0])
        account = Account(login, credentials.check_hash(fields[1]), *fields[2:])
        if account.extra:
            from mailroster.roster.formats import extra_fields  # few accounts have any

            extra_fields.check(account.fields())
        return account

    def plain(self) -> Plain[Account] | None:
        return Plain.of_account("|", credentials.PLAIN, Account._make, "")


ACCOUNTS = Accounts()


def line(account: Account) -> str:
    """An account as a line of the file."""
    extra = f"|{account.extra}" if account.extra else ""
    return f"{account.address}|{account.password}{extra}"


def changed_line(line: str, hash: str, extra: str | None = None) -> str:
    """The line of an account with another hash, and with other extra fields if `extra` is given;
    the spelling and the blanks stay."""
    before, bar, rest = line.removesuffix("\r").partition("|")
    old, extra_bar, old_extra = rest.partition("|")
    padded = old.replace(old.strip(" \t"), hash, 1)
    return before + bar + padded + (extra_bar + old_extra if extra is None else f"|{extra}")


def add(document: Document[Account], account: Account) -> Document[Account]:
    """Appends an account."""
    return document.append(line(account))


def set_password(document: Document[Account], login: Address, hash: str) -> Document[Account]:
    """Sets the hash of an account that exists; the spelling and the extra fields stay."""
    position = document.position(login)
    assert position is not None, login
    return document.replace(position, changed_line(document.line(position), hash))
