"""`setup apply`: the folder as a whole."""

from mailroster.base.findings import Busy, Refused
from mailroster.cli.call import Call, warn


def apply(call: Call) -> int:
    """Brings the tables in step now."""
    from mailroster.app.expire import clock_of, now, put_over, waiting
    from mailroster.publish.reconcile import converge
    from mailroster.servers.overrides import Pending
    from mailroster.servers.sieve import SieveScripts
    from mailroster.system.stability import Settling

    layout, store = call.layout(), call.store()
    tables = call.tables()
    if not tables.exist():
        raise Refused(f"no server was ever started on {call.settings.state}; run 'mailroster up'")
    clock = clock_of(store, layout)
    if "--clock-is-right" in call.options:
        clock.note()
    for finding in waiting(store, layout):
        warn(str(finding))
    try:
        if not clock.doubt():
            put_over(store, tables, now())
    except (Busy, Refused) as error:
        warn(f"what has come to its end date stays in force: {error}")
    outcome = converge(
        store,
        tables,
        layout,
        Settling(call.settings.settle_seconds),
        accept="--removals" in call.options,
        verify="--verify" in call.options,
    )
    call.settle_moves()
    settings = call.settings
    scripts = SieveScripts(
        settings.config, layout, settings.settle_seconds, linked=settings.linked()
    ).converge(accept="--removals" in call.options, anew="--verify" in call.options)
    pending = Pending(call.settings, layout).findings()
    for finding in (*outcome.faults, *outcome.held, *scripts.findings, *pending):
        warn(str(finding))
    told = [outcome.described(), scripts.described()]
    if "--verify" in call.options:
        rows = f"{outcome.rows:,} row{'' if outcome.rows == 1 else 's'} changed"
        told = [outcome.entries(), scripts.described(), rows]
    told = [text for text in told if text]
    print("\n".join(told or ["nothing changed"]))
    return 0
