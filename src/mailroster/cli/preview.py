"""Prints the preview of a change, for `--dry-run` and `setup diff`."""

from collections.abc import Iterable, Mapping, Sequence

from mailroster.analysis.effects.effect import Effect
from mailroster.analysis.effects.sentences import sentences
from mailroster.base.findings import Finding
from mailroster.cli.call import Call, finding_fields, print_json
from mailroster.cli.usage import usages
from mailroster.roster.plan import Plan, file_diff

NO_EFFECT = "none: no login and no mail changes"


def show(
    call: Call,
    plan: Plan,
    effects: Sequence[Effect],
    *,
    deletes: Sequence[str] = (),
    findings: Sequence[Finding] | None = None,
) -> None:
    """Prints the changed files, the effects, the deleted mail folders and the new findings."""
    if "--json" in call.options:
        shape: dict[str, object] = {
            "files": [{"file": edit.file, "diff": file_diff(edit)} for edit in plan.edits],
            "effects": [effect._asdict() for effect in effects],
        }
        if findings is None:
            shape["deletes"] = list(deletes)
        else:
            shape["findings"] = [finding_fields(finding) for finding in findings]
        print_json(shape)
        return
    for edit in plan.edits:
        print(file_diff(edit), end="")
    if not plan.edits:
        print("no file would change")
    else:
        print("\nThe effect:")
        for line in sentences(effects, _usage(call, effects)) or [NO_EFFECT]:
            print(f"  {line}")
    for folder in deletes:
        print(f"would delete {folder}")
    if findings:
        print("\nNew findings:")
        for finding in findings:
            print(f"  {finding}")


def _usage(call: Call, effects: Iterable[Effect]) -> Mapping[str, int]:
    """The use of the mailboxes whose quota changes; empty if no server counts it."""
    users = [effect.subject for effect in effects if effect.kind == "quota-changed"]
    if not users:
        return {}
    known = usages(call, call.home.roster(), users)
    return {user: use.used for user, use in known.items() if use.used is not None}
