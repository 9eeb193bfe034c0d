"""Puts the config folder in force now."""

from typing import NamedTuple

from mailroster.app.expire import clock_of, expire_entries, now, waiting
from mailroster.app.home import Home
from mailroster.app.sieve_scripts import scripts_of
from mailroster.base.findings import Finding, Refused, TryAgain
from mailroster.publish.reconcile import reconcile
from mailroster.servers.overrides import PendingChanges
from mailroster.system.stability import Settling


class Applied(NamedTuple):
    """What was put in force. The texts are for people, "" for nothing."""

    changes: str
    entries: str  # the number of entries
    scripts: str
    rows: int  # of the tables, that were written
    findings: list[Finding]  # about what is not in force


def apply(home: Home, *, removals: bool, verify: bool, trust_clock: bool) -> Applied:
    """Reconciles the tables, the Sieve scripts and the settings of the servers with the config
    folder. Raises Refused if no server was ever started, and as `reconcile` does.

    `removals`: remove what vanished from the files. `verify`: compare every row and script, not
    only the changed ones. `trust_clock`: the clock of the machine is right.
    """
    layout, store, tables = home.layout, home.store(), home.tables()
    if not tables.exist():
        raise Refused(f"no server was ever started on {home.settings.state}; run 'mailroster up'")
    clock = clock_of(store, layout)
    if trust_clock:
        clock.trust()
    for finding in waiting(store, layout):
        home.warn(str(finding))
    try:
        if not clock.doubt():
            expire_entries(store, tables, now())
    except (TryAgain, Refused) as error:
        home.warn(f"expired entries stay in force: {error}")
    settling = Settling(home.settings.settle_seconds)
    outcome = reconcile(store, tables, layout, settling, accept=removals, verify=verify)
    home.finish_moves()
    scripts = scripts_of(home).reconcile(accept=removals, recompile=verify)
    pending = PendingChanges(home.settings, layout).findings()
    return Applied(
        outcome.described(),
        outcome.entries(),
        scripts.described(),
        outcome.rows,
        [*outcome.faults, *outcome.pending, *scripts.findings, *pending],
    )
