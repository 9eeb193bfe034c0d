"""What a change would do, as `--dry-run` and `setup diff` show it."""

from collections.abc import Iterable, Mapping, Sequence

from mailroster.analysis.effects.effect import Effect
from mailroster.analysis.effects.sentences import sentences
from mailroster.base.findings import Finding
from mailroster.cli.call import Call, finding_fields, print_json
from mailroster.cli.usage import usages
from mailroster.roster.plan import Plan, file_diff

NOTHING = "nothing: no login and no mail is concerned"


def show(
    call: Call,
    plan: Plan,
    found: Sequence[Effect],
    *,
    deletes: Sequence[str] = (),
    findings: Sequence[Finding] | None = None,
) -> None:
    """Prints what files, effects, mail folders and findings there are to a change."""
    if "--json" in call.options:
        shape: dict[str, object] = {
            "files": [{"file": edit.file, "diff": file_diff(edit)} for edit in plan.edits],
            "effects": [effect._asdict() for effect in found],
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
        for line in sentences(found, _usage(call, found)) or [NOTHING]:
            print(f"  {line}")
    for folder in deletes:
        print(f"would delete {folder}")
    if findings:
        print("\nWrong then, and not now:")
        for finding in findings:
            print(f"  {finding}")


def _usage(call: Call, found: Iterable[Effect]) -> Mapping[str, int]:
    """What mailboxes hold whose quota changes, if a server runs that counts."""
    users = [effect.subject for effect in found if effect.kind == "quota-changed"]
    if not users:
        return {}
    known = usages(call, call.home.roster(), users)
    return {user: use.used for user, use in known.items() if use.used is not None}
