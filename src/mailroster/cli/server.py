"""`setup up` and `setup status`."""

from mailroster import running
from mailroster.cli.call import Call, finding_fields, print_json, warn
from mailroster.finding import Finding
from mailroster.instance.postfix import needs_policy
from mailroster.overrides import ignored


def up(call: Call) -> int:
    """Runs until it is told to stop."""
    import asyncio
    import gc

    from mailroster.log import open_standard_streams
    from mailroster.server import Up

    open_standard_streams()
    call.warn_of_folder(makes=True)
    gc.enable()  # unlike the other commands, this one stays
    asyncio.run(Up(call.settings, adopt="--adopt" in call.options).run())
    return 0


def health(call: Call) -> int:
    """Exit 0 if SMTP and IMAP greet who connects, else 1."""
    from mailroster.health import silent

    found = silent(call.settings)
    for name in found:
        warn(f"no answer: {name}")
    return 1 if found else 0


def status(call: Call) -> int:
    """What runs, what is live, what is held back and why; exit 1 if anything is amiss."""
    layout, settings = call.layout(), call.settings
    pids = {
        ("watch" if layout.kind == "host" else "up"): running.up_pid(layout),
        "postfix": running.postfix_pid(layout),
        "dovecot": running.dovecot_pid(layout),
    }
    if needs_policy(settings):
        pids["policy"] = running.policy_pid(layout)
    held = _held(call)
    live = {} if held is None else {f: n for f, n in held[0].items() if n}
    findings = () if held is None else held[1]
    in_step = held is not None and not findings and held[2]
    healthy = in_step and all(pids.values())
    if "--json" in call.options:
        print_json(
            {
                "config": settings.config,
                "running": pids,
                "live": live,
                "in_step": in_step,
                "held": [finding_fields(finding) for finding in findings],
                "ignored": ignored(settings),
            }
        )
        return 0 if healthy else 1
    for name, pid in pids.items():
        if name == "policy" and (pid is not None or running.up_pid(layout) is None):
            continue  # it serves the servers: only its lack is worth a line
        print(f"{name}: {'not running' if pid is None else f'running, pid {pid}'}")
    if held is None:
        print(f"live: nothing; no server was ever started on {settings.state}")
    else:
        print("live: " + (", ".join(f"{n} in {file}" for file, n in live.items()) or "no entries"))
        print("in step: " + ("yes" if in_step else "no"))
    for finding in findings:
        print(f"held: {finding}")
    for line in ignored(settings):
        print(f"note: {line}")
    return 0 if healthy else 1


def _held(call: Call) -> tuple[dict[str, int], tuple[Finding, ...], bool] | None:
    """Entries served by file, what is held back, and whether the tables are what was asked for."""
    from mailroster import deadlines
    from mailroster.apply import outlook
    from mailroster.companions import waiting
    from mailroster.settling import Settling

    tables = call.tables()
    if not tables.exist():
        return None
    served = tables.copies.roster()
    store, layout = call.store(), call.layout()
    findings, in_step = outlook(store, tables, Settling(call.settings.settle_seconds))
    counts = {d.format.file: sum(1 for _ in d.items()) for _, d in served.documents()}
    late = deadlines.waiting(store, layout)
    return counts, (*findings, *waiting(call.settings, layout), *late), in_step
