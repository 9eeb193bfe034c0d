"""Checks with a sample of the mail folder whether the mail belongs to the mail's user."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

#: The size of the sample: domains, and mailboxes of each.
SAMPLE = 3
#: Folders in the mail folder that are not domains.
NO_DOMAINS = ("lost+found",)


class ForeignMail(NamedTuple):
    """A path that another user owns, with a message and a hint."""

    path: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.hint}"


def foreign(mail: str, uid: int, gid: int) -> Iterator[ForeignMail]:
    """The first file or folder of a sample that the mail's user (uid, gid) does not own, if any."""
    strange: list[tuple[str, tuple[int, int]]] = []
    for path in _sample(mail):
        try:
            status = os.stat(path)
        except OSError:
            continue
        if status.st_uid == uid or (path == mail and _lets_in(status, gid)):
            continue
        strange.append((path, (status.st_uid, status.st_gid)))
    if not strange:
        return
    path, (other_uid, other_gid) = strange[0]
    message = f"belongs to {other_uid}:{other_gid}, and not to {uid}:{gid}, the mail's user"
    hint = f"run once: chown -R {uid}:{gid} {mail}"
    if len(strange) == 1 and path == mail:
        hint = f"run once: chown {uid}:{gid} {mail}"
    elif other_uid and len({owner for _, owner in strange}) == 1:
        hint = f"set DMS_VMAIL_UID={other_uid} DMS_VMAIL_GID={other_gid}, or {hint}"
    yield ForeignMail(path, message, hint)


def _lets_in(status: os.stat_result, gid: int) -> bool:
    """Whether a user with this gid may create folders in a folder that another user owns."""
    return bool(status.st_mode & 0o002) or (status.st_gid == gid and bool(status.st_mode & 0o020))


def _sample(mail: str) -> Iterator[str]:
    """The mail folder, and a few domains, mailboxes, folders and messages."""
    yield mail
    for domain in _some(mail):
        yield domain
        for box in _some(domain):
            yield box
            for folder in ("cur", "new"):
                if os.path.isdir(path := f"{box}/{folder}"):
                    yield path
                    yield from _some(path, 1)


def _some(path: str, count: int = SAMPLE) -> list[str]:
    """The first few entries of a folder, in the order of the disk."""
    try:
        with os.scandir(path) as entries:
            names = (e.path for e in entries if e.name[0] != "." and e.name not in NO_DOMAINS)
            return list(islice(names, count))
    except OSError:
        return []
