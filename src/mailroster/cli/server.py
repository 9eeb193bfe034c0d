"""`setup up`, `setup health` and `setup status`."""

from collections.abc import Sequence

from mailroster.app.certificate import Certificate
from mailroster.app.status import BlockCount, option_pids, silent_servers
from mailroster.app.status import status as status_of
from mailroster.base.findings import Finding
from mailroster.cli.call import Call, finding_fields, print_json
from mailroster.cli.streams import warn


def up(call: Call) -> int:
    """Runs the servers until a signal ends it."""
    from mailroster.daemons.up import serve

    serve(call.home, adopt="--adopt" in call.options)
    return 0


def spam_filter(call: Call) -> int:
    """Runs the spam filter alone until a signal ends it."""
    from mailroster.daemons.filtering import serve

    serve(call.settings)
    return 0


def health(call: Call) -> int:
    """Exits with 0 if SMTP and IMAP greet a client that connects, else with 1. A process of an
    option that does not run is named only: a restart of the container would not help."""
    silent = silent_servers(call.home)
    for name in silent:
        warn(f"no answer: {name}")
    for name, pid in option_pids(call.home).items():
        if pid is None:
            warn(f"not running: {name}")
    return 1 if silent else 0


def _certificate_fields(certificate: Certificate) -> dict[str, object]:
    refusal = certificate.refusal
    return {
        "file": certificate.path,
        "until": certificate.ends,
        "findings": [finding_fields(finding) for finding in certificate.faults],
        "refused": finding_fields(refusal) if refusal else None,
    }


def _blocked_fields(blocked: BlockCount | None) -> dict[str, int | None] | None:
    return blocked and {"clients": blocked.clients, "accounts": blocked.accounts}


def _blocked_text(blocked: BlockCount) -> str:
    """`2 clients`, `1 client, 1 account for unknown clients`, or why they are not known."""
    if blocked.clients is None:
        return f"not known; {blocked.why}"
    text = "1 client" if blocked.clients == 1 else f"{blocked.clients} clients"
    if not blocked.accounts:
        return text
    accounts = "1 account" if blocked.accounts == 1 else f"{blocked.accounts} accounts"
    return f"{text}, {accounts} for unknown clients"


def status(call: Call) -> int:
    """Prints what runs, what is live, and what is not live and why; exits with 1 on a fault."""
    current = status_of(call.home)
    published = current.published
    live: dict[str, int] = {}
    skipped: dict[str, int] = {}
    waiting: Sequence[Finding] = ()
    in_step = False
    if published is not None:
        live = {file: count for file, count in published.live.items() if count}
        skipped, waiting, in_step = dict(published.skipped), published.waiting, published.in_step
    healthy = in_step and all(current.pids.values())
    if "--json" in call.options:
        print_json(
            {
                "config": call.settings.config,
                "running": current.pids,
                "live": live,
                "in_step": in_step,
                "skipped": skipped,
                "waiting": [finding_fields(finding) for finding in waiting],
                "ignored": current.ignored,
                "certificates": [_certificate_fields(each) for each in current.certificates],
                "blocked": _blocked_fields(current.blocked),
            }
        )
        return 0 if healthy else 1
    has_parent = next(iter(current.pids.values())) is not None
    for name, pid in current.pids.items():
        if name == "policy" and (pid is not None or not has_parent):
            continue  # it is a part of the servers; only its failure matters
        print(f"{name}: {'not running' if pid is None else f'running, pid {pid}'}")
    if published is None:
        print(f"live: nothing; no server was ever started on {call.settings.state}")
    else:
        entries = ", ".join(f"{count} in {file}" for file, count in live.items())
        print(f"live: {entries or 'no entries'}")
        print(f"in step: {'yes' if in_step else 'no'}")
    if skipped:
        count = sum(skipped.values())
        lines = "1 line with an error" if count == 1 else f"{count} lines with errors"
        print(f"skipped: {lines}; see 'setup check'")
    for finding in waiting:
        print(f"waiting: {finding}")
    for certificate in current.certificates:
        if certificate.ends:
            print(f"certificate: {certificate.path}, valid until {certificate.ends}")
        for fault in certificate.faults:
            print(f"certificate: {fault}")
    if current.blocked is not None:
        print(f"blocked: {_blocked_text(current.blocked)}")
    for line in current.ignored:
        print(f"note: {line}")
    return 0 if healthy else 1
