"""Compares the config folder with another folder, or with the roster that is served."""

import os
from collections.abc import Iterable

from mailroster.app import check
from mailroster.app.home import Home
from mailroster.app.new_findings import added_findings
from mailroster.base.findings import ERROR, Finding, Refused
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store


def served_roster(home: Home) -> Roster:
    """The roster that is served. Raises Refused if there is none."""
    tables = home.tables()
    if not tables.exist() or not tables.have_copies():
        raise Refused(f"nothing is served yet from {home.settings.state}; run 'mailroster up'")
    return tables.copies.roster()


def roster_of_folder(home: Home, path: str) -> Roster:
    """The roster of another folder; a missing file has no entries. Raises Refused."""
    if not os.path.isdir(path):
        raise Refused(f"there is no folder {path}")
    files = [document.format.file for document in Roster()]
    if not any(os.path.lexists(os.path.join(path, file)) for file in files):
        raise Refused(f"{path} is no config folder: it has none of {', '.join(files)}")
    return Store(path, linked=home.settings.linked()).read().readable()


def new_findings(home: Home, before: Roster, after: Roster, folder: str) -> list[Finding]:
    """The findings about the roster of a folder that another roster does not have on any line."""
    current = check.findings(home, after, folder)
    return added_findings(current, lambda: check.findings(home, before, home.settings.config))


def as_served(before: Roster, after: Roster, findings: Iterable[Finding]) -> Roster:
    """The second roster as it would be served: without its patterns if one of them has an error."""
    file = after.regexp.format.file
    if any(f.severity == ERROR and f.where.file == file for f in findings):
        return after._replace(regexp=before.regexp)
    return after
