"""Rules about restrictions of sending and receiving."""

from collections.abc import Iterator

from mailroster.address import split
from mailroster.checks.aliases import is_nobody
from mailroster.checks.subject import Subject
from mailroster.finding import INFO, Finding


def without_account(subject: Subject) -> Iterator[Finding]:
    """A restriction of an address of ours that nobody has. It may be meant: senders from elsewhere
    who use that name are refused too."""
    for document in (subject.roster.send_access, subject.roster.receive_access):
        for key, position in document.counted().items():
            if split(key)[1] and not key.startswith("@") and is_nobody(subject, key):
                where = document.location(position)
                what = f"neither an account nor an alias has the address {key!r}"
                mend = "remove the line if it is a leftover"
                yield Finding(where, INFO, "restriction-without-account", what, mend)
