"""`setup import` and `setup export`: many accounts and aliases at once."""

import os
import sys
from collections.abc import Iterable, Mapping

from mailroster.analysis.left_out import left_out
from mailroster.app import exporting, importing
from mailroster.app.importing import Import
from mailroster.app.passwords.new_hash import scheme_and_cost
from mailroster.base.findings import ERROR, Finding, Refused, UsageError, and_more
from mailroster.cli.call import Call
from mailroster.cli.edit import rehearse, run_edit
from mailroster.cli.progress import Bar
from mailroster.cli.streams import warn
from mailroster.edits import bulk
from mailroster.edits.bulk import BadRows
from mailroster.edits.rows import FORMATS, Rows, csv, folder, jsonl

#: How many addresses a warning names.
_NAMED = 5
_STREAM = "-"


def import_rows(call: Call) -> int:
    """Imports rows. Raises all refusals before it hashes the first password."""
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
    except BadRows as error:
        _print(error.findings)
        raise
    _print(job.findings())
    if call.is_dry_run():
        return run_edit(call, job.edit)
    skipped = sum(finding.severity == ERROR for finding in job.findings())
    with Bar(job.password_count(), "passwords hashed") as bar:
        job.hash_passwords(bar)
    status = run_edit(call, job.edit)
    _warn_of_remains(job)
    print(_summary(job.counts(), skipped))
    return status


def _warn_of_remains(job: Import) -> None:
    """Warns of new accounts that get the mail or the Sieve script of a former owner."""
    if reused := job.had_owner():
        first = " ".join(reused[:_NAMED])
        warn(
            "warning: these accounts get mail or a Sieve script of a former owner: "
            f"{and_more(reused, _NAMED, ' ')}. "
            f"To delete it: setup email del -y {first}, then import them again"
        )


# -- reading


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


def _format(format: str | None, name: str) -> str:
    """The format of an option, by default that of a file name. Raises UsageError."""
    if format is None:
        if os.path.isdir(name) or name.endswith("/"):
            return "folder"
        format = os.path.splitext(name)[1][1:].lower()
        if format not in FORMATS:
            raise UsageError(f"the name {name!r} has no known format; give --format csv or jsonl")
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}; use one of: {', '.join(FORMATS)}")
    return format


def _print(findings: Iterable[Finding]) -> None:
    for finding in findings:
        print(finding, file=sys.stderr)


def _summary(all_counts: Mapping[tuple[str, str], int], skipped: int) -> str:
    """`3 accounts added, 1 unchanged; 2 aliases added`."""
    parts = []
    for singular, plural in (("account", "accounts"), ("alias", "aliases")):
        counts = [
            (all_counts[singular, action], action)
            for action in bulk.DONE
            if (singular, action) in all_counts
        ]
        if counts:
            count, action = counts[0]
            words = [f"{count} {singular if count == 1 else plural} {action}"]
            words += [f"{count} {action}" for count, action in counts[1:]]
            parts.append(", ".join(words))
    if skipped:
        parts.append(f"{skipped} bad row{'' if skipped == 1 else 's'} skipped")
    return "; ".join(parts) or "no rows"


# -- export


def export_rows(call: Call) -> int:
    """Exports to a file, a folder, or standard output."""
    name = call.arguments[0] if call.arguments else _STREAM
    format = _format(call.options.get("--format", "csv" if name == _STREAM else None), name)
    roster = call.home.roster()
    entries = folder.entries(roster)
    secrets, force = "--secrets" in call.options, "--force" in call.options
    if format == "folder":
        if not secrets or name == _STREAM:
            hint = "a FOLDER" if name == _STREAM else "--secrets, since it contains the hashes"
            raise UsageError(f"--format folder needs {hint}")
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
