"""The whole config folder as one immutable value."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mailroster.roster.documents.document import Document
from mailroster.roster.documents.large import whole
from mailroster.roster.formats.access import RECEIVE_ACCESS, SEND_ACCESS, Restriction
from mailroster.roster.formats.accounts import ACCOUNTS, Account
from mailroster.roster.formats.app_passwords import APP_PASSWORDS, AppPassword
from mailroster.roster.formats.local_aliases import LOCAL_ALIASES
from mailroster.roster.formats.masters import MASTERS, Master
from mailroster.roster.formats.quotas import QUOTAS, Quota
from mailroster.roster.formats.regexp import REGEXP, Rule
from mailroster.roster.formats.relaymap import RELAYMAP, Relay
from mailroster.roster.formats.sasl_password import SASL_PASSWORDS, Login
from mailroster.roster.formats.sender_logins import SENDER_LOGINS, Grant
from mailroster.roster.formats.virtual import VIRTUAL, Alias

#: The fields whose entries may have an end date.
ENDING = ("accounts", "virtual", "send_access", "receive_access")


class Roster(NamedTuple):
    """One snapshot of all documents, in the order in which they are read and written."""

    accounts: Document[Account] = Document(ACCOUNTS)
    quotas: Document[Quota] = Document(QUOTAS)
    virtual: Document[Alias] = Document(VIRTUAL)
    regexp: Document[Rule] = Document(REGEXP)
    masters: Document[Master] = Document(MASTERS)
    send_access: Document[Restriction] = Document(SEND_ACCESS)
    receive_access: Document[Restriction] = Document(RECEIVE_ACCESS)
    sender_logins: Document[Grant] = Document(SENDER_LOGINS)
    local_aliases: Document[Alias] = Document(LOCAL_ALIASES)
    relaymap: Document[Relay] = Document(RELAYMAP)
    sasl_passwords: Document[Login] = Document(SASL_PASSWORDS)
    app_passwords: Document[AppPassword] = Document(APP_PASSWORDS)

    def documents(self) -> Iterator[tuple[str, "Document[object]"]]:
        """Field name and document of each file."""
        return zip(self._fields, self, strict=True)  # type: ignore[arg-type]

    def aliases(self) -> "tuple[Document[Alias], Document[Alias]]":
        """The documents of aliases, in the order of lookups."""
        return self.virtual, self.local_aliases

    def alias(self, key: str) -> Alias | None:
        """The alias of a key; if both files have it, that of the first file."""
        return self.virtual.get(key) or self.local_aliases.get(key)

    def of_file(self, file: str) -> Document[Any]:
        """The document of a file."""
        return next(document for _, document in self.documents() if document.format.file == file)

    def in_memory(self) -> "Roster":
        """The same with whole documents, for callers that read many of their lines."""
        documents: list[Any] = [whole(document) for document in self]
        return Roster(*documents)

    def read_at_once(self) -> "Roster":
        """The same with whole documents and all entries read, if most of them are needed."""
        roster = self.in_memory()
        for document in roster:
            document.counted()
        return roster

    def names_domain(self, domain: str) -> bool:
        """Whether an account or an alias names a domain, so that it is served here."""
        return self.accounts.names_domain(domain) or self.virtual.names_domain(domain)


def differing(
    before: Roster, after: Roster
) -> "Iterator[tuple[str, Document[object], Document[object]]]":
    """Field name and both documents of each file that differs between two rosters."""
    for (field, old), (_, new) in zip(before.documents(), after.documents(), strict=True):
        if not old.same_as(new):
            yield field, old, new


def document_of(field: str, raw: bytes, known: Iterable[Roster]) -> Document[Any]:
    """The document of a field with some bytes. Reuses a document of `known` with the same text,
    with all that it has cached."""
    empty: Document[Any] = getattr(Roster(), field)
    document = Document.from_bytes(empty.format, raw)
    others = (getattr(roster, field) for roster in known)
    return next((other for other in others if other.text == document.text), document)
