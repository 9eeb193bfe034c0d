"""Rules about restrictions of sending and receiving."""

from collections.abc import Iterator

from mailroster.analysis.checks.aliases import is_unknown
from mailroster.analysis.checks.subject import Subject
from mailroster.base.address import split
from mailroster.base.findings import INFO, WARNING, Finding


def without_account(subject: Subject) -> Iterator[Finding]:
    """A restriction of an address that does not exist here. It may be intended: it also refuses
    senders from elsewhere who use that address."""
    for document in (subject.roster.send_access, subject.roster.receive_access):
        for key, position in document.counted().items():
            if split(key)[1] and not key.startswith("@") and is_unknown(subject, key):
                where = document.location(position)
                message = f"neither an account nor an alias has the address {key!r}"
                hint = "remove the line if it is no longer needed"
                yield Finding(where, INFO, "restriction-without-account", message, hint)


def of_bare_names(subject: Subject) -> Iterator[Finding]:
    """A key that is the name of a user without `@` and domain: access(5) reads it as a domain."""
    roster = subject.roster
    documents = (roster.send_access, roster.receive_access)
    bare = {key for document in documents for key in document.counted() if key.isalnum()}
    if not bare:
        return
    keys = (*roster.accounts.counted(), *roster.virtual.counted())
    users = bare.intersection(split(key)[0] for key in keys)
    for document in documents:
        for key, position in document.counted().items():
            if key in users:
                where = document.location(position)
                message = f"{key!r} is read as a domain, so it matches no user of that name"
                hint = f"write '{key}@' for that user in every domain, or write the whole address"
                yield Finding(where, WARNING, "restriction-of-bare-name", message, hint)
