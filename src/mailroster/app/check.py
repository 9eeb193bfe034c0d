"""Checks a config folder with mailroster's own rules and with Postfix and Dovecot."""

import os
from collections.abc import Iterator

from mailroster.app.home import Home
from mailroster.base.findings import Finding, ServerError
from mailroster.roster.roster import Roster
from mailroster.routing.lookups import quoted
from mailroster.store.reader import Snapshot
from mailroster.system.files import mode_for_all


def check_home(home: Home) -> Iterator[Finding]:
    """Yields the findings of a home. Raises at once, as `Home.snapshot` does."""
    return _findings_of(home, home.snapshot())


def _findings_of(home: Home, snapshot: Snapshot) -> Iterator[Finding]:
    from mailroster.app.server_findings import overlay_findings
    from mailroster.base.findings import unreadable

    yield from each_finding(home, snapshot.roster, home.settings.config)
    yield from overlay_findings(home.settings)
    if home.settings.names_certificate():
        from mailroster.app.certificate import findings as certificate_findings

        yield from certificate_findings(home.settings, home.layout, home.warn)
    for field, reason in snapshot.unreadable.items():
        yield unreadable(getattr(snapshot.roster, field).format.file, reason)


def findings(home: Home, roster: Roster, folder: str) -> list[Finding]:
    """All findings about the roster of a folder, in the order of files and lines."""
    return sorted(each_finding(home, roster, folder))


def each_finding(home: Home, roster: Roster, folder: str) -> Iterator[Finding]:
    """Yields the findings about the roster of a folder."""
    from mailroster.analysis.checks import findings as findings_of
    from mailroster.analysis.checks.subject import Subject
    from mailroster.app import server_findings
    from mailroster.app.pattern_matcher import captured_accounts
    from mailroster.servers.patterns import NoPcre, prefetch, regexp_findings

    roster = roster.in_memory()
    matcher = home.patterns(roster)
    router = home.router(roster, patterns=matcher).remembering()
    others, captured = [], {}
    try:
        others = regexp_findings(roster.regexp)
        captured = captured_accounts(roster, matcher)
        prefetch(router, [*roster.virtual.index, *roster.local_aliases.index], _restricted(roster))
    except (NoPcre, ServerError) as error:
        matcher.give_up()
        file = roster.regexp.format.file
        home.warn(f"the patterns of {file} are not checked: {error}")
    others += server_findings.findings(
        home.settings._replace(config=folder), home.layout, roster, home.warn
    )
    return findings_of(Subject(router, captured, _modes(folder, roster)), others)


def _restricted(roster: Roster) -> list[str]:
    keys = [*roster.send_access.counted(), *roster.receive_access.counted()]
    return [quoted(key) for key in keys if "@" in key[1:]]


def _modes(folder: str, roster: Roster) -> dict[str, int]:
    """The modes of files with secrets that all users can read."""
    files = [document.format.file for _, document in roster.documents() if document.format.secret]
    modes = {file: mode_for_all(os.path.join(folder, file)) for file in files}
    return {file: mode for file, mode in modes.items() if mode is not None}
