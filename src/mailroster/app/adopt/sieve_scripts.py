"""Reports Sieve scripts that would file mail differently, in the config folder and in mailboxes."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from mailroster.app.adopt.remark import DIFFERS, NOTE, Remark, named
from mailroster.base.address import split
from mailroster.base.findings import printable
from mailroster.roster.formats.sieve import SUFFIX, scripts_among
from mailroster.system.files import look

#: An action that files mail into a folder with a dot in its name.
_FILEINTO = re.compile(r'fileinto(?:\s+:[a-z]+)*\s+"([^"\n]*\.[^"\n]*)"')
#: The setting of the separator in dovecot.cf.
_SEPARATOR = re.compile(r"^\s*separator\s*=\s*\.", re.M)
#: The number of user scripts that are read, and of mailboxes whose folders are listed.
_READ_MAX = 1000
_LISTED_MAX = 200

_DOTS = "no folder has a '.' in its name, so this mail would stay in the INBOX"
_DOTS_HINT = "write '/' between the names of folders, or keep the dots (docs/guide/migrate.md)"


def keeps_dots(dovecot_cf: str) -> bool:
    """Whether the overrides keep `.` as the separator of folders."""
    return bool(_SEPARATOR.search(dovecot_cf))


def of_folder(config: str, names: Iterable[str]) -> Iterator[Remark]:
    """Reports scripts in the config folder that file mail into folders with a dot."""
    lines = []
    for file in scripts_among(names).files.values():
        lines += [f"{printable(file)}:{line}" for line in _dotted(os.path.join(config, file))]
    if lines:
        yield Remark(DIFFERS, named(lines), _DOTS, _DOTS_HINT)


def of_mailboxes(
    names: Iterable[str], mail: str, accounts: Mapping[str, int], *, dots: bool
) -> Iterator[Remark]:
    """Reports the scripts in mailboxes: copies by docker-mailserver, and those that file mail into
    folders with a dot, unless `dots` says that the separator is kept."""
    scripts = scripts_among(names).files
    copies, dotted = [], []
    for number, account in enumerate(accounts):
        home = os.path.join(mail, "{1}/{0}/home".format(*split(account)))
        if number >= _READ_MAX and account not in scripts:
            continue
        if not os.path.exists(path := os.path.join(home, ".dovecot.sieve")):
            continue
        if account in scripts:
            copies.append(path)
        if not dots and (lines := _dotted(path)):
            dotted.append(f"{path}:{lines[0]}")
    if copies:
        message = f"the user's own script is used instead of ACCOUNT{SUFFIX} in the config folder"
        hint = "remove it if it is the copy that docker-mailserver makes at each start"
        yield Remark(DIFFERS, named(copies), message, hint)
    if dotted:
        yield Remark(DIFFERS, named(dotted), _DOTS, _DOTS_HINT)


def nested(mail: str, folders: Iterable[str]) -> Iterator[Remark]:
    """Reports, with one example, mailboxes that have folders in folders."""
    for _, box in zip(range(_LISTED_MAX), folders, strict=False):
        try:
            with os.scandir(os.path.join(mail, box)) as entries:
                name = next((e.name for e in entries if e.name[0] == "." and "." in e.name[1:]), "")
        except OSError:
            continue
        if name and not name.startswith(".dovecot"):
            message = "clients see folders in folders with the separator '/', not '.'"
            hint = "keep the dots if a client needs them (docs/guide/migrate.md)"
            yield Remark(NOTE, printable(os.path.join(mail, box, name)), message, hint)
            return


def _dotted(path: str) -> list[int]:
    """The numbers of the lines that file mail into a folder with a dot in its name."""
    try:
        text = look(path)[0].decode("utf-8", "replace")
    except OSError:
        return []
    return [text.count("\n", 0, match.start()) + 1 for match in _FILEINTO.finditer(text)]
