"""`setup apply`."""

from mailroster.app import apply as app_apply
from mailroster.cli.call import Call
from mailroster.cli.streams import warn


def apply(call: Call) -> int:
    """Reconciles the tables with the config folder and prints what changed."""
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
