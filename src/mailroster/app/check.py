"""Everything that is wrong with a config folder, by our own rules and by Postfix and Dovecot."""

import os
from collections.abc import Iterator

from mailroster.app.home import Home
from mailroster.base.findings import Finding, ServerError
from mailroster.roster.roster import Roster
from mailroster.routing.router import quoted
from mailroster.store.config_folder import Snapshot
from mailroster.system.files import mode_for_all


def check_home(home: Home) -> Iterator[Finding]:
    """Yields the findings of a home. Raises as `Home.snapshot` does, at once."""
    return _each_of(home, home.snapshot())


def _each_of(home: Home, snapshot: Snapshot) -> Iterator[Finding]:
    from mailroster.app.server_findings import apart
    from mailroster.base.findings import unreadable

    yield from each_finding(home, snapshot.roster, home.settings.config)
    yield from apart(home.settings)
    for field, why in snapshot.unreadable.items():
        yield unreadable(getattr(snapshot.roster, field).format.file, why)


def findings(home: Home, roster: Roster, folder: str) -> list[Finding]:
    """Everything that is wrong with the roster of a folder, in the order of files and lines."""
    return sorted(each_finding(home, roster, folder))


def each_finding(home: Home, roster: Roster, folder: str) -> Iterator[Finding]:
    """The same, one after the other."""
    from mailroster.analysis.checks import findings as findings_of
    from mailroster.analysis.checks.subject import Subject
    from mailroster.app import server_findings
    from mailroster.servers.patterns import NoPcre, captors, prefetch, regexp_findings

    roster = roster.in_memory()
    captures = home.patterns(roster)
    router = home.router(roster, patterns=captures).remembering()
    theirs, taken = [], {}
    try:
        theirs = regexp_findings(roster.regexp)
        captures.evaluate(map(quoted, roster.accounts.counted()))
        taken = captors(roster.regexp, filter(captures, map(quoted, roster.accounts.counted())))
        prefetch(router, [*roster.virtual.index, *roster.local_aliases.index], _restricted(roster))
    except (NoPcre, ServerError) as error:
        captures.give_up()
        file = roster.regexp.format.file
        home.warn(f"the patterns of {file} are not checked: {error}")
    theirs += server_findings.findings(
        home.settings._replace(config=folder), home.layout, roster, home.warn
    )
    return findings_of(Subject(router, taken, _modes(folder, roster)), theirs)


def _restricted(roster: Roster) -> list[str]:
    keys = [*roster.send_access.counted(), *roster.receive_access.counted()]
    return [quoted(key) for key in keys if "@" in key[1:]]


def _modes(folder: str, roster: Roster) -> dict[str, int]:
    """The modes of the files of secrets that everybody can read."""
    files = [document.format.file for _, document in roster.documents() if document.format.secret]
    modes = {file: mode_for_all(os.path.join(folder, file)) for file in files}
    return {file: mode for file, mode in modes.items() if mode is not None}
