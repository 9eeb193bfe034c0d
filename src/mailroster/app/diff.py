"""What another folder, or what is not in force yet, would change."""

import os
from collections.abc import Iterable, Sequence

from mailroster.app import check
from mailroster.app.home import Home
from mailroster.base.findings import ERROR, Finding, Refused
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store


def served_roster(home: Home) -> Roster:
    """What is served. Raises Refused if nothing is."""
    tables = home.tables()
    if not tables.exist() or not tables.have_copy():
        raise Refused(f"nothing is served yet from {home.settings.state}; run 'mailroster up'")
    return tables.copies.roster()


def roster_of_folder(home: Home, path: str) -> Roster:
    """The roster of another folder; a file that it lacks is one without entries. Raises Refused."""
    if not os.path.isdir(path):
        raise Refused(f"there is no folder {path}")
    files = [document.format.file for document in Roster()]
    if not any(os.path.lexists(os.path.join(path, file)) for file in files):
        raise Refused(f"{path} is no config folder: it has none of {', '.join(files)}")
    return Store(path, linked=home.settings.linked()).read().readable()


def new_findings(home: Home, before: Roster, after: Roster, folder: str) -> list[Finding]:
    """What is wrong with the roster of a folder and was not with another one, on whichever line."""
    fresh = check.findings(home, after, folder)
    if not fresh:
        return []
    known = {_gist(finding) for finding in check.findings(home, before, home.settings.config)}
    return [finding for finding in fresh if _gist(finding) not in known]


def _gist(finding: Finding) -> Sequence[str]:
    return finding.where.file, finding.code, finding.message


def as_served(before: Roster, after: Roster, findings: Iterable[Finding]) -> Roster:
    """The second roster as it would be served: patterns with an error stay out as a whole."""
    file = after.regexp.format.file
    if any(f.severity == ERROR and f.where.file == file for f in findings):
        return after._replace(regexp=before.regexp)
    return after
