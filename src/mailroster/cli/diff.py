"""`setup diff`: what another folder, or what is not in force yet, would change."""

from mailroster.app import diff as app_diff
from mailroster.app.preview import foreseen
from mailroster.base.findings import ERROR, UsageError
from mailroster.cli import preview
from mailroster.cli.call import Call
from mailroster.cli.shown import shown
from mailroster.roster.plan import plan


def diff(call: Call) -> int:
    """Files, effects, and the findings that come with them; exit 1 if one of those is an error, or
    with `--exit-code` if anything differs."""
    home, served = call.home, "--served" in call.options
    if not call.arguments and not served:
        raise UsageError("name a FOLDER to compare with, or say --served")
    folder = call.arguments[0] if call.arguments else None
    before = app_diff.served_roster(home) if served else home.roster()
    after = home.roster() if folder is None else app_diff.roster_of_folder(home, folder)
    changes = plan(before, after)
    if not changes.edits:
        preview.show(call, changes, [], findings=[])
        return 0
    where = call.settings.config if folder is None else folder
    findings = shown(app_diff.new_findings(home, before, after, where)).findings
    effects = foreseen(home, before, app_diff.as_served(before, after, findings))
    preview.show(call, changes, effects, findings=findings)
    bad = any(finding.severity == ERROR for finding in findings)
    return 1 if bad or "--exit-code" in call.options else 0
