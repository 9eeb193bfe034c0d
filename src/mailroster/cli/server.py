"""`setup up`, `setup health` and `setup status`."""

from collections.abc import Iterator

from mailroster.app.certificate import Certificate
from mailroster.app.status import (
    NOTHING,
    BlockCount,
    Published,
    Status,
    option_pids,
    silent_servers,
)
from mailroster.app.status import status as status_of
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
    if "--json" in call.options:
        print_json(_status_fields(call.settings.config, current))
    else:
        for line in _status_lines(call.settings.state, current):
            print(line)
    in_step = current.published is not None and current.published.in_step
    return 0 if in_step and all(current.pids.values()) else 1


def _status_fields(config: str, current: Status) -> dict[str, object]:
    published = current.published or NOTHING
    return {
        "config": config,
        "running": current.pids,
        "live": {file: count for file, count in published.live.items() if count},
        "in_step": published.in_step,
        "skipped": dict(published.skipped),
        "waiting": [finding_fields(finding) for finding in published.waiting],
        "ignored": current.ignored,
        "certificates": [_certificate_fields(each) for each in current.certificates],
        "blocked": _blocked_fields(current.blocked),
    }


def _status_lines(state: str, current: Status) -> Iterator[str]:
    """The status as text. `state`: the state folder."""
    has_parent = next(iter(current.pids.values())) is not None
    for name, pid in current.pids.items():
        if name == "policy" and (pid is not None or not has_parent):
            continue  # it is a part of the servers; only its failure matters
        yield f"{name}: {'not running' if pid is None else f'running, pid {pid}'}"
    if current.published is None:
        yield f"live: nothing; no server was ever started on {state}"
    else:
        yield from _published_lines(current.published)
    for certificate in current.certificates:
        if certificate.ends:
            yield f"certificate: {certificate.path}, valid until {certificate.ends}"
        yield from (f"certificate: {fault}" for fault in certificate.faults)
    if current.blocked is not None:
        yield f"blocked: {_blocked_text(current.blocked)}"
    yield from (f"note: {line}" for line in current.ignored)


def _published_lines(published: Published) -> Iterator[str]:
    entries = ", ".join(f"{count} in {file}" for file, count in published.live.items() if count)
    yield f"live: {entries or 'no entries'}"
    yield f"in step: {'yes' if published.in_step else 'no'}"
    if count := sum(published.skipped.values()):
        lines = "1 line with an error" if count == 1 else f"{count} lines with errors"
        yield f"skipped: {lines}; see 'setup check'"
    yield from (f"waiting: {finding}" for finding in published.waiting)
