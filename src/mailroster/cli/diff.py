"""`setup diff`: shows what another folder, or an edit that is not live yet, would change."""

from mailroster.app import diff as app_diff
from mailroster.app.preview import predict_effects
from mailroster.base.findings import ERROR, UsageError
from mailroster.cli import preview
from mailroster.cli.call import Call
from mailroster.cli.finding_limit import limit_findings
from mailroster.roster.plan import plan


def diff(call: Call) -> int:
    """Prints the changed files, the effects and the new findings; exits with 1 on a new error, with
    `--exit-code` also if anything differs."""
    home, served = call.home, "--served" in call.options
    if not call.arguments and not served:
        raise UsageError("give a FOLDER to compare with, or --served")
    folder = call.arguments[0] if call.arguments else None
    before = app_diff.served_roster(home) if served else home.roster()
    after = home.roster() if folder is None else app_diff.roster_of_folder(home, folder)
    changes = plan(before, after)
    if not changes.edits:
        preview.show(call, changes, [], findings=[])
        return 0
    where = call.settings.config if folder is None else folder
    findings = limit_findings(app_diff.new_findings(home, before, after, where)).findings
    effects = predict_effects(home, before, app_diff.as_served(before, after, findings))
    preview.show(call, changes, effects, findings=findings)
    has_errors = any(finding.severity == ERROR for finding in findings)
    return 1 if has_errors or "--exit-code" in call.options else 0
