"""`setup import` and `setup export`: accounts and aliases, many at once."""

import errno
import os
import sys
from collections.abc import Callable, Sequence

from mailroster.app.passwords import hashing
from mailroster.app.passwords.policy import Policy
from mailroster.base.findings import ERROR, Fault, Finding, NotUnderstood, Refused, printable
from mailroster.cli.call import Call, warn
from mailroster.cli.password_input import hashing_for, policy_for
from mailroster.cli.progress import Bar
from mailroster.edits import bulk
from mailroster.edits.bulk import BadRows, Merged
from mailroster.edits.rows import FORMATS, AccountRow, Row, Rows, csv, folder, jsonl
from mailroster.roster.formats import extra_fields
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.hash_cost import Cost
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.servers import former_owner
from mailroster.store.config_folder import Store
from mailroster.system.files import ABSENT, WHOLE_MAX_BYTES, Disk, look
from mailroster.system.programs import Captures, prime

#: How many addresses a warning names.
_NAMED = 5
_STREAM = "-"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def import_rows(call: Call) -> int:
    """Everything that can be refused is, before the first password is hashed."""
    scheme, cost = hashing_for(call)
    given = _with_places(_read(call, call.arguments[0]), call.settings.mail)
    rows = _with_schemes(given, scheme, policy_for(call))
    verb = _Import(call, rows)
    try:
        call.rehearse(verb)
    except BadRows as refused:
        _print(refused.findings)
        raise
    _print(verb.merged.findings)
    if "--dry-run" in call.options:
        return call.edit(verb)
    skipped = sum(finding.severity == ERROR for finding in verb.merged.findings)
    verb.given = Rows(_hashed(verb.merged.rows, scheme, cost), [])
    status = call.edit(verb)
    _warn_of_left(call, verb)
    print(_summary(verb.merged, skipped))
    return status


def _warn_of_left(call: Call, verb: "_Import") -> None:
    """Warns of new accounts that get what a former owner of their address has left."""
    entries = (row.entry for row in verb.given.rows)
    added = [
        entry.address
        for entry in entries
        if isinstance(entry, AccountRow) and entry.address not in verb.before.accounts
    ]
    again = former_owner.had_owner(call.settings, added)
    if again:
        named = " ".join(again[:_NAMED])
        more = f" and {len(again) - _NAMED} more" if len(again) > _NAMED else ""
        warn(
            f"warning: mail or a Sieve script of a former owner lies where these accounts get it: "
            f"{named}{more}. To clear it: setup email del -y {named}, and import them again"
        )


class _Import:
    """The verb, and what came of it."""

    def __init__(self, call: Call, given: Rows) -> None:
        self.given = given
        self.merged = Merged(Roster(), [], [], {})
        self.before = Roster()
        self._call = call

    def __call__(self, roster: Roster) -> Roster:
        self.before = roster
        self.merged = bulk.add_rows(
            roster,
            self.given,
            self._route(Captures(roster.regexp)),
            update="--update" in self._call.options,
            skip_bad="--skip-bad" in self._call.options,
        )
        return self.merged.roster

    def _route(self, captured: Captures) -> Callable[[Roster], Router]:
        def route(roster: Roster) -> Router:
            router = self._call.router(roster, captured)
            prime(router, roster.virtual.index)
            return router

        return route


# -- what comes in


def _read(call: Call, source: str) -> Rows:
    format = _format(call.options.get("--format"), source)
    if format == "folder":
        if source == _STREAM or not os.path.isdir(source):
            raise Refused(f"there is no folder {source}")
        store = Store(source, linked=call.settings.linked())
        return folder.read(store.read().readable(), source)
    raw = _bytes(source)
    if raw.startswith(_UTF_16):
        raise Refused(f"{source}: this is UTF-16; save it as UTF-8")
    text = raw.decode("utf-8", "surrogateescape")
    return csv.read(text, source) if format == "csv" else jsonl.read(text, source)


def _bytes(source: str) -> bytes:
    """What a regular file or standard input holds. Raises Refused for what is neither, or too
    large; never waits for a file, as a FIFO would make it."""
    if source == _STREAM:
        raw = sys.stdin.buffer.read(WHOLE_MAX_BYTES + 1) if sys.stdin is not None else b""
        if len(raw) > WHOLE_MAX_BYTES:
            raise Refused(
                f"standard input: larger than {WHOLE_MAX_BYTES} bytes; import it in parts"
            )
        return raw
    try:
        raw, found = look(source)
    except OSError as error:
        raise Refused(f"{printable(source)}: {_why(error)}") from error
    if found == ABSENT:
        raise Refused(f"{printable(source)}: {os.strerror(errno.ENOENT)}")
    return raw


def _why(error: OSError) -> str:
    """Why a file can't be read, and what to do."""
    remedies = {
        errno.EINVAL: "; write '-' to read a pipe, as in: … | setup import --format csv -",
        errno.EFBIG: "; import it in parts",
    }
    return f"{error.strerror}{remedies.get(error.errno or 0, '')}"


def _format(asked: str | None, name: str) -> str:
    """The format that is asked for, or else the one that a name tells. Raises NotUnderstood."""
    format = asked
    if format is None:
        if os.path.isdir(name) or name.endswith("/"):
            return "folder"
        format = os.path.splitext(name)[1][1:].lower()
        if format not in FORMATS:
            raise NotUnderstood(f"{name!r} does not tell its format; say --format csv or jsonl")
    if format not in FORMATS:
        raise NotUnderstood(f"unknown format {format!r}; take one of {', '.join(FORMATS)}")
    return format


def _with_schemes(given: Rows, scheme: str, policy: Policy) -> Rows:
    """The rows with a stand-in for the hash of each password that is taken, and that its scheme
    can take."""
    rows: list[Row] = []
    findings = [*given.findings]
    entries = [row.entry for row in given.rows if isinstance(row.entry, AccountRow)]
    faults = policy.faults({entry.password for entry in entries if entry.password})
    for row in given.rows:
        entry = row.entry
        if isinstance(entry, AccountRow) and entry.password:
            try:
                if entry.password in faults:
                    raise Refused(faults[entry.password])
                effective = hashing.effective_scheme(entry.password, scheme)
            except Refused as refused:
                mend = "give another one"
                findings.append(Finding(row.where, ERROR, "bad-password", str(refused), mend))
                continue
            row = row._replace(entry=entry._replace(hash=f"{{{effective}}}to-be-hashed"))
        rows.append(row)
    return Rows(rows, findings)


def _with_places(given: Rows, mail: str) -> Rows:
    """The rows whose extra fields name no place outside of the mail folder."""
    rows: list[Row] = []
    findings = [*given.findings]
    for row in given.rows:
        if isinstance(row.entry, AccountRow) and row.entry.extra:
            try:
                account = Account(row.entry.address, row.entry.hash, row.entry.extra)
                extra_fields.check_places(account.fields(), mail)
            except Fault as fault:
                findings.append(fault.at(row.where))
                continue
        rows.append(row)
    return Rows(rows, findings)


def _hashed(rows: Sequence[Row], scheme: str, cost: Cost) -> list[Row]:
    """The rows with a hash for each password, made on all cores."""
    passwords = [
        row.entry.password
        for row in rows
        if isinstance(row.entry, AccountRow) and row.entry.password
    ]
    with Bar(len(passwords), "passwords hashed") as bar:
        cores = len(os.sched_getaffinity(0))
        hashes = iter(hashing.hash_passwords(passwords, scheme, cores, bar, cost))
    return [
        row._replace(entry=row.entry._replace(hash=next(hashes), password=""))
        if isinstance(row.entry, AccountRow) and row.entry.password
        else row
        for row in rows
    ]


def _print(findings: Sequence[Finding]) -> None:
    for finding in findings:
        print(finding, file=sys.stderr)


def _summary(merged: Merged, skipped: int) -> str:
    """`3 accounts added, 1 unchanged; 2 aliases added`."""
    parts = []
    for one, many in (("account", "accounts"), ("alias", "aliases")):
        counts = {done: number for (kind, done), number in merged.counts.items() if kind == one}
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
    roster = call.roster()
    entries = folder.entries(roster)
    secrets = "--secrets" in call.options
    if format == "folder":
        if not secrets or name == _STREAM:
            why = "names no folder" if name == _STREAM else "has the hashes in it: add --secrets"
            raise NotUnderstood(f"--format folder {why}")
        _put_folder(call, folder.write(entries), name)
    else:
        write = csv.write if format == "csv" else jsonl.write
        text = write(entries, secrets=secrets)
        if name == _STREAM:
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode())
        else:
            _put_file(call, name, text.encode(), 0o600 if secrets else 0o644)
    for finding in sorted(folder.left_out(roster)):
        warn(f"left out: {finding}")
    return 0


def _put_file(call: Call, path: str, content: bytes, mode: int) -> None:
    """A new file; over one that is there only if it is asked for, and only over a regular one."""
    disk = Disk()
    target = os.path.realpath(path)
    if "--force" in call.options and os.path.isfile(target):
        disk.replace(target, content, mode)
        return
    try:
        disk.create(target, content, mode, None)
    except FileExistsError:
        raise Refused(f"{path} exists already; --force writes over a file") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            disk.remove(target)
        raise


def _put_folder(call: Call, roster: Roster, path: str) -> None:
    """The files of accounts, quotas and aliases in a folder; others that it has stay."""
    if os.path.realpath(path) == os.path.realpath(call.settings.config):
        raise Refused(f"{path} is the config folder itself")

    def verb(there: Roster) -> Roster:
        for _, document in there.documents():
            if document.text and "--force" not in call.options:
                file = document.format.file
                raise Refused(f"{os.path.join(path, file)} exists already; --force writes over it")
        return there._replace(
            accounts=roster.accounts, quotas=roster.quotas, virtual=roster.virtual
        )

    Store(path, linked=call.settings.linked()).transact(verb)
