"""Commands that edit: the options that all of them have, and what they print of the change."""

from collections.abc import Callable, Sequence

from mailroster.app.home import Edit, EditResult
from mailroster.cli.call import Call, warn

#: `Home.edit`, or a use case that does more with the same arguments.
Perform = Callable[..., EditResult]


def run_edit(
    call: Call,
    edit: Edit,
    *,
    notes_on: tuple[str, str] | None = None,
    done: Callable[[], object] = lambda: None,
    judged: bool = False,
    deletes: Sequence[str] = (),
    perform: Perform | None = None,
) -> int:
    """Puts an edit into the folder and in force; a dry run shows what it would do instead. Returns
    the exit status.

    `notes_on`: the field and the key of the entry that `--comment` and `--until` are about. `done`
    is called when the files are changed, whether or not that goes live. `judged`: what `check` says
    about the new entry is printed. `deletes`: folders that go with the edit. `perform` is called in
    place of `Home.edit`.
    """
    dry_run = call.is_dry_run()

    def written(result: EditResult) -> None:
        if result.plan.edits and not dry_run:
            done()
        if result.history_fault:
            warn(f"warning: the change is made, but missing in the history: {result.history_fault}")
        if judged and result.plan.edits:
            _warn_of_new_findings(call, result)

    result = (perform or call.home.edit)(
        _with_notes(call, edit, *notes_on) if notes_on else edit,
        dry_run=dry_run,
        wait="--no-wait" not in call.options,
        removals="--removals" in call.options,
        written=written,
    )
    if dry_run:
        from mailroster.app.preview import foreseen
        from mailroster.cli import preview

        effects = foreseen(call.home, result.before, result.after)
        preview.show(call, result.plan, effects, deletes=deletes)
    return 0


def rehearse(call: Call, edit: Edit) -> None:
    """Raises what an edit would raise, and changes nothing."""
    call.home.rehearse(edit, removals="--removals" in call.options, dry_run=call.is_dry_run())


def _with_notes(call: Call, edit: Edit, field: str, key: str) -> Edit:
    """An edit that also notes about the entry of a key what the options say."""
    if not call.says_notes():
        return edit
    from mailroster.cli.notes import said
    from mailroster.edits.notes import annotate

    about = said(call)
    return lambda roster: annotate(edit(roster), field, key, about)


def _warn_of_new_findings(call: Call, result: EditResult) -> None:
    """Prints what is wrong after an edit and was not before."""
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
