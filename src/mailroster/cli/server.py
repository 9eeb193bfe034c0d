"""`setup up` and `setup status`."""

from collections import Counter
from collections.abc import Mapping

from mailroster.base.findings import Finding
from mailroster.base.named_tuple import NamedTuple
from mailroster.cli.call import Call, finding_fields, print_json, warn
from mailroster.servers import in_force, running
from mailroster.servers.overrides import ignored


def up(call: Call) -> int:
    """Runs until it is told to stop."""
    import asyncio
    import gc

    from mailroster.daemons.up import Up
    from mailroster.system.log import open_standard_streams

    open_standard_streams()
    call.warn_of_folder(makes=True)
    gc.enable()  # unlike the other commands, this one stays
    try:
        asyncio.run(Up(call.settings, adopt="--adopt" in call.options).run())
    except OSError as error:
        error.filename = error.filename or call.settings.state  # where most of it is written
        raise
    return 0


def health(call: Call) -> int:
    """Exit 0 if SMTP and IMAP greet a client that connects, else 1."""
    from mailroster.servers.health import silent

    found = silent(in_force.ports(call.settings, call.layout()))
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
        "policy": running.policy_pid(layout),
    }
    served = _served(call)
    live = {} if served is None else {file: n for file, n in served.live.items() if n}
    findings = () if served is None else served.held
    skipped = {} if served is None else dict(served.skipped)
    in_step = served is not None and served.in_step
    healthy = in_step and all(pids.values())
    if "--json" in call.options:
        print_json(
            {
                "config": settings.config,
                "running": pids,
                "live": live,
                "in_step": in_step,
                "skipped": skipped,
                "held": [finding_fields(finding) for finding in findings],
                "ignored": ignored(settings),
            }
        )
        return 0 if healthy else 1
    for name, pid in pids.items():
        if name == "policy" and (pid is not None or running.up_pid(layout) is None):
            continue  # it serves the servers: only its lack is worth a line
        print(f"{name}: {'not running' if pid is None else f'running, pid {pid}'}")
    if served is None:
        print(f"live: nothing; no server was ever started on {settings.state}")
    else:
        print("live: " + (", ".join(f"{n} in {file}" for file, n in live.items()) or "no entries"))
        print("in step: " + ("yes" if in_step else "no"))
    if skipped:
        count = sum(skipped.values())
        lines = "1 line with an error" if count == 1 else f"{count} lines with errors"
        print(f"skipped: {lines}; see 'setup check'")
    for finding in findings:
        print(f"held: {finding}")
    for line in ignored(settings):
        print(f"note: {line}")
    return 0 if healthy else 1


class _Served(NamedTuple):
    """What is served, and how that differs from what the folder says."""

    live: Mapping[str, int]  # file -> entries that are served
    skipped: Mapping[str, int]  # file -> lines with errors
    held: tuple[Finding, ...]
    in_step: bool  # whether every line of every file is served, and nothing else


def _served(call: Call) -> _Served | None:
    """None if no server was ever started."""
    from mailroster.app import expire
    from mailroster.app.server_findings import waiting
    from mailroster.publish.reconcile import outlook
    from mailroster.system.stability import Settling

    tables = call.tables()
    if not tables.exist():
        return None
    served = tables.copies.roster()
    store, layout = call.store(), call.layout()
    foreseen = outlook(store, tables, Settling(call.settings.settle_seconds))
    live = {d.format.file: sum(1 for _ in d.items()) for _, d in served.documents()}
    late = expire.waiting(store, layout)
    held = (*foreseen.held, *waiting(call.settings, layout), *late)
    skipped = Counter(foreseen.skipped)
    if foreseen.in_step:
        skipped += Counter(tables.without_row(live))
    return _Served(live, skipped, held, foreseen.in_step and not held and not skipped)
