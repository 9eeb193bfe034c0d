"""Imports many accounts and aliases at once."""

import errno
import os
from collections.abc import Callable, Mapping
from typing import BinaryIO

from mailroster.analysis.left_out import left_out
from mailroster.app.home import Home
from mailroster.app.passwords import hashing
from mailroster.app.passwords.policy import Policy, policy_of
from mailroster.base.address import Address
from mailroster.base.findings import ERROR, Finding, ParseError, Refused, printable
from mailroster.edits import bulk
from mailroster.edits.bulk import MergeResult
from mailroster.edits.rows import AccountRow, Row, Rows, csv, folder, jsonl
from mailroster.roster.formats import extra_fields
from mailroster.roster.formats.accounts import Account
from mailroster.roster.formats.hash_cost import Cost
from mailroster.roster.roster import Roster
from mailroster.routing.router import Router
from mailroster.servers import former_owner
from mailroster.store.config_folder import Store
from mailroster.system.files import ABSENT, WHOLE_MAX_BYTES, look

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Import:
    """The import of some rows, in three steps: rehearse `edit`, which raises all errors; call
    `hash_passwords`, which takes time; then do `edit`.

    `scheme` and `cost` are for the hashes of passwords. `update`: change existing entries to their
    rows. `skip_bad`: skip rows with an error.
    """

    def __init__(
        self, home: Home, rows: Rows, scheme: str, cost: Cost, *, update: bool, skip_bad: bool
    ) -> None:
        self._home, self._scheme, self._cost = home, scheme, cost
        self._update, self._skip_bad = update, skip_bad
        rows = _checked_places(rows, home.settings.mail)
        self._rows = _with_schemes(rows, scheme, policy_of(home.settings))
        self._merged, self._before = MergeResult(Roster(), [], [], {}), Roster()

    def edit(self, roster: Roster) -> Roster:
        """Raises BadRows."""
        self._before = roster
        self._merged = bulk.add_rows(
            roster, self._rows, self._route(roster), update=self._update, skip_bad=self._skip_bad
        )
        return self._merged.roster

    def _route(self, roster: Roster) -> Callable[[Roster], Router]:
        """A maker of routers that have one matcher: Postfix evaluates each address once."""
        patterns = self._home.patterns(roster)
        return lambda other: self._home.router(other, other.virtual.index, patterns)

    def findings(self) -> list[Finding]:
        """The errors in skipped rows, and warnings."""
        return self._merged.findings

    def counts(self) -> Mapping[tuple[str, str], int]:
        """The number of rows by ("account" or "alias", action)."""
        return self._merged.counts

    def password_count(self) -> int:
        return sum(1 for row in self._merged.rows if _password(row))

    def hash_passwords(self, progress: Callable[[int], object]) -> None:
        """Hashes the passwords of the rows that `edit` has accepted, on all cores. `progress` gets
        the number of hashes so far."""
        rows = self._merged.rows
        passwords = [password for row in rows if (password := _password(row))]
        cores = len(os.sched_getaffinity(0))
        hashes = iter(hashing.hash_passwords(passwords, self._scheme, cores, progress, self._cost))
        self._rows = Rows([_hashed(row, hashes.__next__) for row in rows], [])

    def had_owner(self) -> list[Address]:
        """The new accounts that get the leftovers of a former owner of their address."""
        entries = (row.entry for row in self._rows.rows)
        added = [
            entry.address
            for entry in entries
            if isinstance(entry, AccountRow) and entry.address not in self._before.accounts
        ]
        return former_owner.with_leftovers(self._home.settings, added)


def rows_of_folder(home: Home, path: str) -> Rows:
    """The accounts and aliases of another config folder. Raises Refused."""
    if not os.path.isdir(path):
        raise Refused(f"there is no folder {path}")
    store = Store(path, linked=home.settings.linked())
    roster = store.read().readable()
    return folder.read(roster, path, left_out(roster))


def rows_of_bytes(raw: bytes, format: str, source: str) -> Rows:
    """The rows of a text in the format csv or jsonl. Raises Refused."""
    if raw.startswith(_UTF_16):
        raise Refused(f"{source}: the text is UTF-16; save it as UTF-8")
    text = raw.decode("utf-8", "surrogateescape")
    return csv.read(text, source) if format == "csv" else jsonl.read(text, source)


def read_stream(stream: BinaryIO) -> bytes:
    """Reads standard input. Raises Refused if it is too large."""
    raw = stream.read(WHOLE_MAX_BYTES + 1)
    if len(raw) > WHOLE_MAX_BYTES:
        raise Refused(f"standard input: larger than {WHOLE_MAX_BYTES} bytes; import it in parts")
    return raw


def read_file(path: str) -> bytes:
    """Reads a regular file. Raises Refused if it is too large, or not a regular file: reading that
    might block."""
    try:
        raw, identity = look(path)
    except OSError as error:
        raise Refused(f"{printable(path)}: {_reason(error)}") from error
    if identity == ABSENT:
        raise Refused(f"{printable(path)}: {os.strerror(errno.ENOENT)}")
    return raw


def _reason(error: OSError) -> str:
    """The reason why a file can't be read, and what to do."""
    remedies = {
        errno.EINVAL: "; write '-' to read a pipe, as in: … | setup import --format csv -",
        errno.EFBIG: "; import it in parts",
    }
    return f"{error.strerror}{remedies.get(error.errno or 0, '')}"


def _with_schemes(given: Rows, scheme: str, policy: Policy) -> Rows:
    """The rows with a placeholder for the hash of each password; a finding replaces a row whose
    password the policy or the scheme does not accept."""
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
                hint = "choose another password"
                findings.append(Finding(row.where, ERROR, "bad-password", str(refused), hint))
                continue
            row = row._replace(entry=entry._replace(hash=f"{{{effective}}}to-be-hashed"))
        rows.append(row)
    return Rows(rows, findings)


def _checked_places(given: Rows, mail: str) -> Rows:
    """The rows; a finding replaces a row whose mail would be outside of the mail folder."""
    rows: list[Row] = []
    findings = [*given.findings]
    for row in given.rows:
        if isinstance(row.entry, AccountRow) and row.entry.extra:
            try:
                account = Account(row.entry.address, row.entry.hash, row.entry.extra)
                extra_fields.check_places(account.fields(), mail)
            except ParseError as fault:
                findings.append(fault.at(row.where))
                continue
        rows.append(row)
    return Rows(rows, findings)


def _password(row: Row) -> str:
    return row.entry.password if isinstance(row.entry, AccountRow) else ""


def _hashed(row: Row, next_hash: Callable[[], str]) -> Row:
    """A row with a hash in place of its password, if it has one."""
    if not isinstance(row.entry, AccountRow) or not row.entry.password:
        return row
    return row._replace(entry=row.entry._replace(hash=next_hash(), password=""))
