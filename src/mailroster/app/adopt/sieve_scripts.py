"""Sieve scripts that would sort in another way: the folder's own, and those in the mailboxes."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from mailroster.app.adopt.remark import DIFFERS, NOTE, Remark, named
from mailroster.base.address import split
from mailroster.base.findings import printable
from mailroster.roster.formats.sieve import SUFFIX, scripts_among
from mailroster.system.files import look

#: A folder by its name, with a dot in it.
_FILED = re.compile(r'fileinto(?:\s+:[a-z]+)*\s+"([^"\n]*\.[^"\n]*)"')
#: A separator of the folder's own (dovecot.cf).
_SEPARATOR = re.compile(r"^\s*separator\s*=\s*\.", re.M)
#: So many scripts of users are read, and folders of mailboxes listed.
_READ_MAX = 1000
_LISTED_MAX = 200

_DOTS = "write '/' between the names of folders, or keep the dots (docs/guide/migrate.md)"


def keeps_dots(dovecot_cf: str) -> bool:
    """Whether the overrides say that `.` stands between the names of folders, as before."""
    return bool(_SEPARATOR.search(dovecot_cf))


def of_folder(config: str, names: Iterable[str]) -> Iterator[Remark]:
    """The scripts of a config folder that file mail by the names of old."""
    found = []
    for file in scripts_among(names).files.values():
        found += [f"{printable(file)}:{line}" for line in _dotted(os.path.join(config, file))]
    if found:
        message = "no folder has a '.' in its name, so the mail would stay in the INBOX"
        yield Remark(DIFFERS, named(found), message, _DOTS)


def of_mailboxes(
    names: Iterable[str], mail: str, accounts: Mapping[str, int], *, dots: bool
) -> Iterator[Remark]:
    """The users' own scripts, those that docker-mailserver has copied there among them. With `dots`
    their names of folders are as before."""
    scripts = scripts_among(names).files
    copied, filed = [], []
    for number, account in enumerate(accounts):
        home = os.path.join(mail, "{1}/{0}/home".format(*split(account)))
        if number >= _READ_MAX and account not in scripts:
            continue
        if not os.path.exists(path := os.path.join(home, ".dovecot.sieve")):
            continue
        if account in scripts:
            copied.append(path)
        if not dots and (lines := _dotted(path)):
            filed.append(f"{path}:{lines[0]}")
    if copied:
        message = f"it counts as the user's own, and so before ACCOUNT{SUFFIX} of the folder"
        hint = "remove it if it is the copy that docker-mailserver makes at each start"
        yield Remark(DIFFERS, named(copied), message, hint)
    if filed:
        message = "no folder has a '.' in its name, so the mail would stay in the INBOX"
        yield Remark(DIFFERS, named(filed), message, _DOTS)


def nested(mail: str, folders: Iterable[str]) -> Iterator[Remark]:
    """Folders in folders, whose names clients see with another separator; by some mailboxes."""
    for _, box in zip(range(_LISTED_MAX), folders, strict=False):
        try:
            with os.scandir(os.path.join(mail, box)) as entries:
                name = next((e.name for e in entries if e.name[0] == "." and "." in e.name[1:]), "")
        except OSError:
            continue
        if name and not name.startswith(".dovecot"):
            message = "folders in folders, which clients see with '/' between their names, not '.'"
            hint = "keep the dots if a client minds (docs/guide/migrate.md)"
            yield Remark(NOTE, printable(os.path.join(mail, box, name)), message, hint)
            return


def _dotted(path: str) -> list[int]:
    """The lines of a script that file mail into a folder with a dot in its name."""
    try:
        text = look(path)[0].decode("utf-8", "replace")
    except OSError:
        return []
    return [text.count("\n", 0, match.start()) + 1 for match in _FILED.finditer(text)]
