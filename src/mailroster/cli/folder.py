"""`setup check` and `setup apply`: the folder as a whole."""

from mailroster.cli.call import Call, finding_fields, print_json, warn
from mailroster.finding import ERROR, Busy, Refused


def check(call: Call) -> int:
    """Every finding on a line of its own; exit 1 if there is an error."""
    from mailroster.checks import check as check_roster
    from mailroster.resolve import Router
    from mailroster.services import Captures, NoPcre, prime, regexp_findings

    roster = call.roster()
    router = Router(roster, call.settings.hostname, Captures(roster.regexp))
    prime(router, roster.virtual.index)
    findings = check_roster(router)
    try:
        findings = sorted([*findings, *regexp_findings(roster.regexp)])
    except NoPcre as error:
        warn(f"the patterns of {roster.regexp.format.file} are not checked: {error}")
    if "--json" in call.options:
        print_json([finding_fields(finding) for finding in findings])
    else:
        for finding in findings:
            print(finding)
    return 1 if any(finding.severity == ERROR for finding in findings) else 0


def apply(call: Call) -> int:
    """Brings the tables in step now."""
    from mailroster.apply import converge
    from mailroster.deadlines import now, put_over
    from mailroster.settling import Settling

    layout, store = call.layout(), call.store()
    tables = call.tables()
    if not tables.exist():
        raise Refused(f"no server was ever started on {call.settings.state}; run 'mailroster up'")
    try:
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
    for finding in (*outcome.faults, *outcome.held):
        warn(str(finding))
    print(f"{outcome.rows} rows changed")
    return 0
