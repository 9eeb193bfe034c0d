"""`setup diff`: what another folder, or what is not in force yet, would change."""

import os
from collections.abc import Iterable

from mailroster.base.findings import ERROR, Finding, NotUnderstood, Refused
from mailroster.cli import preview
from mailroster.cli.call import Call
from mailroster.roster.plan import plan
from mailroster.roster.roster import Roster
from mailroster.store.config_folder import Store


def diff(call: Call) -> int:
    """Files, effects, and the findings that come with them; exit 1 if one of those is an error, or
    with `--exit-code` if anything differs."""
    served = "--served" in call.options
    if not call.arguments and not served:
        raise NotUnderstood("name a FOLDER to compare with, or say --served")
    before = _served(call) if served else call.roster()
    after = _folder(call, call.arguments[0]) if call.arguments else call.roster()
    changes = plan(before, after)
    findings = _fresh(call, before, after) if changes.edits else []
    served_then = _in_force(before, after, findings)
    found = preview.foreseen(call, before, served_then) if changes.edits else []
    preview.show(call, changes, found, findings=findings)
    bad = any(finding.severity == ERROR for finding in findings)
    return 1 if bad or (changes.edits and "--exit-code" in call.options) else 0


def _served(call: Call) -> Roster:
    tables = call.tables()
    if not tables.exist() or not tables.have_copy():
        raise Refused(f"nothing is served yet from {call.settings.state}; run 'mailroster up'")
    return tables.copies.roster()


def _folder(call: Call, path: str) -> Roster:
    """The roster of another folder; a file that it lacks is one without entries."""
    if not os.path.isdir(path):
        raise Refused(f"there is no folder {path}")
    files = [document.format.file for document in Roster()]
    if not any(os.path.lexists(os.path.join(path, file)) for file in files):
        raise Refused(f"{path} is no config folder: it has none of {', '.join(files)}")
    return Store(path, linked=call.settings.linked()).read().readable()


def _fresh(call: Call, before: Roster, after: Roster) -> list[Finding]:
    """What is wrong with the second and was not with the first, wherever it stands."""
    from mailroster.cli.check import findings
    from mailroster.cli.shown import shown

    folder = call.settings.config
    found = findings(call, after, call.arguments[0] if call.arguments else folder)
    known = {_gist(finding) for finding in findings(call, before, folder)} if found else set()
    return shown(finding for finding in found if _gist(finding) not in known).findings


def _gist(finding: Finding) -> tuple[str, ...]:
    return finding.where.file, finding.code, finding.what


def _in_force(before: Roster, after: Roster, findings: Iterable[Finding]) -> Roster:
    """The second roster as it would be served: patterns with an error stay out as a whole."""
    file = after.regexp.format.file
    if any(f.severity == ERROR and f.where.file == file for f in findings):
        return after._replace(regexp=before.regexp)
    return after
