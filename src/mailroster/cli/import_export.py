"""`setup import` and `setup export`: accounts and aliases, many at once."""

import os
import sys
from collections.abc import Iterable, Mapping

from mailroster.analysis.left_out import left_out
from mailroster.app import exporting, importing
from mailroster.app.importing import Import
from mailroster.app.passwords.new_hash import scheme_and_cost
from mailroster.base.findings import ERROR, Finding, Refused, UsageError
from mailroster.cli.call import Call, warn
from mailroster.cli.edit import rehearse, run_edit
from mailroster.cli.progress import Bar
from mailroster.edits import bulk
from mailroster.edits.bulk import BadRows
from mailroster.edits.rows import FORMATS, Rows, csv, folder, jsonl

#: How many addresses a warning names.
_NAMED = 5
_STREAM = "-"


def import_rows(call: Call) -> int:
    """Everything that can be refused is, before the first password is hashed."""
    scheme, cost = scheme_and_cost(call.settings, call.options.get("--scheme"))
    job = Import(
        call.home,
        _read(call, call.arguments[0]),
        scheme,
        cost,
        update="--update" in call.options,
        skip_bad="--skip-bad" in call.options,
    )
    try:
        rehearse(call, job.edit)
    except BadRows as refused:
        _print(refused.findings)
        raise
    _print(job.findings())
    if call.is_dry_run():
        return run_edit(call, job.edit)
    skipped = sum(finding.severity == ERROR for finding in job.findings())
    with Bar(job.password_count(), "passwords hashed") as bar:
        job.hash_passwords(bar)
    status = run_edit(call, job.edit)
    _warn_of_left(job)
    print(_summary(job.counts(), skipped))
    return status


def _warn_of_left(job: Import) -> None:
    """Warns of new accounts that get what a former owner of their address has left."""
    if again := job.had_owner():
        named = " ".join(again[:_NAMED])
        more = f" and {len(again) - _NAMED} more" if len(again) > _NAMED else ""
        warn(
            f"warning: mail or a Sieve script of a former owner lies where these accounts get it: "
            f"{named}{more}. To clear it: setup email del -y {named}, and import them again"
        )


# -- what comes in


def _read(call: Call, source: str) -> Rows:
    format = _format(call.options.get("--format"), source)
    if format == "folder":
        if source == _STREAM:
            raise Refused(f"there is no folder {source}")
        return importing.rows_of_folder(call.home, source)
    if source != _STREAM:
        raw = importing.read_file(source)
    else:
        raw = b"" if sys.stdin is None else importing.read_stream(sys.stdin.buffer)
    return importing.rows_of_bytes(raw, format, source)


def _format(asked: str | None, name: str) -> str:
    """The format that is asked for, or else the one that a name tells. Raises UsageError."""
    format = asked
    if format is None:
        if os.path.isdir(name) or name.endswith("/"):
            return "folder"
        format = os.path.splitext(name)[1][1:].lower()
        if format not in FORMATS:
            raise UsageError(f"{name!r} does not tell its format; say --format csv or jsonl")
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}; take one of {', '.join(FORMATS)}")
    return format


def _print(findings: Iterable[Finding]) -> None:
    for finding in findings:
        print(finding, file=sys.stderr)


def _summary(all_counts: Mapping[tuple[str, str], int], skipped: int) -> str:
    """`3 accounts added, 1 unchanged; 2 aliases added`."""
    parts = []
    for one, many in (("account", "accounts"), ("alias", "aliases")):
        counts = {done: number for (kind, done), number in all_counts.items() if kind == one}
        done = [f"{counts[done]} {done}" for done in bulk.DONE if done in counts]
        if done:
            number, _, word = done[0].partition(" ")
            done[0] = f"{number} {one if number == '1' else many} {word}"
            parts.append(", ".join(done))
    if skipped:
        parts.append(f"{skipped} bad row{'s' * (skipped != 1)} skipped")
    return "; ".join(parts) or "no rows"


# -- what goes out


def export_rows(call: Call) -> int:
    """To a file, a folder, or standard output."""
    name = call.arguments[0] if call.arguments else _STREAM
    format = _format(call.options.get("--format", "csv" if name == _STREAM else None), name)
    roster = call.home.roster()
    entries = folder.entries(roster)
    secrets, force = "--secrets" in call.options, "--force" in call.options
    if format == "folder":
        if not secrets or name == _STREAM:
            why = "names no folder" if name == _STREAM else "has the hashes in it: add --secrets"
            raise UsageError(f"--format folder {why}")
        exporting.write_folder(call.home, folder.write(entries), name, force=force)
    else:
        write = csv.write if format == "csv" else jsonl.write
        text = write(entries, secrets=secrets)
        if name == _STREAM:
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode())
        else:
            mode = 0o600 if secrets else 0o644
            exporting.write_file(name, text.encode(), mode, force=force)
    for finding in sorted(left_out(roster)):
        warn(f"left out: {finding}")
    return 0
