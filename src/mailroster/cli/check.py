"""`setup check`: what is wrong with the folder, and what a code means."""

import os
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from mailroster.base.findings import (
    ERROR,
    INFO,
    WARNING,
    Finding,
    NotUnderstood,
    Refused,
    ServiceFailed,
)
from mailroster.cli import check_pages, check_reports
from mailroster.cli.call import Call, warn
from mailroster.cli.shown import Shown, shown
from mailroster.roster.roster import Roster
from mailroster.routing.router import quoted
from mailroster.store.config_folder import Snapshot
from mailroster.system.files import mode_for_all


def check(call: Call) -> int:
    """Every finding that is asked for; exit 1 if there is an error, or with --strict a warning."""
    options = call.options
    if "--explain" in options:
        return _explain(options["--explain"])
    report = _report(call)
    call.warn_of_folder()
    snapshot = call.store().read()
    roster = snapshot.roster
    only, ignored = _codes(options, "--rule"), _codes(options, "--ignore")
    found = shown(
        finding
        for finding in chain(
            _findings(call, roster, call.settings.config), _apart(call), _unreadable(snapshot)
        )
        if (not only or finding.code in only) and finding.code not in ignored
    )
    hides_notes = not ("--info" in options or only)
    report(_without_notes(found) if hides_notes else found, found.severities[INFO] * hides_notes)
    failing = (ERROR, WARNING) if "--strict" in options else (ERROR,)
    return 1 if any(found.severities[severity] for severity in failing) else 0


def _without_notes(found: Shown) -> Shown:
    severities = Counter({s: number for s, number in found.severities.items() if s != INFO})
    return Shown([finding for finding in found.findings if finding.severity != INFO], severities)


def findings(call: Call, roster: Roster, folder: str) -> list[Finding]:
    """Everything that is wrong with a folder, by our own rules and by Postfix's word, in the order
    of files and lines."""
    return sorted(_findings(call, roster, folder))


def _findings(call: Call, roster: Roster, folder: str) -> Iterator[Finding]:
    """As `findings`, one after the other."""
    from mailroster.analysis.checks import findings as findings_of
    from mailroster.analysis.checks.subject import Subject
    from mailroster.app import server_findings
    from mailroster.system.programs import Captures, NoPcre, captors, prime, regexp_findings

    roster = roster.in_memory()
    captures = Captures(roster.regexp)
    router = call.router(roster, captures).remembering()
    theirs, taken = [], {}
    try:
        theirs = regexp_findings(roster.regexp)
        captures.prime(map(quoted, roster.accounts.counted()))
        taken = captors(roster.regexp, filter(captures, map(quoted, roster.accounts.counted())))
        prime(router, [*roster.virtual.index, *roster.local_aliases.index], _restricted(roster))
    except (NoPcre, ServiceFailed) as error:
        captures.give_up()
        file = roster.regexp.format.file
        warn(f"the patterns of {file} are not checked: {error}")
    theirs += server_findings.findings(
        call.settings._replace(config=folder), call.layout(), roster, warn
    )
    return findings_of(Subject(router, taken, _modes(folder, roster)), theirs)


def _apart(call: Call) -> tuple[Finding, ...]:
    from mailroster.app.server_findings import apart

    return apart(call.settings)


def _unreadable(snapshot: Snapshot) -> list[Finding]:
    """A finding for each file that can't be read."""
    from mailroster.servers.sieve import unreadable

    files = {field: getattr(snapshot.roster, field).format.file for field in snapshot.unreadable}
    return [unreadable(files[field], why) for field, why in snapshot.unreadable.items()]


def _restricted(roster: Roster) -> list[str]:
    keys = [*roster.send_access.counted(), *roster.receive_access.counted()]
    return [quoted(key) for key in keys if "@" in key[1:]]


def _modes(folder: str, roster: Roster) -> dict[str, int]:
    """The modes of the files of secrets that everybody can read."""
    files = [document.format.file for _, document in roster.documents() if document.format.secret]
    modes = {file: mode_for_all(os.path.join(folder, file)) for file in files}
    return {file: mode for file, mode in modes.items() if mode is not None}


def _report(call: Call) -> check_reports.Report:
    name = call.options.get("--format", "json" if "--json" in call.options else "text")
    if name not in check_reports.REPORTS:
        raise NotUnderstood(f"{name!r} is none of {', '.join(check_reports.REPORTS)}")
    if name != "json" and "--json" in call.options:
        raise NotUnderstood(f"--json and --format {name} exclude each other")
    return check_reports.REPORTS[name](call.settings.config)


def _codes(options: dict[str, str], name: str) -> frozenset[str]:
    """The codes that an option names. Raises NotUnderstood for one that there isn't."""
    codes = options.get(name, "").replace(",", " ").split()
    for code in codes:
        if not check_pages.page(code):
            raise NotUnderstood(_unknown(code))
    if name in options and not codes:
        raise NotUnderstood(f"{name} names no code")
    return frozenset(codes)


def _explain(code: str) -> int:
    text = check_pages.page(code)
    if not text:
        raise Refused(_unknown(code))
    print(text, end="")
    return 0


def _unknown(code: str) -> str:
    import difflib

    near = difflib.get_close_matches(code, check_pages.codes(), 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no code {code!r}{hint}"
