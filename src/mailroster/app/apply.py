"""What the config folder says is put in force now."""

from typing import NamedTuple

from mailroster.app.expire import clock_of, now, put_over, waiting
from mailroster.app.home import Home
from mailroster.app.sieve_scripts import scripts_of
from mailroster.base.findings import Finding, Refused, TryAgain
from mailroster.publish.reconcile import reconcile
from mailroster.servers.overrides import Pending
from mailroster.system.stability import Settling


class Applied(NamedTuple):
    """What was put in force, each text for people, or "" for nothing; how many rows of the tables
    were written; and what is not in force, and why."""

    changes: str
    entries: str  # how many entries there are
    scripts: str
    rows: int
    findings: list[Finding]


def apply(home: Home, *, removals: bool, verify: bool, trust_clock: bool) -> Applied:
    """Reconciles the tables, the Sieve scripts and the settings of the servers with the config
    folder. Raises Refused where no server was ever started, and as `reconcile` does.

    `removals`: what vanished from the files may go. `verify`: every row and script is compared, not
    only what has changed. `trust_clock`: the clock of the machine is right.
    """
    layout, store, tables = home.layout, home.store(), home.tables()
    if not tables.exist():
        raise Refused(f"no server was ever started on {home.settings.state}; run 'mailroster up'")
    clock = clock_of(store, layout)
    if trust_clock:
        clock.note()
    for finding in waiting(store, layout):
        home.warn(str(finding))
    try:
        if not clock.doubt():
            put_over(store, tables, now())
    except (TryAgain, Refused) as error:
        home.warn(f"what has come to its end date stays in force: {error}")
    settling = Settling(home.settings.settle_seconds)
    outcome = reconcile(store, tables, layout, settling, accept=removals, verify=verify)
    home.finish_moves()
    scripts = scripts_of(home).reconcile(accept=removals, anew=verify)
    pending = Pending(home.settings, layout).findings()
    return Applied(
        outcome.described(),
        outcome.entries(),
        scripts.described(),
        outcome.rows,
        [*outcome.faults, *outcome.held, *scripts.findings, *pending],
    )
