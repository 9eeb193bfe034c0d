"""`setup up` and `setup status`."""

from mailroster.app.status import silent_servers
from mailroster.app.status import status as status_of
from mailroster.cli.call import Call, finding_fields, print_json, warn


def up(call: Call) -> int:
    """Runs until a signal ends it."""
    from mailroster.daemons.up import serve

    serve(call.home, adopt="--adopt" in call.options)
    return 0


def health(call: Call) -> int:
    """Exit 0 if SMTP and IMAP greet a client that connects, else 1."""
    silent = silent_servers(call.home)
    for name in silent:
        warn(f"no answer: {name}")
    return 1 if silent else 0


def status(call: Call) -> int:
    """What runs, what is live, what is not live and why; exit 1 if anything is wrong."""
    current = status_of(call.home)
    served = current.published
    live = {} if served is None else {file: n for file, n in served.live.items() if n}
    findings = () if served is None else served.held
    skipped = {} if served is None else dict(served.skipped)
    in_step = served is not None and served.in_step
    healthy = in_step and all(current.pids.values())
    if "--json" in call.options:
        print_json(
            {
                "config": call.settings.config,
                "running": current.pids,
                "live": live,
                "in_step": in_step,
                "skipped": skipped,
                "held": [finding_fields(finding) for finding in findings],
                "ignored": current.ignored,
            }
        )
        return 0 if healthy else 1
    has_parent = next(iter(current.pids.values())) is not None
    for name, pid in current.pids.items():
        if name == "policy" and (pid is not None or not has_parent):
            continue  # it serves the servers: only its lack is worth a line
        print(f"{name}: {'not running' if pid is None else f'running, pid {pid}'}")
    if served is None:
        print(f"live: nothing; no server was ever started on {call.settings.state}")
    else:
        print("live: " + (", ".join(f"{n} in {file}" for file, n in live.items()) or "no entries"))
        print("in step: " + ("yes" if in_step else "no"))
    if skipped:
        count = sum(skipped.values())
        lines = "1 line with an error" if count == 1 else f"{count} lines with errors"
        print(f"skipped: {lines}; see 'setup check'")
    for finding in findings:
        print(f"held: {finding}")
    for line in current.ignored:
        print(f"note: {line}")
    return 0 if healthy else 1
