"""`setup apply`: the folder as a whole."""

from mailroster.app import apply as app_apply
from mailroster.cli.call import Call, warn


def apply(call: Call) -> int:
    """Brings the tables in step now."""
    verify = "--verify" in call.options
    applied = app_apply.apply(
        call.home,
        removals="--removals" in call.options,
        verify=verify,
        trust_clock="--clock-is-right" in call.options,
    )
    for finding in applied.findings:
        warn(str(finding))
    texts = [applied.changes, applied.scripts]
    if verify:
        rows = f"{applied.rows:,} row{'' if applied.rows == 1 else 's'} changed"
        texts = [applied.entries, applied.scripts, rows]
    print("\n".join(filter(None, texts)) or "nothing changed")
    return 0
