"""Runs an edit with the options that all editing commands have, and prints its effect."""

from collections.abc import Callable, Sequence

from mailroster.app.home import Edit, EditResult
from mailroster.cli.call import Call
from mailroster.cli.streams import warn

#: `Home.edit`, or a use case with the same arguments that does more.
Perform = Callable[..., EditResult]


def run_edit(
    call: Call,
    edit: Edit,
    *,
    notes_on: tuple[str, str] | None = None,
    on_written: Callable[[], object] = lambda: None,
    report_findings: bool = False,
    deletes: Sequence[str] = (),
    perform: Perform | None = None,
) -> int:
    """Applies an edit to the config folder and the tables, or shows its effect with --dry-run.
    Returns the exit status.

    `notes_on`: the field and the key of the entry that gets the notes of `--comment` and `--until`.
    `on_written` is called when the files are written, even if the change does not go live.
    `report_findings`: print the findings of `check` that the change adds. `deletes`: folders that
    are deleted with the edit. `perform` is called in place of `Home.edit`.
    """
    dry_run = call.is_dry_run()

    def after_write(result: EditResult) -> None:
        if result.plan.edits and not dry_run:
            on_written()
        if result.history_fault:
            warn(f"warning: the change is written, but not in the history: {result.history_fault}")
        if report_findings and result.plan.edits:
            _warn_of_new_findings(call, result)

    result = (perform or call.home.edit)(
        _with_notes(call, edit, *notes_on) if notes_on else edit,
        dry_run=dry_run,
        wait="--no-wait" not in call.options,
        removals="--removals" in call.options,
        written=after_write,
    )
    if dry_run:
        from mailroster.app.preview import predict_effects
        from mailroster.cli import preview

        effects = predict_effects(call.home, result.before, result.after)
        preview.show(call, result.plan, effects, deletes=deletes)
    return 0


def rehearse(call: Call, edit: Edit) -> None:
    """Raises the error that an edit would raise; changes nothing."""
    call.home.rehearse(edit, removals="--removals" in call.options, dry_run=call.is_dry_run())


def _with_notes(call: Call, edit: Edit, field: str, key: str) -> Edit:
    """The edit, and after it the change of the notes on an entry that the options request."""
    if not call.changes_notes():
        return edit
    from mailroster.cli.notes import note_change
    from mailroster.edits.notes import annotate

    change = note_change(call)
    return lambda roster: annotate(edit(roster), field, key, change)


def _warn_of_new_findings(call: Call, result: EditResult) -> None:
    """Prints the findings that an edit has added."""
    from mailroster.app.new_findings import new_findings
    from mailroster.base.findings import INFO

    new = new_findings(result.plan, result.before, result.after, call.settings.hostname)
    for finding in new.findings:
        severity = "note" if finding.severity == INFO else finding.severity
        warn(f"{severity}: {finding.message}; {finding.hint} [{finding.code}]")
    if new.more:
        warn(f"{new.more:,} more: setup check")
    if new.unchecked:
        warn(f"note: {new.unchecked}")
